"""The calls that join a method, data and a folder."""

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from reseen import presets
from reseen.cluster.survey import check_per_person
from reseen.data.given import Thing, gather
from reseen.data.loading import Loading
from reseen.data.reading import read
from reseen.engine import adapt, processes, shards
from reseen.engine import extract as extraction
from reseen.engine.device import Device
from reseen.engine.evaluate import Judge
from reseen.engine.files import alone, refuse_inside, written
from reseen.engine.folder import checkpoint, digest, last_round, read_facts, result
from reseen.engine.progress import Screen, compiling_said
from reseen.engine.run import Run, check_seed
from reseen.engine.settings import automatic, flat
from reseen.errors import CheckpointError, DataError, SettingsError
from reseen.kernels.centring import LEAST, covered
from reseen.kernels.neighbours import nearest
from reseen.nets import backbones
from reseen.nets import encoder as encoders
from reseen.nets.encoder import AnyEncoder, Encoder, EncoderSettings
from reseen.nets.pretrained import is_pretrained
from reseen.presets import PRESETS, suited
from reseen.records import Dataset, Hit, Image, Ranking, cameras_of, distinct

STARTED = ("run.json", "images.txt", "source.txt")
"""Files that a run writes before its first round."""

UNTRAINED = EncoderSettings(backbone=backbones.TINY, height=128, width=64, last_stride=1)
"""The encoder that comes with reseen, used by its name: at the size at which it was trained."""


class Method(Protocol):
    """Anything that can be trained: an object with a method `fit`.

    If it is a dataclass, its fields are saved with the run as settings. Identities are passed only
    to a method with `needs_people = True`. A method with `needs_source = True` is called as
    `fit(images, run, source)`, where `source` has images with identities. A method with
    `takes_source = True` is called so if a source is given, and as `fit(images, run)` otherwise.
    """

    def fit(self, images: tuple[Image, ...], run: Run) -> Encoder:
        """Train on images, whose identities are removed."""
        ...


