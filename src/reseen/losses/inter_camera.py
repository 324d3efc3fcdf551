"""The inter-camera loss: images are pulled to their cluster as other cameras see it."""

import torch
from torch import Tensor


def inter_camera(
    vectors: Tensor,
    centres: Tensor,
    clusters: Tensor,
    cameras: Tensor,
    targets: Tensor,
    seen_by: Tensor,
    *,
    temperature: float,
    negatives: int,
) -> Tensor:
    """Pull each image towards its cluster's proxies of other cameras, away from other clusters.

    -1/P times the sum of log softmax(x . g / t) over the P proxies of the own cluster by other
    cameras, where the softmax is over these and the most similar proxies of other clusters;
    averaged over the images that have such proxies.

    Source: Chen et al., ICE: Inter-instance Contrastive Encoding, ICCV 2021, Sec. 3.2; Cho et al.,
    PPLR, CVPR 2022, Sec. 3.4.

    Args:
        vectors: (B, D) unit rows.
        centres: (G, D) unit rows, one proxy per cluster and camera that has seen it.
        clusters: (G,) int64, the cluster of each proxy.
        cameras: (G,) int64, the camera of each proxy.
        targets: (B,) int64, the cluster of each image.
        seen_by: (B,) int64, the camera of each image.
        temperature: t; smaller is sharper.
        negatives: number of proxies of other clusters in the softmax; all if there are fewer.

    Returns:
        A scalar; 0 if no image's cluster was seen by another camera.
    """
    scores = vectors @ centres.T / temperature
    own = targets[:, None] == clusters
    wanted = own & (seen_by[:, None] != cameras)
    count = wanted.sum(1)
    strangers = scores.masked_fill(own, -torch.inf)
    strangers = strangers.topk(min(negatives, scores.shape[1]), dim=1).values
    among = torch.cat([scores.masked_fill(~wanted, -torch.inf), strangers], 1)
    has = count > 0  # all rows are kept and masked: selecting some would wait for a GPU
    among = among.masked_fill(~has[:, None], 0.0).logsumexp(1)
    each = among - scores.masked_fill(~wanted, 0).sum(1) / count.clamp(min=1)
    return each.masked_fill(~has, 0.0).sum() / has.sum().clamp(min=1)
