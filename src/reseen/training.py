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
"""Files that a run writes before it has measured or learnt anything."""

UNTRAINED = EncoderSettings(backbone=backbones.TINY, height=128, width=64, last_stride=1)
"""The encoder that ships, as it is used by its name alone: the size at which it was trained."""


class Method(Protocol):
    """What can be trained: any object with `fit`; its settings are kept if it is a dataclass.

    Only a method that says `needs_people = True` is told who is who. One that says
    `needs_source = True` gets `fit(images, run, source)`: images whose people it is told, beside
    those that it has to learn without. One that says `takes_source = True` gets them where a source
    is given, and `fit(images, run)` otherwise.
    """

    def fit(self, images: tuple[Image, ...], run: Run) -> Encoder:
        """Learn from images, whose people are withheld."""
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
    """Train a method on data and keep everything in a folder; the same call resumes.

    Where torchrun has started several processes, they train together: each gets the encoder.

    People in the data, where they are known, only judge: the method gets the images without them,
    shuffled.

    Args:
        method: settings with `fit`, such as `ClusterContrast(epochs=20)`; or the name of a method,
            such as "cluster-contrast", whose settings then suit the data and the machine: those of
            the paper for a benchmark, others for pictures of your own.
        data: a data set, or a folder that `read` understands.
        folder: the run's; new, or holding the same run.
        seed: root of every random draw.
        source: labelled data, for a method that learns from both; its people reach the method.
        start: a run, one of its checkpoints, or a folder that `save_pretrained` wrote, whose
            encoder this one begins with.
        images_per_person: of one person among the training images, on average, which settings that
            are auto then follow; estimated from the neighbourhoods of the images by default.
        adapt_norm: take the batch-norm statistics anew on the training images before the first
            round, without training.
        device: where to compute.
        evaluate_every: rounds between two searches of the gallery; 0 searches after the last only.
        loading: how pictures are read.
        quiet: say nothing.

    Returns:
        The encoder of the last round; where settings were automatic and training did harm by the
        sign that needs no labels, that of the best round by it, which the run says.

    Raises:
        DataError, SettingsError, ClusteringError, CheckpointError: see each.
        KeyboardInterrupt: Ctrl-C; its text says up to which round everything is kept.
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
            f"images_per_person {images_per_person:g} is not used: no setting of "
            f"{type(learner).__name__} is auto (--preset cpu or gpu makes those auto that follow "
            "from it)"
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
                f"stopped after round {done}. The same command continues."
                if done
                else "stopped before a round was finished. The same command begins again."
            ) from None
    if not isinstance(encoder, Encoder):
        raise SettingsError(
            f"fit of {type(learner).__name__} returned {encoder!r:.80}. Return the encoder that it "
            "trained, which run.build made."
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
    """Give the encoder that a run resulted in: of its last round, unless training did harm.

    Args:
        run: folder of a run, one of its checkpoints, a folder that `save_pretrained` wrote, or
            `reseen-tiny`, which is the encoder that ships, without training (a file or folder of
            that name is read instead).
        best: the round that was best on the test set instead.
        adapt_norm: pictures on which its batch-norm statistics are taken anew, such as the crops
            that are to be searched: the training images of a data set or folder, all others where
            it has none. For an encoder that was not trained on pictures of this site.
        device: where it computes.
        loading: how these pictures are read.
        quiet: say nothing about them.

    Raises:
        CheckpointError: there is none.
        DataError: pictures cannot be read, or there are fewer than two.
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
        encoder.camera_statistics = None  # those were of features that are no more
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
    """Give what makes features: the encoder of a run, as `load` does, or an exported file.

    Args:
        run: as in `load`; or an .onnx file (or .xml, .pt2) that `reseen export` wrote, which
            computes on the CPU.
        best, adapt_norm, device, loading, quiet: as in `load`, for encoders alone.

    Raises:
        CheckpointError, DataError: as `load`; or the file gives other vectors than it should.
        SettingsError: a file is to be adapted, or its runtime is not installed.
    """
    if not is_exported(run):
        how: Any = dict(adapt_norm=adapt_norm, device=device, loading=loading, quiet=quiet)
        return load(run, best=best, **how)
    if best or adapt_norm is not None:
        raise SettingsError(
            f"{run} is an exported file, which cannot be changed: leave out best and adapt_norm, "
            "or give the run that it was made from."
        )
    from reseen.export import Exported

    return Exported(run)


def is_exported(run: Path | str) -> bool:
    """Say whether what stands for a run is the name of an exported file."""
    return Path(run).suffix in (".onnx", ".xml", ".pt2")


def is_shipped(run: Path | str) -> bool:
    """Say whether what stands for a run is the name of the encoder that ships."""
    return str(run) == backbones.TINY and not Path(run).exists()