@processes.group()
def train(
    method: Method | str,
    data: Dataset | Path | str,
    folder: Path | str,
    *,
    seed: int = 0,
    source: Dataset | Path | str | None = None,
    start: Path | str | None = None,
    images_per_person: float | None = None,
    adapt_norm: bool = False,
    device: Device | None = None,
    evaluate_every: int = 5,
    loading: Loading | None = None,
    quiet: bool = False,
) -> Encoder:
    """Train a method on data, and save everything to a folder. The same call resumes a run.

    If the data has identities, they are only used for evaluation: the method gets the images
    without them, in shuffled order.

    If torchrun has started several processes, they train together, and each gets the encoder.

    Args:
        method: a method with its settings, such as `ClusterContrast(epochs=20)`; or the name of a
            method, such as "cluster-contrast". With a name, settings are chosen for the data and
            the machine: those of the paper for a benchmark, others for images of your own.
        data: a data set, or a folder that `read` can read.
        folder: folder of the run; new, or holding the same run.
        seed: seed of all random number generators.
        source: labelled data, for methods that use it; its identities are passed to the method.
        start: a run, one of its checkpoints, or a folder written by `save_pretrained`, whose
            encoder provides the initial weights.
        images_per_person: average number of training images per person, from which settings that
            are auto are derived. By default it is estimated from the images.
        adapt_norm: whether to recompute the batch-norm statistics on the training images before the
            first round, without training.
        device: device and precision.
        evaluate_every: number of rounds between two evaluations; 0 evaluates only after the last
            round.
        loading: how images are read.
        quiet: whether to print nothing.

    Returns:
        The encoder of the last round. If settings were automatic and a measure that needs no labels
        shows that training did harm, the encoder of the best round by this measure, which is
        printed.

    Raises:
        DataError: the data cannot be read.
        SettingsError: a setting is not possible, or the folder holds something else.
        ClusteringError: a round found no clusters that can be trained on.
        CheckpointError: a checkpoint or weights are missing or damaged.
        KeyboardInterrupt: Ctrl-C was pressed; the message tells which round was finished.
    """
    seed = check_seed(seed)
    dataset = _dataset(data)
    if not dataset.train:
        raise DataError(f"{dataset.root} has no training images.")
    screen = Screen(quiet or not processes.first())
    if isinstance(method, str):
        which = suited(dataset.format, (device or Device()).resolve().name != "cpu")
        screen.say(f"preset {which}: {PRESETS[which]}")
        before = load(start, device=device).settings if start else None
        learner: Method = presets.method(method, which, start=before)
    elif isinstance(method, type) or not callable(getattr(method, "fit", None)):
        raise SettingsError(
            f"{method!r:.80} cannot be trained. Give an object with fit(images, run), such as "
            "ClusterContrast() or one of your own, or the name of a method."
        )
    else:
        learner = method
    labelled = source_of(learner, source)
    folder = Path(folder)
    for part in filter(None, (dataset, labelled)):
        refuse_inside(folder, part.root)
    told = getattr(learner, "needs_people", False)
    facts: dict[str, Any] = {
        "method": type(learner).__name__,
        "settings": flat(learner) if is_dataclass(learner) else {},
        "data": {
            "images": len(dataset.train),
            "train": digest(dataset.train, people=told),
            "test": digest(dataset.query + dataset.gallery),
        },
    }
    learnt = dataset.train if labelled is None else dataset.train + labelled.train
    if any(image.frames for image in learnt):
        facts["data"]["frames"] = (loading or Loading()).frames
    if labelled is not None:
        train = digest(labelled.train, people=True)
        facts["source"] = {"images": len(labelled.train), "train": train}
    facts["start"] = None if start is None else str(start)
    check_per_person(images_per_person, len(dataset.train))
    facts["images_per_person"] = images_per_person
    if images_per_person is not None and not (is_dataclass(learner) and automatic(learner)):
        screen.say(
            f"images_per_person {images_per_person:g} is not used, because no setting of "
            f"{type(learner).__name__} is auto (use --preset cpu or gpu for automatic settings)"
        )
    facts["adapt_norm"] = adapt_norm
    for note in dataset.notes + (labelled.notes if labelled else ()):
        screen.say(note)
    judge = Judge(dataset, loading, screen)
    if dataset.query and not judge.can_search:
        screen.say(f"no mAP in this run: {judge.unsearchable}")
    if start is not None and not processes.once(checkpoint(folder, "last").exists):
        start = _checkpoint(Path(start))
    images = dataset.labelled(seed) if told else dataset.unlabelled(seed)
    beside: list[Any] = [] if labelled is None else [labelled.labelled(seed)]
    at_work = alone(folder, STARTED) if processes.first() else nullcontext()
    with at_work, compiling_said(screen):
        run = Run(
            folder,
            facts,
            seed=seed,
            device=device,
            judge=judge,
            evaluate_every=evaluate_every,
            loading=loading,
            screen=screen,
            start=None if start is None else Path(start),
            adapt_norm=adapt_norm,
            images=images,
            cameras=dataset.cameras,
        )
        try:
            encoder = learner.fit(images, run, *beside)
        except KeyboardInterrupt:
            done = last_round(folder)
            raise KeyboardInterrupt(
                f"stopped after round {done}. Run the same command again to resume."
                if done
                else "stopped before a round was finished. Run the same command to start again."
            ) from None
    if not isinstance(encoder, Encoder):
        raise SettingsError(
            f"fit of {type(learner).__name__} returned {encoder!r:.80}. It has to return the "
            "trained encoder, which run.build made."
        )
    if processes.once(result, folder) == "chosen":
        path = checkpoint(folder, "chosen")
        kept = processes.once(encoders.read_checkpoint, path)
        encoder = (device or Device()).place(encoders.revive(kept, path))
    encoder.share_batches(0, 1)
    return encoder


def load(
    run: Path | str,
    *,
    best: bool = False,
    adapt_norm: Dataset | Path | str | None = None,
    device: Device | None = None,
    loading: Loading | None = None,
    quiet: bool = False,
) -> Encoder:
    """Load the encoder of a run: that of its last round, unless training did harm.

    Args:
        run: folder of a run, one of its checkpoints, a folder written by `save_pretrained`, or
            `reseen-tiny`, the encoder that comes with reseen (unless there is a file or folder of
            that name).
        best: whether to load the encoder of the round that was best on the test set instead.
        adapt_norm: images on which the batch-norm statistics are recomputed, such as the crops to
            be searched. Useful for an encoder that was not trained on images of this site. Of a
            data set or folder, the training images are used, or all others if there are none.
        device: device and precision.
        loading: how the images of `adapt_norm` are read.
        quiet: whether to print nothing.

    Returns:
        The encoder, on the device.

    Raises:
        CheckpointError: there is no such run or checkpoint, or it is damaged.
        DataError: images cannot be read, or there are fewer than two.
    """
    if is_shipped(run) and not best:
        encoder = encoders.build(UNTRAINED)
    else:
        encoder = encoders.load(_checkpoint(Path(run), "best" if best else ""))
    encoder = (device or Device()).place(encoder)
    if adapt_norm is not None:
        data, screen = _dataset(adapt_norm), Screen(quiet)
        images = data.train or distinct(data.query, data.gallery)
        crops = extraction.load(images, encoder, loading, screen)
        adapt.adapt_norm(encoder, crops, screen)
        encoder.camera_statistics = None  # they are of the previous features
        if encoder.settings.whitening:
            encoder.unwhiten()
            encoder.whiten(extraction.extract(encoder, crops, track=screen.track("extracting")))
    return encoder


