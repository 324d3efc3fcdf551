"""The batches of a round as a network in training sees them."""

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
    """Give the batches of a round, augmented, to an encoder that is put into training mode.

    Args:
        run: shows the progress, and draws what augmentation leaves to chance.
        encoder: where the pixels go.
        crops: N training images.
        drawn: positions (B,) of each batch, and how many batches there are.
        settings: of the augmentation.

    Yields:
        Positions (B,), and pixels (B, 3, H, W) uint8 on the device of the encoder. Where several
        processes share a batch, only the rows that the encoder looks at here are read.
    """
    order, steps = drawn
    chance = run.rng("augment")
    encoder.train()
    batches = crops.batches(order, encoder.rows)
    for positions, pixels in run.track("training")(batches, steps):
        sent, rows = send(pixels, encoder.device), encoder.rows(len(positions))
        yield positions, augment(sent, chance, settings, encoder.mean, rows)
