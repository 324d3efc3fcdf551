"""Batch norm for another domain: the same network, with separate batch-norm layers."""

from copy import deepcopy

from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm


class DomainNorm(nn.Module):
    """A copy of the batch norms of an encoder, for batches of a second domain.

    All other layers are shared. The statistics and weights of the encoder's own batch norms do not
    depend on this domain, so only the encoder is saved, evaluated and used for search.

    Source: Chang et al., Domain-Specific Batch Normalization, CVPR 2019; Ge et al., SpCL, NeurIPS
    2020, which uses it for a source and a target.

    Args:
        encoder: its batch norms are copied in their current state.
    """

    def __init__(self, encoder: nn.Module):
        super().__init__()
        found = {n: m for n, m in encoder.named_modules() if isinstance(m, _BatchNorm)}
        self._names = list(found)
        self.norms = nn.ModuleList(deepcopy(norm) for norm in found.values())

    def forward(self, encoder: nn.Module, pixels: Tensor) -> Tensor:
        """Return the encoder's output for pixels (B, 3, H, W) in this domain."""
        own = {
            f"{name}.{weight}": value
            for name, norm in zip(self._names, self.norms, strict=True)
            for weight, value in (*norm.named_parameters(), *norm.named_buffers())
        }
        return functional_call(encoder, own, (pixels,))
