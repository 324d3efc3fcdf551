"""Where and in which precision networks compute."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from reseen.errors import SettingsError

if TYPE_CHECKING:  # torch is loaded where it computes, and not to say where that is to be
    from reseen.nets.encoder import Encoder


@dataclass(frozen=True, kw_only=True)
class Device:
    """Where networks compute, and how; `auto` takes the best that is here."""

    name: str = "auto"
    """PyTorch device: auto, cpu, cuda, cuda:1, mps and so on."""
    precision: str = "auto"
    """float32, bfloat16 (autocast, only for the backbone), or auto, which uses bfloat16 if the
    hardware computes it faster."""
    compile: bool = False
    """Compile the backbone with torch.compile, which is slow to start and faster afterwards."""

    def __post_init__(self):
        if self.precision not in ("auto", "float32", "bfloat16"):
            raise SettingsError(
                f"device.precision is {self.precision!r}. Use auto, float32 or bfloat16."
            )

    def resolve(self) -> "Device":
        """Replace every `auto` by what it means on this machine.

        Raises:
            SettingsError: there is no such device here.
        """
        import torch

        name = self.name
        if name == "auto":
            accelerator = torch.accelerator.current_accelerator(check_available=True)
            name = accelerator.type if accelerator else "cpu"
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

    def place(self, encoder: "Encoder") -> "Encoder":
        """Move an encoder here, channels last, in this precision; changes and returns it.

        On a CPU, maps one pixel wide are computed in float32 all the same: oneDNN's bfloat16
        convolutions with stride 2 then read memory that nobody wrote (seen in torch 2.15 with AMX:
        another result each time, at times NaN).
        """
        import torch

        here = self.resolve()
        encoder.to(torch.device(here.name)).to(memory_format=torch.channels_last)
        unsafe = here.name == "cpu" and encoder.backbone.map_width < 2
        encoder.precision = "float32" if unsafe else here.precision
        if here.compile:
            encoder.backbone.compile()
        return encoder


def _fast_bfloat16(name: str) -> bool:
    import torch

    if name.startswith("cuda"):
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return name == "cpu" and getattr(torch.cpu, "get_capabilities", dict)().get("amx_bf16", False)
