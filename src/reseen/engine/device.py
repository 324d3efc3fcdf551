"""Where and in which precision networks compute."""

from dataclasses import dataclass

import torch

from reseen.engine import processes
from reseen.errors import SettingsError
from reseen.nets.encoder import Encoder


@dataclass(frozen=True, kw_only=True)
class Device:
    """Where networks compute, and how; `auto` takes the best that is here."""

    name: str = "auto"
    """auto, cpu, cuda, cuda:1, mps ..."""
    precision: str = "auto"
    """float32, bfloat16 (autocast, for the backbone alone), or auto: bfloat16 where the hardware
    multiplies it faster."""
    compile: bool = False
    """Compile the backbone with torch.compile: slow to start, faster afterwards."""

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

    def place(self, encoder: Encoder) -> Encoder:
        """Move an encoder here, channels last, in this precision; changes and returns it.

        On a CPU, maps one pixel wide are computed in float32 all the same: oneDNN's bfloat16
        convolutions with stride 2 then read memory that nobody wrote (seen in torch 2.15 with AMX:
        another result each time, at times NaN).
        """
        here = self.resolve()
        encoder.to(torch.device(here.name)).to(memory_format=torch.channels_last)
        unsafe = here.name == "cpu" and encoder.backbone.map_width < 2
        encoder.precision = "float32" if unsafe else here.precision
        if here.compile:
            encoder.backbone.compile()
        return encoder


def _fast_bfloat16(name: str) -> bool:
    if name.startswith("cuda"):
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return name == "cpu" and getattr(torch.cpu, "get_capabilities", dict)().get("amx_bf16", False)