def untrained(run: Path | str, *, device: Device | None = None) -> Encoder:
    """Make the encoder that a run started from once more, by its settings, weights and seed.

    Its batch-norm statistics are those before `adapt_norm`.

    Args:
        run: folder of a run.
        device: where it computes.

    Raises:
        CheckpointError: the run has not finished a round, or the weights or the run that it began
            with are no longer there.
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
    """Search the gallery of a data set for every query (Market-1501 protocol).

    Args:
        encoder: as `load`, `train` or `embedder` gives it.
        data: a data set with queries and a gallery, or its folder.
        rerank: re-rank by k-reciprocal encoding.
        centring: mean or deviation, by the encoder's camera statistics, or off (see `extract`).
        loading: how pictures are read.
        quiet: say nothing.

    Raises:
        DataError: there is nothing to search, or pictures cannot be read.
        SettingsError: as `extract`.
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
    """Evaluate an encoder with features centred by camera in several ways, extracted once.

    Args:
        encoder, data, rerank, loading, quiet: as in `evaluate`.
        centrings: some of off, mean and deviation.

    Raises:
        DataError, SettingsError: as `evaluate`.
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
    """Measure the camera statistics of an encoder that has none, by the training crops of a site.

    `train` does it for its own encoder; this is for reseen-tiny, and for runs of older versions.

    Args:
        encoder: gets them as `camera_statistics`.
        data: its training images count; who is on them does not matter.
        loading: how pictures are read.
        quiet: say nothing.

    Raises:
        DataError: there are no two cameras with enough crops, or pictures cannot be read.
    """
    dataset, screen = _dataset(data), Screen(quiet)
    if not len(covered(cameras_of(dataset.train))):
        raise DataError(
            f"{dataset.root} has no two cameras with {LEAST} training crops or more each, so "
            "nothing can be learnt of its cameras (reseen data check says what it has)."
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
    """Give the features of images.

    With `centring`, what a camera adds to all of its features is taken out, by the statistics that
    a run keeps of the cameras of its training crops. An unknown camera is treated as the average
    one. Features with and without it are not to be compared.

    Args:
        encoder: as `load`, `train` or `embedder` gives it.
        images: one or several of: the path of a picture, of a folder of pictures or of a manifest;
            a PIL picture; an array (H, W, 3) uint8 in the order red, green, blue; a record, such
            as those of `read(folder).train`. Or a data set, of which all parts are taken.
        centring: mean, deviation (mean and deviation), or off. Cameras are told apart by their
            names in the folders and files, or their numbers; those of records by their numbers.
        camera: the name of the camera of those pictures that say none.
        loading: how pictures are read.
        quiet: say nothing.

    Returns:
        (N, D) float32 unit rows, and the images they belong to: all that came in, less those left
        out because they cannot be read. The path of a picture or array in memory is `picture-3`,
        where 3 is its place among those given, counted from 0.

    Raises:
        DataError: there is nothing, or something that is none of these or cannot be read.
        SettingsError: the encoder has no camera statistics to centre by, or does not know `camera`.
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
    """Write the features of images to a file, however many they are.

    Many images are done in parts, each of which is kept once it is whole: what was stopped goes on
    where it was, and of several processes that torchrun started each makes its share
    (`engine.shards`). Memory does not grow with the number of pictures but by their names.

    Args:
        encoder, images, centring, camera, loading, quiet: as in `extract`.
        out: the .npz file: features (N, D) float32 unit rows, paths (N,), absolute, and centring.

    Returns:
        N and D.

    Raises:
        DataError, SettingsError: as `extract`, or parts of other features lie beside `out`.
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
            f"camera is {camera!r}, and the cameras that centring knows here are: {names}. "
            "Use one of them with centring mean or deviation, or leave camera out."
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
    """Find the images of a gallery that are most like each query; their features are made once.

    A similarity is not proof of identity: somebody always comes first.

    Args:
        encoder: as `load`, `train` or `embedder` gives it.
        queries: whom to look for, as `extract` takes it.
        gallery: where to look, as `extract` takes it. A query that lies in it is left out of its
            own hits.
        top: hits of each query, fewer where the gallery has no more.
        centring: as in `extract`, for queries and gallery.
        camera: the name of the camera of those queries that say none.
        loading: how pictures are read.
        quiet: say nothing.

    Returns:
        The hits of the first query, the most similar first, then those of the next.

    Raises:
        DataError: pictures cannot be read, or the gallery holds nothing but the query.
        SettingsError: top is below 1; and as `extract`.
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
            f"{run} is the encoder that ships, and no run: it has no best round, and training "
            f"begins with it by --encoder.backbone {run}."
        )
    if is_exported(run):
        raise CheckpointError(
            f"{run} is an exported file: it gives features (extract, evaluate, search; in Python "
            "training.embedder), but has no weights to train or to look into. Give a run."
        )
    if not run.exists():
        raise CheckpointError(
            f"{run} is not there. Give the folder of a run, a checkpoint, or {backbones.TINY}, the "
            "encoder that ships with this package; no other network is of use before it is trained."
        )
    if run.is_file():
        return run
    if is_pretrained(run):
        if which == "best":
            raise CheckpointError(
                f"{run} is an encoder without its run, and has no best round: leave out best."
            )
        return run
    read_facts(run)
    path = checkpoint(run, which or result(run))
    if not path.exists():
        raise CheckpointError(
            f"{path} is not there. The run in {run} has not finished a round"
            + (", or has nothing to be judged by: leave out best." if which == "best" else ".")
        )
    return path


def source_of(method: Method, source: Dataset | Path | str | None) -> Dataset | None:
    """Read the source of a method.

    Raises:
        SettingsError: the method learns from two data sets and there is none, or the other way.
    """
    name = type(method).__name__
    needed, taken = (getattr(method, w, False) for w in ("needs_source", "takes_source"))
    if source is None:
        if needed:
            raise SettingsError(
                f"{name} learns from two data sets at once. Give one whose people are known beside "
                "the one to learn without labels: --source DATA."
            )
        return None
    if not (needed or taken):
        raise SettingsError(
            f"{name} learns from one data set, but another is given as source. "
            "Leave it out, or start from a run that was trained on it: --start RUN."
        )
    return _dataset(source)


def _dataset(data: Dataset | Path | str) -> Dataset:
    return data if isinstance(data, Dataset) else read(Path(data))
