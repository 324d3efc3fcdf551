"""The augmented batches of a round."""

from collections.abc import Iterable, Iterator

import numpy as np
from torch import Tensor

from reseen.data.augment import AugmentSettings, augment
from reseen.data.loading import Crops
from reseen.engine.run import Run
from reseen.nets.encoder import Encoder
from reseen.transfer import send


def augmented(
    run: Run,
    encoder: Encoder,
    crops: Crops,
    drawn: tuple[Iterable[np.ndarray], int],
    settings: AugmentSettings,
) -> Iterator[tuple[np.ndarray, Tensor]]:
    """Put an encoder into training mode, and yield the augmented batches of a round.

    Args:
        run: shows the progress, and provides the random numbers of augmentation.
        encoder: the pixels are moved to its device.
        crops: N training images.
        drawn: positions (B,) of each batch, and the number of batches.
        settings: of the augmentation.

    Yields:
        Positions (B,), and pixels (B, 3, H, W) uint8 on the device of the encoder. If several
        processes share a batch, only the rows that this process computes are read.
    """
    order, steps = drawn
    chance = run.rng("augment")
    encoder.train()
    batches = crops.batches(order, encoder.rows)
    for positions, pixels in run.track("training")(batches, steps):
        sent, rows = send(pixels, encoder.device), encoder.rows(len(positions))
        yield positions, augment(sent, chance, settings, encoder.mean, rows)