def embedder(
    run: Path | str,
    *,
    best: bool = False,
    adapt_norm: Dataset | Path | str | None = None,
    device: Device | None = None,
    loading: Loading | None = None,
    quiet: bool = False,
) -> AnyEncoder:
    """Load the encoder of a run, as `load` does, or an exported file.

    Args:
        run: as in `load`; or an .onnx, .xml or .pt2 file written by `reseen export`, which is run
            on the CPU.
        best, adapt_norm, device, loading, quiet: as in `load`; not possible for exported files.

    Raises:
        CheckpointError, DataError: as in `load`; or the file does not reproduce the features on its
            card.
        SettingsError: `best` or `adapt_norm` is given for an exported file, or its runtime is not
            installed.
    """
    if not is_exported(run):
        how: Any = dict(adapt_norm=adapt_norm, device=device, loading=loading, quiet=quiet)
        return load(run, best=best, **how)
    if best or adapt_norm is not None:
        raise SettingsError(
            f"{run} is an exported file, which cannot be changed. Leave out best and adapt_norm, "
            "or give the run from which it was exported."
        )
    from reseen.export import Exported

    return Exported(run)


def is_exported(run: Path | str) -> bool:
    """Return whether a run is given as the name of an exported file."""
    return Path(run).suffix in (".onnx", ".xml", ".pt2")


def is_shipped(run: Path | str) -> bool:
    """Return whether a run is given as the name of the encoder that comes with reseen."""
    return str(run) == backbones.TINY and not Path(run).exists()


def untrained(run: Path | str, *, device: Device | None = None) -> Encoder:
    """Build the encoder that a run started from, by its settings, initial weights and seed.

    Its batch-norm statistics are those before `adapt_norm`.

    Args:
        run: folder of a run.
        device: device and precision.

    Raises:
        CheckpointError: the run has not finished a round, or its initial weights no longer exist.
    """
    settings, facts = load(run).settings, read_facts(Path(run))
    torch.manual_seed(facts["seed"])
    if start := facts.get("start"):
        encoder = encoders.start(settings, _checkpoint(Path(start)))
    else:
        encoder = encoders.build(settings)
    return (device or Device()).place(encoder)


def evaluate(
    encoder: AnyEncoder,
    data: Dataset | Path | str,
    *,
    rerank: bool = False,
    centring: str = "off",
    loading: Loading | None = None,
    quiet: bool = False,
) -> Ranking:
    """Evaluate an encoder on the queries and gallery of a data set (Market-1501 protocol).

    Args:
        encoder: an encoder from `load`, `train` or `embedder`.
        data: a data set with queries and a gallery, or its folder.
        rerank: whether to re-rank by k-reciprocal encoding.
        centring: how to centre the features of each camera: mean, deviation or off (see `extract`).
        loading: how images are read.
        quiet: whether to print nothing.

    Returns:
        The ranking, with mAP, CMC and mINP.

    Raises:
        DataError: there are no queries or no gallery, or images cannot be read.
        SettingsError: as in `extract`.
    """
    every = compare(encoder, data, (centring,), rerank=rerank, loading=loading, quiet=quiet)
    return every[centring]


def compare(
    encoder: AnyEncoder,
    data: Dataset | Path | str,
    centrings: Sequence[str],
    *,
    rerank: bool = False,
    loading: Loading | None = None,
    quiet: bool = False,
) -> dict[str, Ranking]:
    """Evaluate an encoder with several ways of centring, extracting the features only once.

    Args:
        encoder, data, rerank, loading, quiet: as in `evaluate`.
        centrings: some of off, mean and deviation.

    Returns:
        The ranking for each way of centring.

    Raises:
        DataError, SettingsError: as in `evaluate`.
    """
    dataset, screen = _dataset(data), Screen(quiet)
    for note in dataset.notes:
        screen.say(note)
    return Judge(dataset, loading, screen).compare(encoder, centrings, rerank=rerank)


