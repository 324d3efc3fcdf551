"""From records to crops, and from crops to features."""

from collections.abc import Sequence

import numpy as np
import torch

from reseen.data.loading import Crops, Loading, decoded_bytes
from reseen.engine.progress import QUIET, UNTRACKED, Screen, Track
from reseen.nets.encoder import Encoder
from reseen.records import Image


def load(
    images: Sequence[Image],
    encoder: Encoder,
    loading: Loading | None = None,
    screen: Screen = QUIET,
) -> Crops:
    """Read images at the size of an encoder and keep them near it; say what that takes.

    Raises:
        DataError: pictures cannot be read.
    """
    loading = loading or Loading()
    height, width = encoder.settings.height, encoder.settings.width
    size = decoded_bytes(len(images), height, width) / 1e9
    kept = loading.fits(len(images), height, width)
    how = "kept in memory" if kept else f"read anew each time (over {loading.memory:g} GB)"
    screen.say(f"{len(images)} images, {size:.2f} GB at {height} x {width}, {how}")
    crops = Crops(images, height, width, loading, track=screen.track("reading"))
    for line in crops.broken:
        screen.say(f"  left out, cannot be read: {line}")
    return crops.to(encoder.device)


def default_batch(encoder: Encoder) -> int:
    """Give the number of crops that `extract` takes at a time where nobody says."""
    return 64 if encoder.device.type == "cpu" else 256


def extract(
    encoder: Encoder,
    crops: Crops,
    *,
    batch: int | None = None,
    track: Track = UNTRACKED,
) -> np.ndarray:
    """Give the features of all crops as unit rows.

    Args:
        encoder: used in evaluation mode, and left in the mode it came in.
        crops: N crops of the encoder's size.
        batch: crops at a time; by default 64 on a CPU, whose caches and page tables suffer from
            more (SqueezeNet was half as fast at 256), and 256 elsewhere.
        track: wraps the batches, to show progress.

    Returns:
        (N, D) float32, in the order of the crops.
    """
    return extract_parts(encoder, crops, 0, batch=batch, track=track)[0]


@torch.inference_mode()
def extract_parts(
    encoder: Encoder,
    crops: Crops,
    parts: int,
    *,
    batch: int | None = None,
    track: Track = UNTRACKED,
) -> np.ndarray:
    """Give the features of all crops, and of their horizontal stripes, as unit rows.

    Args:
        encoder, crops, batch, track: as in `extract`.
        parts: stripes, p (see `Encoder.parts`); 0 for none.

    Returns:
        (1 + p, N, D) float32: whole crops first, then the stripes from top to bottom.

    Memory: O((1 + p) N D), on the encoder's device and once more on the CPU.
    """
    batch = batch or default_batch(encoder)
    training = encoder.training
    encoder.eval()
    out = torch.empty(1 + parts, len(crops), encoder.dimensions, device=encoder.device)
    starts = range(0, len(crops), batch)
    # The last batch is filled up from the one before: small batches take other kernels, whose
    # rounding was seen to differ between a run and the same run resumed.
    ends = (min(start + batch, len(crops)) for start in starts)
    order = (np.arange(max(0, end - batch), end) for end in ends)
    for positions, pixels in track(crops.batches(order), len(starts)):
        rows = slice(positions[0], positions[-1] + 1)
        pixels = pixels.to(encoder.device, non_blocking=True)
        out[:, rows] = encoder.parts(pixels, parts) if parts else encoder(pixels)
    encoder.train(training)
    return out.cpu().numpy()
