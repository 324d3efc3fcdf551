"""Where and in which precision networks compute."""

from copy import deepcopy
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING

from reseen.errors import SettingsError

if TYPE_CHECKING:  # torch is imported when it is needed, not to name a device
    import torch

    from reseen.nets.encoder import Encoder

TRIED = 32
"""Images in a step that is timed."""
SECONDS = 1.0
"""For how long steps are timed; at least two are timed in each precision."""
MARGIN = 1.15
"""How many times as fast a step in bfloat16 must be for bfloat16 to be used."""


@dataclass(frozen=True, kw_only=True)
class Device:
    """Where networks compute, and in which precision; `auto` uses the best that is available."""

    name: str = "auto"
    """PyTorch device: auto, cpu, cuda, cuda:1, mps and so on."""
    precision: str = "auto"
    """float32, bfloat16 (autocast, only for the backbone), or auto. In training, auto measures both
    when the run starts and uses the faster one; otherwise it uses bfloat16 if the hardware supports
    it natively."""
    compile: bool = False
    """Compile the backbone with torch.compile, which is slow to start and faster afterwards."""

    def __post_init__(self):
        if self.precision not in ("auto", "float32", "bfloat16"):
            raise SettingsError(
                f"device.precision is {self.precision!r}. Use auto, float32 or bfloat16."
            )

    def resolve(self) -> "Device":
        """Replace every `auto` by its value on this machine, and cuda by the GPU of this process.

        Raises:
            SettingsError: the device does not exist on this machine.
        """
        import torch

        from reseen.engine import processes

        name = self.name
        if name == "auto":
            accelerator = torch.accelerator.current_accelerator(check_available=True)
            name = accelerator.type if accelerator else "cpu"
        if name == "cuda" and processes.started():
            place, here = processes.local_rank(), torch.cuda.device_count()
            if place >= here:
                raise SettingsError(
                    f"Process {place} of this machine has no GPU of its own: there are {here}. "
                    f"Use --nproc-per-node {here}, or --device.name cpu."
                )
            name = f"cuda:{place}"
        try:
            torch.ones(1, device=name).tolist()  # on meta, tensors can be made but not read
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise SettingsError(
                f"device.name is {name!r}, which is not available ({reason}). Use auto or cpu."
            ) from error
        precision = self.precision
        if precision == "auto":
            precision = "bfloat16" if _fast_bfloat16(name) else "float32"
        return Device(name=name, precision=precision, compile=self.compile)

    def measured(self, encoder: "Encoder") -> tuple["Device", str]:
        """Replace auto as `resolve` does, but choose the precision by timing steps of an encoder.

        On the same machine, some networks train twice as fast in bfloat16, and others take twice as
        long. So steps in both precisions, forward and backward, alternate for about a second, and
        bfloat16 is used if its fastest step is MARGIN times as fast. If a precision is given, or
        bfloat16 is not available or not safe (`place`), nothing is timed.

        Args:
            encoder: left unchanged, as is torch's random generator.

        Returns:
            The device, and a sentence that says what was measured; empty if nothing was timed.
        """
        import torch

        here = self.resolve()
        if self.precision != "auto" or not _has_bfloat16(here.name) or _unsafe(here, encoder):
            return here, ""
        took = try_steps(encoder, torch.device(here.name))
        times = took["float32"] / took["bfloat16"]
        chosen = "bfloat16" if times >= MARGIN else "float32"
        size = f"{encoder.settings.backbone} at {encoder.settings.height} x "
        return replace(here, precision=chosen), (
            f"precision {chosen}: with {size}{encoder.settings.width} a step in bfloat16 is "
            f"{times:.2f} times as fast as in float32 here (--device.precision sets it)"
        )

    def place(self, encoder: "Encoder") -> "Encoder":
        """Move an encoder to this device, channels last, in this precision; changes and returns it.

        On a CPU, maps that are one pixel wide are computed in float32 in any case: bfloat16
        convolutions of oneDNN with stride 2 then read uninitialised memory (seen in torch 2.15
        with AMX: another result each time, sometimes NaN).
        """
        import torch

        here = self.resolve()
        encoder.to(torch.device(here.name)).to(memory_format=torch.channels_last)
        encoder.precision = "float32" if _unsafe(here, encoder) else here.precision
        if here.compile:
            encoder.backbone.compile()
        return encoder


def _fast_bfloat16(name: str) -> bool:
    """Return whether the hardware multiplies bfloat16 faster than float32."""
    import torch

    if name.startswith("cuda"):
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return name == "cpu" and _can("amx_bf16")


def _has_bfloat16(name: str) -> bool:
    """Return whether the hardware has any instructions for bfloat16."""
    return _fast_bfloat16(name) or (name == "cpu" and _can("avx512_bf16"))


def _can(instructions: str) -> bool:
    import torch

    return getattr(torch.cpu, "get_capabilities", dict)().get(instructions, False)


def _unsafe(here: Device, encoder: "Encoder") -> bool:
    """Return whether bfloat16 would give wrong results, see `Device.place`."""
    return here.name == "cpu" and encoder.backbone.map_width < 2


def try_steps(encoder: "Encoder", device: "torch.device") -> dict[str, float]:
    """Return the seconds of the fastest step, forward and backward, in float32 and bfloat16."""
    import torch

    size = encoder.settings.height, encoder.settings.width
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        copy = deepcopy(encoder).to(device).to(memory_format=torch.channels_last).train()
        pixels = torch.randint(0, 256, (TRIED, 3, *size), dtype=torch.uint8, device=device)

        def step(precision: str) -> float:
            copy.precision = precision
            began = perf_counter()
            copy.map(pixels).float().mean().backward()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            return perf_counter() - began

        took = {"float32": [], "bfloat16": []}
        for precision in took:
            step(precision)  # the first one is a warm-up
        ends = perf_counter() + SECONDS
        while len(took["bfloat16"]) < 2 or perf_counter() < ends:
            for precision, times in took.items():
                times.append(step(precision))
    return {precision: min(times) for precision, times in took.items()}