def learn_cameras(
    encoder: AnyEncoder,
    data: Dataset | Path | str,
    *,
    loading: Loading | None = None,
    quiet: bool = False,
) -> None:
    """Compute the camera statistics of an encoder from the training crops of a site.

    `train` does this for its own encoder. This function is for encoders without camera statistics,
    such as reseen-tiny and those of runs by older versions.

    Args:
        encoder: encoder whose `camera_statistics` are set.
        data: data set whose training images are used; identities are not needed.
        loading: how images are read.
        quiet: whether to print nothing.

    Raises:
        DataError: fewer than two cameras have enough crops, or images cannot be read.
    """
    dataset, screen = _dataset(data), Screen(quiet)
    if not len(covered(cameras_of(dataset.train))):
        raise DataError(
            f"{dataset.root} has no two cameras with at least {LEAST} training crops each, so "
            "camera statistics cannot be computed (reseen data check shows what it has)."
        )
    crops = extraction.load(dataset.train, encoder, loading, screen)
    features = extraction.extract(encoder, crops, track=screen.track("extracting"))
    of = extraction.camera_statistics(crops.images, features, dataset.cameras)
    encoder.camera_statistics = of


def extract(
    encoder: AnyEncoder,
    images: Dataset | Thing | Iterable[Thing],
    *,
    centring: str = "off",
    camera: str | None = None,
    loading: Loading | None = None,
    quiet: bool = False,
) -> tuple[np.ndarray, tuple[Image, ...]]:
    """Extract the features of images.

    With `centring`, the mean feature of each camera is subtracted (and with deviation, the result
    is divided by the standard deviation), using the camera statistics that were computed from the
    training crops. Unknown cameras are treated as an average camera. Do not compare features that
    are centred with features that are not.

    Args:
        encoder: an encoder from `load`, `train` or `embedder`.
        images: one or several of these: the path of an image, of a folder of images or of a
            manifest; a PIL image; an RGB array (H, W, 3) uint8; a record, such as those of
            `read(folder).train`. Or a data set, of which all parts are used.
        centring: mean, deviation or off. Cameras are identified by their names in folders and
            files, or by their numbers; those of records by their numbers.
        camera: name of the camera for images that do not tell it.
        loading: how images are read.
        quiet: whether to print nothing.

    Returns:
        Features (N, D) float32, unit rows, and their images: all given images except those skipped
        because they cannot be read. The path of an image or array in memory is `picture-3`, where 3
        is its position among the given ones, counted from 0.

    Raises:
        DataError: no images are given, or something is not an image or cannot be read.
        SettingsError: the encoder has no camera statistics, or they do not include `camera`.
    """
    _check_camera(encoder, centring, camera)
    screen, given = Screen(quiet), gather(images)
    for note in given.notes:
        screen.say(note)
    crops = extraction.load(given.images, encoder, loading, screen, pictures=given.pictures)
    features = extraction.extract(encoder, crops, track=screen.track("extracting"))
    if centring != "off":
        told = {i.path: c or camera for i, c in zip(given.images, given.cameras, strict=True)}
        cameras = [told[image.path] for image in crops.images]
        features = extraction.centred(encoder, features, cameras, centring)
    return features, crops.images


def extract_to(
    encoder: AnyEncoder,
    images: Dataset | Thing | Iterable[Thing],
    out: Path,
    *,
    centring: str = "off",
    camera: str | None = None,
    loading: Loading | None = None,
    quiet: bool = False,
) -> tuple[int, int]:
    """Write the features of any number of images to a file.

    Many images are processed in parts, each of which is saved when it is complete: the same call
    resumes an extraction that was stopped, and several processes of torchrun share the parts
    (`engine.shards`). Memory grows with the number of pictures only by their names.

    Args:
        encoder, images, centring, camera, loading, quiet: as in `extract`.
        out: the .npz file: features (N, D) float32 unit rows, paths (N,), absolute, and centring.

    Returns:
        N and D.

    Raises:
        DataError, SettingsError: as `extract`, or there are parts of other features beside `out`.
    """
    given = gather(images)
    if (len(given.images) <= shards.SHARD and not processes.started()) or given.pictures:
        features, kept = extract(
            encoder, images, centring=centring, camera=camera, loading=loading, quiet=quiet
        )
        with written(out) as file:
            paths = np.array([str(image.path.absolute()) for image in kept])
            np.savez(file, features=features, paths=paths, centring=centring)
        return features.shape
    _check_camera(encoder, centring, camera)
    screen = Screen(quiet or not processes.first())
    for note in given.notes:
        screen.say(note)

    def change(rows: np.ndarray, positions: np.ndarray) -> np.ndarray:
        cameras = [given.cameras[i] or camera for i in positions]
        return extraction.centred(encoder, rows, cameras, centring)

    more = {"centring": np.array(centring)}
    how: Any = dict(loading=loading, screen=screen, change=change, more=more)
    return shards.extract_in_parts(encoder, given.images, out, **how)


