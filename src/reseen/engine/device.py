"""Where and in which precision networks compute."""

from copy import deepcopy
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING

from reseen.errors import SettingsError

if TYPE_CHECKING:  # torch is loaded where it computes, and not to say where that is to be
    import torch

    from reseen.nets.encoder import Encoder

TRIED = 32
"""Images in a step that is tried."""
SECONDS = 1.0
"""How long steps are tried, at least two in each precision."""
MARGIN = 1.15
"""How many times as many steps bfloat16 must make for the precision to be lowered."""


@dataclass(frozen=True, kw_only=True)
class Device:
    """Where networks compute, and how; `auto` takes the best that is here."""

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
        """Replace every `auto` by what it means on this machine, and cuda by the GPU of a process.

        Raises:
            SettingsError: there is no such device here.
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
            torch.ones(1, device=name).tolist()  # meta can make tensors, and has no numbers
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise SettingsError(
                f"device.name is {name!r}, which is not here ({reason}). Use auto or cpu."
            ) from error
        precision = self.precision
        if precision == "auto":
            precision = "bfloat16" if _fast_bfloat16(name) else "float32"
        return Device(name=name, precision=precision, compile=self.compile)

    def measured(self, encoder: "Encoder") -> tuple["Device", str]:
        """Replace auto as `resolve` does, but the precision by trying steps of an encoder.

        Some networks train twice as fast in bfloat16 on a machine on which others take twice as
        long. So both precisions take turns for about a second, forward and backward, and bfloat16
        is taken where its quickest step is MARGIN times as quick. Where one precision is given, or
        bfloat16 is not to be had or not sound (`place`), nothing is tried.

        Args:
            encoder: left as it is, as is torch's generator.

        Returns:
            The device, and a sentence that says what was found; none where nothing was tried.
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
        """Move an encoder here, channels last, in this precision; changes and returns it.

        On a CPU, maps one pixel wide are computed in float32 all the same: oneDNN's bfloat16
        convolutions with stride 2 then read memory that nobody wrote (seen in torch 2.15 with AMX:
        another result each time, at times NaN).
        """
        import torch

        here = self.resolve()
        encoder.to(torch.device(here.name)).to(memory_format=torch.channels_last)
        encoder.precision = "float32" if _unsafe(here, encoder) else here.precision
        if here.compile:
            encoder.backbone.compile()
        return encoder


def _fast_bfloat16(name: str) -> bool:
    """Say whether the hardware is made to multiply bfloat16 faster than float32."""
    import torch

    if name.startswith("cuda"):
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return name == "cpu" and _can("amx_bf16")


def _has_bfloat16(name: str) -> bool:
    """Say whether the hardware has instructions for bfloat16 at all."""
    return _fast_bfloat16(name) or (name == "cpu" and _can("avx512_bf16"))


def _can(instructions: str) -> bool:
    import torch

    return getattr(torch.cpu, "get_capabilities", dict)().get(instructions, False)


def _unsafe(here: Device, encoder: "Encoder") -> bool:
    """Say whether bfloat16 would go wrong, see `Device.place`."""
    return here.name == "cpu" and encoder.backbone.map_width < 2


def try_steps(encoder: "Encoder", device: "torch.device") -> dict[str, float]:
    """Give the seconds of the quickest step, forward and backward, in float32 and bfloat16."""
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
            step(precision)  # the first one prepares
        ends = perf_counter() + SECONDS
        while len(took["bfloat16"]) < 2 or perf_counter() < ends:
            for precision, times in took.items():
                times.append(step(precision))
    return {precision: min(times) for precision, times in took.items()}
