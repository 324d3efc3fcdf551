"""Attention modules, one idea per file: the first argument is channels; map in, map out."""

from collections.abc import Callable, Mapping
from functools import partial
from inspect import signature

from torch import nn

from reseen.errors import SettingsError
from reseen.nets.attention.cbam import CBAM
from reseen.nets.attention.domain import DomainAttention
from reseen.nets.attention.domain_adaptive import DomainAdaptiveAttention
from reseen.nets.attention.harmonious import HarmoniousAttention
from reseen.nets.attention.head import HeadAttention
from reseen.nets.attention.pixel import PixelAttention
from reseen.nets.attention.reduction import Reduction
from reseen.nets.attention.voxel import VoxelAttention

ATTENTION: dict[str, Callable[..., nn.Module]] = {
    "voxel": VoxelAttention,
    "voxel-spatial": partial(VoxelAttention, channel=False),
    "voxel-channel": partial(VoxelAttention, spatial=False),
    "harmonious": HarmoniousAttention,
    "cbam": CBAM,
    "pixel": PixelAttention,
    "head": HeadAttention,
    "domain": DomainAttention,
    "domain-adaptive": DomainAdaptiveAttention,
    "reduction": Reduction,
}


class Attention(nn.Sequential):
    """Attention modules in sequence; optimisers recognise new layers by this class.

    Modules that compute weights have a method `weights`, which returns those of a map (B, C, H, W),
    or where it looks, as (B, any, H or 1, W or 1), 0 or more.
    """


def check_attention(names: tuple[str, ...], options: Mapping[str, int]) -> None:
    """Refuse unknown names, and options that none of the modules has.

    Raises:
        SettingsError: names what may be used.
    """
    for name in names:
        if name not in ATTENTION:
            raise SettingsError(f"attention is {name!r}. Use some of: {', '.join(ATTENTION)}.")
    known = {option for name in names for option in signature(ATTENTION[name]).parameters}
    for option in options:
        if option not in known - {"channels"}:
            raise SettingsError(f"{' and '.join(names) or 'No'} attention takes no {option!r}.")


def attention(
    names: tuple[str, ...], channels: int, options: Mapping[str, int]
) -> tuple[Attention, int]:
    """Create the modules with these names, in sequence.

    Args:
        names: keys of ATTENTION.
        channels: C of the map.
        options: arguments of the modules, such as heads; each is passed to the modules that have
            it.

    Returns:
        The modules, and the number of channels of their output.

    Raises:
        SettingsError: a module does not work with this number of channels.
    """
    modules = Attention()
    for name in names:
        known = signature(ATTENTION[name]).parameters
        taken = {option: value for option, value in options.items() if option in known}
        modules.append(ATTENTION[name](channels, **taken))
        channels = getattr(modules[-1], "out_channels", channels)
    return modules, channels