def _check_camera(encoder: AnyEncoder, centring: str, camera: str | None) -> None:
    known = extraction.statistics_for(encoder, centring)
    if camera is not None and (known is None or camera not in known.names):
        names = "none" if known is None else ", ".join(known.names)
        raise SettingsError(
            f"camera is {camera!r}, but the known cameras are: {names}. Use one of these with "
            "centring mean or deviation, or leave out camera."
        )


def search(
    encoder: AnyEncoder,
    queries: Dataset | Thing | Iterable[Thing],
    gallery: Dataset | Thing | Iterable[Thing],
    top: int = 10,
    *,
    centring: str = "off",
    camera: str | None = None,
    loading: Loading | None = None,
    quiet: bool = False,
) -> list[Hit]:
    """Find the images of a gallery that are most similar to each query.

    Similarity is not proof of identity: some image always comes first.

    Args:
        encoder: an encoder from `load`, `train` or `embedder`.
        queries: images to search for, as in `extract`.
        gallery: images to search, as in `extract`. A query that is among them is left out of its
            own hits.
        top: number of hits for each query; fewer if the gallery has no more.
        centring: as in `extract`, for queries and gallery.
        camera: name of the camera for queries that do not tell it.
        loading: how images are read.
        quiet: whether to print nothing.

    Returns:
        The hits of the first query, the most similar first, then those of the next query, and so
        on.

    Raises:
        DataError: images cannot be read, or the gallery holds nothing but the query.
        SettingsError: top is below 1, or a setting is not possible as in `extract`.
    """
    if top < 1:
        raise SettingsError(f"top is {top}. Use 1 or more.")
    how: Any = dict(centring=centring, loading=loading, quiet=quiet)
    wanted, asked = extract(encoder, queries, camera=camera, **how)
    features, images = extract(encoder, gallery, **how)
    files = [_file(image) for image in images]
    spare = max(Counter(filter(None, files)).values(), default=0)  # one may have several names
    hits = []
    for query, *near in zip(asked, *nearest(wanted, top + spare, features), strict=True):
        itself = _file(query)
        others = [(i, s) for i, s in zip(*near, strict=True) if not itself or files[i] != itself]
        if not others:
            raise DataError(f"The gallery holds nothing but the query {query.path}. Give another.")
        hits += [Hit(query, images[i], n, float(s)) for n, (i, s) in enumerate(others[:top], 1)]
    return hits


def _file(image: Image) -> tuple[int, int] | None:
    """Tell files apart, whatever their names; None for a picture in memory."""
    try:
        found = image.path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _checkpoint(run: Path, which: str = "") -> Path:
    """Find a checkpoint of a run, by default that of its result."""
    if is_shipped(run):
        raise CheckpointError(
            f"{run} is not a run, so it has no best round. To start training from it, use "
            f"--encoder.backbone {run}."
        )
    if is_exported(run):
        raise CheckpointError(
            f"{run} is an exported file. It can compute features (extract, evaluate, search; in "
            "Python training.embedder), but it cannot be trained or inspected. Give a run."
        )
    if not run.exists():
        raise CheckpointError(
            f"{run} does not exist. Give the folder of a run, a checkpoint, or {backbones.TINY}, "
            "the encoder that comes with reseen."
        )
    if run.is_file():
        return run
    if is_pretrained(run):
        if which == "best":
            raise CheckpointError(
                f"{run} is an encoder without its run, so it has no best round. Leave out best."
            )
        return run
    read_facts(run)
    path = checkpoint(run, which or result(run))
    if not path.exists():
        raise CheckpointError(
            f"{path} does not exist. The run in {run} has not finished a round"
            + (", or was never evaluated. Leave out best." if which == "best" else ".")
        )
    return path


def source_of(method: Method, source: Dataset | Path | str | None) -> Dataset | None:
    """Read the source of a method.

    Raises:
        SettingsError: the method needs a source and there is none, or the other way round.
    """
    name = type(method).__name__
    needed, taken = (getattr(method, w, False) for w in ("needs_source", "takes_source"))
    if source is None:
        if needed:
            raise SettingsError(
                f"{name} trains on two data sets at once. In addition to the unlabelled data, give "
                "a labelled data set: --source DATA."
            )
        return None
    if not (needed or taken):
        raise SettingsError(
            f"{name} trains on one data set, but a source is given too. Leave out the source, or "
            "start from a run that was trained on it: --start RUN."
        )
    return _dataset(source)


def _dataset(data: Dataset | Path | str) -> Dataset:
    return data if isinstance(data, Dataset) else read(Path(data))
