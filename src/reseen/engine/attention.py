"""Where an encoder looks: attention maps, and the share of each that lies on the person."""

from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from reseen.data.loading import Crops
from reseen.data.masks import read_masks
from reseen.engine.extract import default_batch
from reseen.errors import SettingsError
from reseen.metrics.attention import person_share
from reseen.nets.attention import Attention
from reseen.nets.encoder import Encoder


@torch.inference_mode()
def attention_maps(encoder: Encoder, crops: Crops) -> dict[str, np.ndarray]:
    """Return maps that show where an encoder looks in each crop.

    Args:
        encoder: used in evaluation mode; its mode is restored afterwards.
        crops: N crops of the encoder's size.

    Returns:
        Maps (N, h, w) float32, 0 or more, by name: `before`, the energy of the input of attention;
        under the name of each module that computes weights, the mean of the weights over channels
        (head: over heads, domain: over keys); `left`, the energy of what domain-adaptive attention
        leaves to the specific branch; `after`, the energy of the output of attention, before any
        gate; and `last`, the energy of the map that is pooled. An encoder without attention has
        only `last`. Energy is the sum of squares over channels.

    Raises:
        SettingsError: an attention module is used twice.

    Source: energy as in Zagoruyko & Komodakis, Paying More Attention to Attention, ICLR 2017,
    Eq. 1 with p = 2.
    """
    names = encoder.settings.attention
    if len(set(names)) < len(names):
        raise SettingsError(f"attention is {', '.join(names)}: two maps would have the same name.")
    found: dict[str, list[Tensor]] = defaultdict(list)

    def watch(name: str, see: Callable[[nn.Module, Tensor], Tensor]) -> Callable:
        return lambda module, inputs: found[name].append(see(module, inputs[0]).cpu())

    training = encoder.training
    encoder.eval()
    with ExitStack() as hooks:
        for block in (module for module in encoder.modules() if isinstance(module, Attention)):
            own = block[: len(names)]  # a convolution that adapts the size may follow
            first, last = own[0], own[-1]
            hooks.enter_context(
                first.register_forward_pre_hook(watch("before", lambda _, x: _energy(x)))
            )
            for name, module in zip(names, own, strict=True):
                if hasattr(module, "weights"):
                    hooks.enter_context(module.register_forward_pre_hook(watch(name, _weights)))
                if hasattr(module, "splits"):
                    hooks.enter_context(
                        module.register_forward_hook(
                            lambda _m, x, y: found["left"].append(_energy(x[0].float() - y))
                        )
                    )
            hooks.enter_context(
                last.register_forward_hook(lambda _m, _x, y: found["after"].append(_energy(y)))
            )
        order = np.array_split(np.arange(len(crops)), -(-len(crops) // default_batch(encoder)))
        for _, pixels in crops.batches(order):
            found["last"].append(_energy(encoder.map(pixels.to(encoder.device))))
    encoder.train(training)
    return {name: torch.cat(maps).cpu().numpy() for name, maps in found.items()}


def attention_on_person(
    encoder: Encoder, crops: Crops, root: Path
) -> dict[str, tuple[float, float]]:
    """Return the share of each map of an encoder that lies on the person, as a mean over crops.

    Args:
        encoder: see `attention_maps`.
        crops: N crops of the encoder's size, of invented people.
        root: folder of the town, which contains the masks.

    Returns:
        For each map of `attention_maps` its share on the person, and the share of the area that
        the person covers.

    Raises:
        DataError: there are no masks.
        SettingsError: an attention module is used twice.
    """
    masks = read_masks(root, crops.images, *crops.size)
    return {
        name: (float(np.nanmean(share)), float(area.mean()))
        for name, maps in attention_maps(encoder, crops).items()
        for share, area in [person_share(maps, masks)]
    }


def _weights(module: nn.Module, x: Tensor) -> Tensor:
    weights = module.weights(x).float().mean(1)  # pyright: ignore[reportCallIssue]
    return weights.expand(len(x), *x.shape[2:])


def _energy(x: Tensor) -> Tensor:
    return x.float().square().sum(1)
