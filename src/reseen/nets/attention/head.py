"""Head-level attention: multi-head self-attention of all places (BoTNet, MLA)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reseen.errors import SettingsError


class HeadAttention(nn.Module):
    """Multi-head self-attention of all places: softmax(s q . (k + position)) v in each head.

    Position terms are learnt, one for each row plus one for each column, and initialised from a
    standard normal distribution; for a map of another size they are interpolated. There is no
    residual and no output projection.

    Source: Srinivas et al., Bottleneck Transformers for Visual Recognition (BoTNet), CVPR 2021,
    Fig. 4; Zheng, Multi-Level Attention, Sec. 3.1 and 3.2. Memory: O(B heads (H W)^2).

    Args:
        channels: C of the map.
        heads: number of heads; C must be a multiple of it. BoTNet: 4.
        height, width: size of the map for the position terms; 16 x 8 is the size of the last map of
            256 x 128 pixels without the last downsampling.
        scale: whether s is 1 / sqrt(C / heads), as in Vaswani et al., Attention Is All You Need,
            NeurIPS 2017, Eq. 1, so that attention is uniform at the start; otherwise s is 1, as in
            the text of BoTNet.

    Raises:
        SettingsError: heads do not divide channels.
    """

    def __init__(
        self, channels: int, heads: int = 4, height: int = 16, width: int = 8, scale: bool = True
    ):
        super().__init__()
        if heads < 1 or channels % heads:
            raise SettingsError(
                f"heads is {heads}, but the map has {channels} channels. Use a number that divides "
                "them, such as 4 or 1."
            )
        self.heads = heads
        self.scale = (channels // heads) ** -0.5 if scale else 1.0
        self.query, self.key, self.value = (
            nn.Conv2d(channels, channels, 1, bias=False) for _ in range(3)
        )
        self.rows = nn.Parameter(torch.randn(1, channels, height))
        self.columns = nn.Parameter(torch.randn(1, channels, width))

    def forward(self, x: Tensor) -> Tensor:
        """Attend over a map (B, C, H, W)."""
        parts = self._parts(x)
        return F.scaled_dot_product_attention(*parts, scale=self.scale).mT.reshape(x.shape)

    def weights(self, x: Tensor) -> Tensor:
        """Return how much all places of a map (B, C, H, W) look at each: (B, heads, H, W), mean."""
        query, key, _ = self._parts(x)
        looks = (self.scale * query @ key.mT).float().softmax(-1)
        return looks.mean(2).unflatten(2, x.shape[2:])

    def _parts(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return query, key with its position, and value, each (B, heads, H W, C / heads)."""
        height, width = x.shape[2:]
        position = _fit(self.rows, height)[..., None] + _fit(self.columns, width)[:, :, None]
        key = self.key(x)
        parts = (self.query(x), key + position.to(key.dtype), self.value(x))
        # q . k + q . position = q . (k + position)
        query, key, value = (p.flatten(2).unflatten(1, (self.heads, -1)).mT for p in parts)
        return query, key, value


def _fit(terms: Tensor, size: int) -> Tensor:
    if terms.shape[2] == size:
        return terms
    return F.interpolate(terms, size, mode="linear", align_corners=False)
