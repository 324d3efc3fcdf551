"""Batch-norm statistics of a network taken anew on the pictures at hand, without training."""

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
"""Pictures at a time, on every device, because the maps of deeper layers depend on it a little."""


class _Moments:
    """Mean and summed squared deviation of each channel, over all batches so far."""

    count = 0
    mean = squares = torch.zeros(())

    def __call__(self, _module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """Add a batch (B, C, ...); its mean is merged exactly, whatever the size of the batches."""
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

    One pass: each layer's mean and variance are exact over what reaches it from all crops, where
    the layers below it normalise each batch of 64 by the batch's own statistics, as in training.
    The first layer's are therefore independent of the batches, and deeper ones nearly so. The
    crops come in an order drawn from a fixed seed, because neighbours in a folder are alike. No
    weight changes, and nothing is dropped; what an untrained neck began with (0 and 1) is replaced
    as well.

    Source: Li et al., Revisiting Batch Normalization for Practical Domain Adaptation, 2016.

    Args:
        encoder: changed in place, and left in the mode it came in.
        crops: N crops of the encoder's size, two or more; of tracklets, the frames that make
            features.
        screen: where to show progress and say what was done.

    Raises:
        DataError: there are fewer than two crops.
    """
    total = len(crops.owners)
    if total < 2:
        raise DataError(
            f"Batch-norm statistics cannot be taken of {counted(total, 'picture')}. Give some "
            "hundreds of pictures, or leave out adapt_norm."
        )
    moments = {norm: _Moments() for norm in encoder.modules() if isinstance(norm, _BatchNorm)}
    order = np.array_split(np.random.default_rng(0).permutation(total), -(-total // BATCH))
    track = screen.track("taking batch-norm statistics")
    with ExitStack() as after:
        after.callback(encoder.train, encoder.training)
        after.callback(encoder.share_batches, *encoder.processes)
        encoder.share_batches(0, 1)  # each process sees all crops
        encoder.eval()
        for norm, taken in moments.items():
            norm.train()
            after.callback(norm.register_forward_pre_hook(taken).remove)
        if encoder.backbone._compiled_call_impl is not None:  # it would keep the hooks
            after.enter_context(torch.compiler.set_stance("force_eager"))
        for _, pixels in track(crops.frames(order), len(order)):
            encoder(send(pixels, encoder.device))
    for norm, taken in moments.items():
        mean, variance = norm.running_mean, norm.running_var
        if mean is None or variance is None or taken.count < 2:
            continue  # it keeps none, or stands in a branch that the encoder does not use
        mean.copy_(taken.mean)
        variance.copy_(taken.squares / (taken.count - 1))
    inside = any(norm is not encoder.neck for norm in moments)
    what = f"batch-norm statistics taken anew on {counted(total, 'picture')}"
    none = f" of the neck alone, as {encoder.settings.backbone} has no batch norm of its own"
    screen.say(what + ("" if inside else none))
