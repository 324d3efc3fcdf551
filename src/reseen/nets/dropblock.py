"""Dynamic dropblock: a rectangle of the map is set to zero, so that two passes see two views."""

import torch
from torch import Tensor, nn

from reseen.errors import SettingsError
from reseen.nets.backbones import Backbone
from reseen.nets.sharing import SeesShare


class DropBlock(SeesShare):
    """Set a random rectangle of each map to zero in training, a different one for each image.

    Source: Yin et al., Unsupervised Person Re-identification via Simultaneous Clustering and
    Consistency Learning (ConsLearn), Sec. 3.1. It uses torch's random generator. Also on a small
    map at least one place is dropped, unless a share is 0.

    Args:
        height: share of the map's height that is dropped (alpha); 0 drops nothing.
        width: share of the map's width that is dropped (beta); 0 drops nothing.
        rescale: scale the rest, so that the sum is the same on average.
    """

    def __init__(self, height: float, width: float, rescale: bool = False):
        super().__init__()
        self.height = height
        self.width = width
        self.rescale = rescale

    def forward(self, x: Tensor) -> Tensor:
        """Drop a rectangle of each map (B, C, H, W)."""
        H, W = x.shape[2:]
        if not self.training or not self.height * self.width:
            return x
        h, w = max(1, round(self.height * H)), max(1, round(self.width * W))
        shape = (self.share.count if self.share else len(x), 1, 1, 1)
        rows = self.share.rows if self.share else slice(None)
        top = torch.randint(0, H - h + 1, shape, device=x.device)[rows]
        left = torch.randint(0, W - w + 1, shape, device=x.device)[rows]
        row = torch.arange(H, device=x.device).view(1, 1, H, 1)
        column = torch.arange(W, device=x.device).view(1, 1, 1, W)
        inside = (row >= top) & (row < top + h) & (column >= left) & (column < left + w)
        x = x.masked_fill(inside, 0)
        return x * (H * W / max(1, H * W - h * w)) if self.rescale else x

    def before(self, _module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Hook that drops a rectangle of the first input of a module."""
        return self(inputs[0]), *inputs[1:]


def drop_before(
    backbone: Backbone, stages: tuple[int, ...], height: float, width: float, rescale: bool = False
) -> None:
    """Drop a rectangle before some stages of a backbone, whenever the network is in training mode.

    It is not saved with the encoder: a loaded encoder drops nothing.

    Args:
        backbone: changed in place.
        stages: 0 is the normalised image; s is the s-th stage of blocks (see `Backbone`).
        height, width, rescale: as in `DropBlock`.

    Raises:
        SettingsError: the backbone does not have such a stage.
    """
    missing = set(stages) - set(range(len(backbone.stages) + 1))
    if missing:
        raise SettingsError(
            f"stages are {stages}, but this backbone has the stages 0 to {len(backbone.stages)}."
        )
    backbone.drops = nn.ModuleList()
    for stage in stages:
        block = DropBlock(height, width, rescale)
        stage_of(backbone, stage).register_forward_pre_hook(block.before)
        backbone.drops.append(block)


def stage_of(backbone: Backbone, stage: int) -> nn.Module:
    """Return the first module of a stage; 0 is the whole backbone, whose input is the image."""
    return backbone.net.get_submodule(backbone.stages[stage - 1]) if stage else backbone


def dropping(net: nn.Module) -> None:
    """Activate the dropblocks of a network even while it is in evaluation mode."""
    for module in net.modules():
        if isinstance(module, DropBlock):
            module.train()
