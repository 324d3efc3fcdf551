"""Recompute the batch-norm statistics of a network on given pictures, without training."""

from contextlib import ExitStack

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from reseen.data.loading import Crops
from reseen.engine.progress import QUIET, Screen
from reseen.errors import DataError, counted
from reseen.nets.encoder import Encoder
from reseen.transfer import send

BATCH = 64
"""Pictures in a batch, on every device, because the statistics of deeper layers depend on it."""


class _Moments:
    """Mean and sum of squared deviations of each channel, over all batches so far."""

    count = 0
    mean = squares = torch.zeros(())

    def __call__(self, _module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """Add a batch (B, C, ...); means are merged exactly, whatever the size of the batches."""
        x = inputs[0].detach().float().transpose(0, 1).flatten(1)
        variance, mean = torch.var_mean(x, 1, correction=0)
        total = self.count + x.shape[1]
        apart = mean - self.mean
        self.mean = self.mean + apart * (x.shape[1] / total)
        self.squares = self.squares + x.shape[1] * (variance + apart**2 * (self.count / total))
        self.count = total


@torch.no_grad()
def adapt_norm(encoder: Encoder, crops: Crops, screen: Screen = QUIET) -> None:
    """Replace the running statistics of every batch norm by those of all crops.

    One pass over the crops. The mean and variance of each layer are exact for the inputs that
    reach it, while the layers below it normalise each batch of 64 by its own statistics, as in
    training. The statistics of the first layer therefore do not depend on the batches, and those
    of deeper layers depend on them only a little. The order of the crops is drawn from a fixed
    seed, because neighbouring files are often alike. No weight changes, and nothing is dropped. The
    initial statistics of an untrained neck (0 and 1) are replaced as well.

    Source: Li et al., Revisiting Batch Normalization for Practical Domain Adaptation, 2016.

    Args:
        encoder: changed in place; its mode is restored afterwards.
        crops: N crops of the encoder's size, at least two; of tracklets, the frames from which
            features are computed.
        screen: shows the progress, and says what was done.

    Raises:
        DataError: there are fewer than two crops.
    """
    total = len(crops.owners)
    if total < 2:
        raise DataError(
            f"Batch-norm statistics cannot be computed from {counted(total, 'picture')}. Give a "
            "few hundred pictures, or leave out adapt_norm."
        )
    moments = {norm: _Moments() for norm in encoder.modules() if isinstance(norm, _BatchNorm)}
    order = np.array_split(np.random.default_rng(0).permutation(total), -(-total // BATCH))
    track = screen.track("computing batch-norm statistics")
    with ExitStack() as after:
        after.callback(encoder.train, encoder.training)
        after.callback(encoder.share_batches, *encoder.processes)
        encoder.share_batches(0, 1)  # every process sees all crops
        encoder.eval()
        for norm, taken in moments.items():
            norm.train()
            after.callback(norm.register_forward_pre_hook(taken).remove)
        if encoder.backbone._compiled_call_impl is not None:  # it would ignore the hooks
            after.enter_context(torch.compiler.set_stance("force_eager"))
        for _, pixels in track(crops.frames(order), len(order)):
            encoder(send(pixels, encoder.device))
    for norm, taken in moments.items():
        mean, variance = norm.running_mean, norm.running_var
        if mean is None or variance is None or taken.count < 2:
            continue  # it tracks no statistics, or is in a branch that the encoder does not use
        mean.copy_(taken.mean)
        variance.copy_(taken.squares / (taken.count - 1))
    inside = any(norm is not encoder.neck for norm in moments)
    what = f"batch-norm statistics recomputed on {counted(total, 'picture')}"
    none = f", of the neck only: {encoder.settings.backbone} has no batch norm of its own"
    screen.say(what + ("" if inside else none))
