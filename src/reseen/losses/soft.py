"""Cross-entropy whose target is spread over an image's own class and its reliable images."""

import torch.nn.functional as F
from torch import Tensor


def soft_cross_entropy(
    vectors: Tensor,
    table: Tensor,
    targets: Tensor,
    reliable: Tensor,
    own: float,
    temperature: float,
) -> Tensor:
    """Cross-entropy with soft targets: the image's own class and those of its reliable images.

    -own log p(own class) - (1 - own) / k times the sum of log p over its k reliable classes, where
    p is the softmax of x . V / t, averaged over the batch.

    Source: Lin et al., Softened Similarity Learning, CVPR 2020, Eqs. 1, 3 and 4.

    Args:
        vectors: (B, D) unit rows.
        table: V, (K, D) unit rows, one per class.
        targets: (B,) int64, the class of each image, 0..K-1.
        reliable: (B, k) int64, classes of the reliable images of each image, k at least 1.
        own: lambda, the share of the target that is on the own class, 0 to 1.
        temperature: t; smaller is sharper.

    Returns:
        A scalar.
    """
    log_p = F.log_softmax(vectors @ table.T / temperature, dim=1)
    near = log_p.gather(1, reliable).mean(1)
    return -(own * log_p.gather(1, targets[:, None])[:, 0] + (1 - own) * near).mean()
