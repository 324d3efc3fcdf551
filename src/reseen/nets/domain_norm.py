"""Batch norm of another domain: the same network, normalised by weights of its own."""

from copy import deepcopy

from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm


class DomainNorm(nn.Module):
    """The batch norms of an encoder once more, for a second domain that passes apart.

    Everything else is shared. The encoder's own statistics and weights never see this domain, so
    the encoder alone is what is kept, judged and searched with.

    Source: Chang et al., Domain-Specific Batch Normalization, CVPR 2019; Ge et al., SpCL, NeurIPS
    2020, which has it for a source and a target.

    Args:
        encoder: its batch norms are copied as they are now.
    """

    def __init__(self, encoder: nn.Module):
        super().__init__()
        found = {n: m for n, m in encoder.named_modules() if isinstance(m, _BatchNorm)}
        self._names = list(found)
        self.norms = nn.ModuleList(deepcopy(norm) for norm in found.values())

    def forward(self, encoder: nn.Module, pixels: Tensor) -> Tensor:
        """Give what the encoder gives of pixels (B, 3, H, W), by the batch norms of this domain."""
        own = {
            f"{name}.{weight}": value
            for name, norm in zip(self._names, self.norms, strict=True)
            for weight, value in (*norm.named_parameters(), *norm.named_buffers())
        }
        return functional_call(encoder, own, (pixels,))
