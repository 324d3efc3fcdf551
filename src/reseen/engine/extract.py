"""Read crops, and compute their features."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import prod
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
import PIL.Image
import torch
import torch.nn.functional as F
from torch import Tensor

from reseen.data.loading import SHOWN, Crops, Loading, decoded_bytes, thin
from reseen.engine.progress import QUIET, UNTRACKED, Screen, Track
from reseen.errors import SettingsError, counted
from reseen.kernels.centring import CENTRINGS, LEAST, CameraStatistics, covered, moments
from reseen.nets.encoder import AnyEncoder, Encoder
from reseen.records import Image, camera_names, cameras_of
from reseen.transfer import send

MAPPED = 1 << 29
"""Size in bytes from which the features of a run are kept in a memory-mapped file in its folder
instead of in memory."""


def load(
    images: Sequence[Image],
    encoder: AnyEncoder,
    loading: Loading | None = None,
    screen: Screen = QUIET,
    chance: Callable[[], np.random.Generator] | None = None,
    pictures: Mapping[Path, PIL.Image.Image] | None = None,
) -> Crops:
    """Read images at the size of an encoder, keep them on its device, and say how large they are.

    Args:
        images: N records.
        encoder: gives the size and the device.
        loading: how they are read.
        screen: prints the messages.
        chance: for training, makes the generator that draws frames of tracklets. Without it, only
            the frames from which features are computed are read.
        pictures: RGB pictures in memory, to be used instead of the files at their paths.

    Raises:
        DataError: pictures cannot be read.
    """
    loading = loading or Loading()
    height, width = encoder.settings.height, encoder.settings.width
    if chance is None:
        images = [thin(image, loading.frames) for image in images]
    count = sum(len(image.frames) or 1 for image in images)
    what = counted(len(images), "image")
    if any(image.frames for image in images):
        what = f"{counted(len(images), 'tracklet')} of {counted(count, 'frame')}"
    size = decoded_bytes(count, height, width) / 1e9
    kept = loading.fits(count, height, width)
    how = "kept in memory" if kept else f"read again each time (over {loading.memory:g} GB)"
    screen.say(f"{what}, {size:.2f} GB at {height} x {width}, {how}")
    track = screen.track("reading")
    crops = Crops(images, height, width, loading, track=track, chance=chance, pictures=pictures)
    for line in crops.broken[:SHOWN]:
        screen.say(f"  left out, cannot be read: {line}")
    if len(crops.broken) > SHOWN:
        screen.say(f"  left out, cannot be read: {len(crops.broken) - SHOWN} more")
    return crops.to(encoder.device)


def camera_statistics(
    images: Sequence[Image], features: np.ndarray, names: Mapping[int, str]
) -> CameraStatistics:
    """Measure the statistics of each camera's features; no identities are needed.

    Args:
        images: N training crops, from at least two cameras with LEAST crops each (`covered`).
        features: (N, D) unit rows, in the order of the images.
        names: of the cameras, by number (`Dataset.cameras`).
    """
    cameras = cameras_of(images)
    told = dict(zip(cameras.tolist(), camera_names(images, names), strict=True))
    known = (told[camera] or "" for camera in covered(cameras).tolist())
    return CameraStatistics(tuple(known), moments(features, cameras))


def centred(
    encoder: AnyEncoder, features: np.ndarray, cameras: Sequence[str | None], how: str
) -> np.ndarray:
    """Centre features by the camera statistics of an encoder.

    Args:
        encoder: has the camera statistics.
        features: (N, D) unit rows.
        cameras: N names of their cameras, None if unknown (`camera_names`).
        how: off, mean or deviation.

    Returns:
        (N, D) unit rows.

    Raises:
        SettingsError: as `statistics_for`.
    """
    found = statistics_for(encoder, how)
    return features if found is None else found.centred(features, cameras, how)


def statistics_for(encoder: AnyEncoder, how: str) -> CameraStatistics | None:
    """Return the camera statistics by which features are centred, None if `how` is off.

    Raises:
        SettingsError: the encoder has none, or `how` is not off, mean or deviation.
    """
    if how == "off":
        return None
    if how not in CENTRINGS:
        raise SettingsError(f"centring is {how!r}. Use one of: {', '.join(CENTRINGS)}.")
    if encoder.camera_statistics is None:
        raise SettingsError(
            f"centring is {how!r}, but this encoder has no camera statistics. A training run saves "
            f"them if at least two cameras have {LEAST} training crops each. Leave out centring, "
            "or compute them first (training.learn_cameras, --centring-from DATA)."
        )
    return encoder.camera_statistics


def default_batch(encoder: AnyEncoder) -> int:
    """Return the default number of crops in a batch of `extract`.

    If several processes share a batch, each gets this number.
    """
    return sharers(encoder) * (64 if encoder.device.type == "cpu" else 256)


def sharers(encoder: AnyEncoder) -> int:
    """Return the number of processes that share the batches of an encoder."""
    return encoder.processes[1] if isinstance(encoder, Encoder) else 1


def extract(
    encoder: AnyEncoder,
    crops: Crops,
    *,
    batch: int | None = None,
    track: Track = UNTRACKED,
) -> np.ndarray:
    """Compute the features of all crops, as unit rows.

    The feature of a tracklet is the mean of the features of its frames, normalised again (Lin et
    al., Unsupervised Person Re-identification via Softened Similarity Learning, CVPR 2020,
    Sec. 4.1).

    Args:
        encoder: used in evaluation mode; its mode is restored afterwards.
        crops: N crops of the encoder's size.
        batch: crops in a batch; by default 64 on a CPU, whose caches and page tables suffer from
            more (SqueezeNet was half as fast with 256), and 256 elsewhere.
        track: wraps the loop over batches, to show progress.

    Returns:
        (N, D) float32, in the order of the crops.
    """
    return extract_of(encoder, crops, encoder, batch=batch, track=track)


def extract_parts(
    encoder: Encoder,
    crops: Crops,
    parts: int,
    *,
    batch: int | None = None,
    track: Track = UNTRACKED,
) -> np.ndarray:
    """Compute the features of all crops, and of their horizontal stripes, as unit rows.

    Args:
        encoder, crops, batch, track: as in `extract`.
        parts: number of stripes, p (see `Encoder.parts`); 0 for none.

    Returns:
        (1 + p, N, D) float32: whole crops first, then the stripes from top to bottom.

    Memory: O((1 + p) N D), on the encoder's device and again on the CPU.
    """
    of = partial(encoder.parts, count=parts) if parts else lambda pixels: encoder(pixels)[None]
    return extract_of(encoder, crops, of, batch=batch, track=track)


@torch.inference_mode()
def extract_of(
    encoder: AnyEncoder,
    crops: Crops,
    of: Callable[[Tensor], Tensor],
    *,
    unit: bool = True,
    batch: int | None = None,
    track: Track = UNTRACKED,
) -> np.ndarray:
    """Compute a function of all crops; for a tracklet, its mean over the frames.

    Args:
        encoder, crops, batch, track: as in `extract`.
        of: maps pixels (B, 3, H, W), 0 to 255, to vectors (..., B, D).
        unit: whether the vectors are unit rows; the means of tracklets are then normalised too.

    Returns:
        (..., N, D) float32, in the order of the crops. From MAPPED bytes on, it is a memory map
        of an unnamed file in the crops' scratch folder, if they have one; the file is deleted
        together with the array.
    """
    batch = batch or default_batch(encoder)
    training = encoder.training
    encoder.eval()
    out = torch.empty(0)
    share = 1 / np.bincount(crops.owners, minlength=len(crops)).astype(np.float32)
    total, done = len(crops.owners), 0
    starts = range(0, total, batch)
    # The last batch is filled up with crops of the one before: small batches use other kernels,
    # whose rounding differed between a run and the same run after resuming.
    ends = (min(start + batch, total) for start in starts)
    order = (np.arange(max(0, end - batch), end) for end in ends)
    rows = encoder.rows if isinstance(encoder, Encoder) else None
    for places, pixels in track(crops.frames(order, rows), len(starts)):
        values = of(send(pixels, encoder.device))
        if not done:
            shape = (*values.shape[:-2], len(crops), values.shape[-1])
            mapped = crops.scratch is not None and 4 * prod(shape) >= MAPPED
            out = _mapped(shape, crops.scratch) if mapped else values.new_zeros(shape)
        owners = crops.owners[done : places[-1] + 1]
        rows = np.arange(owners[0], owners[-1] + 1)
        # A matrix product adds in a fixed order, index_add on a GPU does not.
        weights = (rows[:, None] == owners) * share[rows, None]
        values = values[..., done - places[0] :, :]
        found = send(weights, encoder.device) @ values
        out[..., rows[0] : rows[-1] + 1, :] += found.to(out.device)
        done = places[-1] + 1
    if crops.tracklets and unit:
        F.normalize(out, dim=-1, out=out)
    encoder.train(training)
    return out.cpu().numpy()


def _mapped(shape: tuple[int, ...], folder: Path | None) -> Tensor:
    """Create zeros in an unnamed file."""
    with TemporaryFile(dir=folder) as file:  # the memory map keeps it open
        return torch.from_numpy(np.memmap(file, np.float32, "w+", shape=shape))
