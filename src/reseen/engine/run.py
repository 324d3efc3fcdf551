"""A run at work: it gives a method crops, chance and rounds, and keeps what each round made.

A round counts once `last.pt` holds it. Everything a round writes before that is written again by
the run that resumes, so a run may be killed at any moment. `last.pt` also holds what is in run.json
and metrics.jsonl, which are written again from it when they are damaged, and checksums of the
training images, so that other pictures under the same names are noticed.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from reseen.cluster.density import DensitySettings
from reseen.cluster.stripes import StripeSettings
from reseen.cluster.survey import survey
from reseen.data.loading import Crops, Loading
from reseen.engine import processes
from reseen.engine.adapt import adapt_norm
from reseen.engine.auto import work_out
from reseen.engine.claim import check_pictures, claim, differences
from reseen.engine.device import Device
from reseen.engine.evaluate import Judge
from reseen.engine.extract import camera_statistics, extract, load
from reseen.engine.files import write_text, written
from reseen.engine.folder import (
    IMAGES,
    METRICS,
    SOURCE,
    checkpoint,
    damaged_metrics,
    digest,
    label_file,
    read_labels,
    read_metrics,
)
from reseen.engine.progress import QUIET, Screen, Track, duration
from reseen.engine.settings import automatic, flat, varied
from reseen.engine.signs import SCORE, best_round, progress, signs
from reseen.errors import (
    CheckpointError,
    ClusteringError,
    DataError,
    ReseenError,
    SettingsError,
    counted,
)
from reseen.kernels.centring import centre_where_known, covered
from reseen.kernels.whitening import whitened
from reseen.metrics.agreement import stability
from reseen.metrics.neighbourhood import shared_neighbours
from reseen.nets import encoder as encoders
from reseen.nets.backbones import TINY
from reseen.nets.encoder import Encoder
from reseen.records import Image, PseudoLabels

Settings = TypeVar("Settings")
T = TypeVar("T")


class Run:
    """A training run at work in its folder; a method gets it as `run`.

    A method asks `build` for the encoder, `load` for the crops, and `rounds` for the loop. Inside a
    round it draws from `rng` only, keeps its pseudo-labels with `label` and its numbers with `log`,
    wraps its loops with `track`, and may call `end`.

    Attributes:
        folder: where everything is kept.
        seed: root of every random draw; `rng` derives from it.
        device: where to compute, its name resolved; its precision is certain once `build` is done.
        screen: `screen.say(text)` says a line, unless the run is quiet.
        round: the round at work, from 1; 0 before the first.

    Args:
        folder: made if it is not there; one that holds the same run is gone on with.
        facts: what makes the run what it is (method, settings, data, images_per_person where it
            is given); JSON values.
        seed: root of every random draw.
        device: where to compute.
        judge: tells how good encoders and labels are; None where no truth is known.
        evaluate_every: rounds between two searches; 0 searches only after the last.
        loading: how pictures are read.
        screen: where to say how it goes.
        start: checkpoint whose encoder the run begins with.
        adapt_norm: whether `load` takes the encoder's batch-norm statistics anew on the training
            images before the first round (see `engine.adapt`).
        images: what it is to learn from, to name pictures that have come or gone since it began.
        cameras: names of the cameras, by number, where the data gives them.

    Raises:
        SettingsError: the folder holds another run, or something else.
        CheckpointError: its run.json is damaged or not of a run.
    """

    def __init__(
        self,
        folder: Path,
        facts: dict[str, Any] | None = None,
        *,
        seed: int = 0,
        device: Device | None = None,
        judge: Judge | None = None,
        evaluate_every: int = 5,
        loading: Loading | None = None,
        screen: Screen = QUIET,
        start: Path | None = None,
        adapt_norm: bool = False,
        images: Sequence[Image] = (),
        cameras: Mapping[int, str] | None = None,
    ):
        self.folder = folder
        self.seed = check_seed(seed)
        asked = device or Device()
        self.screen = screen if processes.first() else QUIET
        self.round = 0
        self._judge = judge
        self._evaluate_every = evaluate_every
        self._loading = loading
        self._start = start
        self._adapt_norm = adapt_norm
        self._cameras = cameras or {}
        self._images: tuple[Image, ...] = ()
        self._crops: Crops | None = None
        self._checksums: dict[str, torch.Tensor] = {}
        self._labels: PseudoLabels | None = None
        self._numbers: dict[str, float] = {}
        self._seen: set[str] = set()
        self._ended = False
        if evaluate_every < 0:
            raise SettingsError(f"evaluate_every is {evaluate_every}. Use 0 or more.")
        facts = {**(facts or {}), "seed": self.seed, "precision": asked.precision}
        self.device = asked.resolve()
        _agree(json.loads(json.dumps(facts, default=str)))
        self._facts = processes.once(claim, folder, facts, self.device, images, screen)
        if self._facts["precision"] != "auto":
            self.device = replace(self.device, precision=self._facts["precision"])

    def load(self, images: tuple[Image, ...], encoder: Encoder) -> Crops:
        """Read the training images at the size of the encoder, and note their order.

        Args:
            images: N records, as `fit` got them.
            encoder: gives height, width and device. In a new run with `adapt_norm` its batch-norm
                statistics are replaced, so copies of it are to be made afterwards.

        Returns:
            N crops; fewer where pictures that cannot be read are left out.

        Raises:
            DataError: pictures cannot be read, or are not those that the run learnt from so far.
        """
        chance = partial(self.rng, "frames")
        crops = load(images, encoder, self._loading, self.screen, chance)
        self._images, self._crops = crops.images, crops
        crops.scratch = self.folder
        self._note(IMAGES, crops)
        if self._adapt_norm and not self._begun():
            adapt_norm(encoder, crops, self.screen)
        return crops

    def load_source(self, images: tuple[Image, ...], encoder: Encoder) -> Crops:
        """Read images of a source, whose people are known: no pseudo-labels are theirs.

        Args, Returns, Raises: as in `load`.
        """
        chance = partial(self.rng, "source_frames")
        crops = load(images, encoder, self._loading, self.screen, chance)
        return self._note(SOURCE, crops)

    def rng(self, purpose: str) -> np.random.Generator:
        """Give the generator of one purpose in this round: the same in every run of this seed.

        Args:
            purpose: any name, such as "batches". Asked twice for one purpose in one round, it gives
                the same numbers twice.
        """
        return np.random.default_rng([self.seed, self.round, *purpose.encode()])

    def build(self, settings: encoders.EncoderSettings) -> Encoder:
        """Make an encoder, or take up the one of the last checkpoint, and place it.

        Random weights are drawn from the run's seed; a file of weights is read at the start only.

        Args:
            settings: of the encoder.

        Raises:
            SettingsError: settings contradict each other or those of the run's start.
            CheckpointError: a file of weights is missing, damaged or does not fit.
        """
        torch.manual_seed(self.seed)
        kept = self._kept()
        if kept is not None:
            encoder = encoders.revive(kept, checkpoint(self.folder, "last"))
        elif self._start is not None:
            encoder = encoders.start(settings, self._start)
        else:
            encoder = encoders.build(settings)
        shipped = settings.backbone == "auto" and encoder.settings.backbone == TINY
        if shipped and self._start is None:
            self.screen.say(
                "ImageNet weights of ResNet-50 cannot be had here, so this run starts from "
                f"{TINY}, which has seen invented people only. To start elsewhere: "
                "--encoder.backbone, --encoder.weights."
            )
        if self._facts["precision"] == "auto":
            self._choose_precision(encoder)
        encoder.share_batches(processes.rank(), processes.world())
        encoder = self.device.place(encoder)
        processes.copy_first(encoder.state_dict().values())
        return encoder

    def once(self, work: Callable[..., T], *args: Any, **named: Any) -> T:
        """Let one process do some work, such as the search for labels, and give its result to all.

        What is not done so, every process does for itself.

        Args:
            work: gives what can be pickled.
            args, named: its arguments.
        """
        return processes.once(work, *args, **named)

    def _choose_precision(self, encoder: Encoder) -> None:
        """Find out in which precision this run computes; who resumes it takes the same."""
        chosen, why = self.once(replace(self.device, precision="auto").measured, encoder)
        self.device = replace(self.device, precision=chosen.precision)
        if why:
            self.screen.say(why)
        self._keep_facts(precision=self.device.precision, device=asdict(self.device))

    def _keep_facts(self, **facts: Any) -> None:
        self._facts = json.loads(json.dumps({**self._facts, **facts}))
        if processes.first():
            write_text(self.folder / "run.json", json.dumps(self._facts, indent=2) + "\n")

    def settle(self, method: Settings, encoder: Encoder, crops: Crops) -> Settings:
        """Give a method numbers where its settings say auto, and say which and why.

        They follow from the neighbourhoods of the first features and the run's images_per_person
        (`survey`, `RULES`), are kept in run.json, and stay as they are when the run is resumed.

        Args:
            method: a dataclass of settings.
            encoder: as `build` gave it; nothing is learnt yet in a new run.
            crops: the N training images.

        Returns:
            The method; itself where nothing is auto.

        Raises:
            SettingsError: a setting is auto that nothing works out, or images_per_person is more
                than there are images.
        """
        for part in vars(method).values():
            if isinstance(part, DensitySettings | StripeSettings):
                for line in part.remarks(len(crops), crops.cameras):
                    self.screen.say(line)
        names = automatic(method)
        if names and "automatic" not in self._facts:
            features = extract(encoder, crops, track=self.track("extracting"))
            how = flat(method)
            features = centre_where_known(features, crops.cameras, how.get("centring", "off"))
            features = whitened(features, how.get("whitening", 0.0))
            told = self._facts.get("images_per_person")
            found = self.once(survey, features, crops.cameras, told)
            told = work_out(names, found, epochs_in_a_round="rounds" in how)
            self._keep_facts(automatic={"settings": told, "survey": asdict(found)})
        settled = self._facts["automatic"]["settings"] if names else {}
        for name, told in settled.items():
            self.screen.say(f"--{name.replace('_', '-')} {told['value']:.6g}: {told['why']}")
        return varied(method, {name: told["value"] for name, told in settled.items()})

    def rounds(self, total: int, *, encoder: Encoder, **parts: Any) -> Iterator[int]:
        """Count the rounds that are still to do, 0-based, keeping all parts after each.

        Args:
            total: rounds in all.
            encoder: what the run results in; it is what is judged.
            parts: everything else that the next round depends on; each with `state_dict` and
                `load_state_dict`.

        Yields:
            The number of rounds already done.

        Raises:
            CheckpointError: the last checkpoint is damaged, or was made by another method.
            ReseenError: weights are no longer finite after a round, which is not kept.
        """
        parts = {"encoder": encoder, **parts}
        done = self._restore(parts, total)
        if not done:
            self._numbers = {"round": 0}
            self._measure(encoder)
            if len(self._numbers) > 1 and processes.first():
                self.log(**encoder.gauges())
                self._keep_the_best(encoder, self._record())
                self.screen.say(_sentence(self._numbers, total, None))
        began = time.monotonic()
        for self.round in range(done + 1, total + 1):
            if self._ended:
                break
            self._numbers = {"round": self.round}
            self.screen.begin_round(self.round, total, self._searching(total))
            torch.manual_seed(int(self.rng("torch").integers(2**62)))
            encoder.unwhiten()
            started = time.monotonic()
            yield self.round - 1
            self.log(round_seconds=time.monotonic() - started)
            self._finish(parts, last=self._ended or self.round == total)
            left = (time.monotonic() - began) / (self.round - done) * (total - self.round)
            self.screen.say(_sentence(self._numbers, total, left))

    def label(
        self,
        labels: PseudoLabels,
        explain: Callable[[], str] = lambda: "Cluster less strictly, or begin with better weights.",
    ) -> None:
        """Keep the pseudo-labels of this round and measure them.

        Args:
            labels: (N,) in the order of the training images.
            explain: gives a sentence on why there are so few clusters and what to do, which is
                asked for only where a round has fewer than two.

        Raises:
            ClusteringError: there are fewer than two clusters; nothing that was kept is lost.
        """
        if processes.first():
            self._keep_labels(labels)
        if labels.clusters < 2:
            raise ClusteringError(
                f"Round {self.round} found {counted(labels.clusters, 'cluster')} among "
                f"{counted(len(labels.ids), 'image')} ({labels.noise:.0%} noise), too few to "
                f"learn from. {self.once(explain)} Everything up to round {self.round - 1} "
                f"is kept in {self.folder}."
            )

    def _keep_labels(self, labels: PseudoLabels) -> None:
        with written(label_file(self.folder, self.round)) as file:
            np.save(file, labels.ids)
        self.log(clusters=labels.clusters, noise=labels.noise)
        if labels.recall is not None:
            self.log(neighbour_recall=labels.recall)
        if self._judge:
            self.log(**self._judge.labels(self._images, labels))
        before = self._labels_before()
        if before is not None:
            self.log(stability=stability(before, labels))
        self._labels = labels
        if labels.clusters < 2:
            self._record()

    def neighbours(self, found: np.ndarray) -> None:
        """Log how many of the images found for each training image show its person, where known.

        Args:
            found: (N, k) positions in the training images.
        """
        if self._judge:
            self.log(**self._judge.neighbours(self._images, found))

    def end(self, why: str) -> None:
        """Make this round the last, whatever was planned.

        Args:
            why: a reason to print, such as "all clusters are merged".
        """
        self._ended = True
        self.screen.say(f"round {self.round} is the last: {why}")

    def log(self, **numbers: float) -> None:
        """Add numbers to this round's line in metrics.jsonl.

        Args:
            numbers: by name, such as `loss=2.1`; one that is not finite is left out.
        """
        for name, number in numbers.items():
            if isfinite(number):
                self._numbers[name] = number if isinstance(number, int) else round(float(number), 6)

    def track(self, what: str) -> Track:
        """Give a wrapper for loops that shows progress and logs the seconds of this stage.

        Args:
            what: the stage's name, such as "training": `run.track("training")(batches, total)`
                gives the items of `batches`, of which there are `total`.
        """
        wrap = self.screen.track(what)

        def timed(items: Iterable, total: int) -> Iterator:
            began = time.monotonic()
            yield from wrap(items, total)
            self.log(**{f"{what}_seconds": time.monotonic() - began})

        return timed

    def _note(self, name: str, crops: Crops) -> Crops:
        """Keep which pictures a run reads, in their order, once they are those of before."""
        _same_pictures(crops)
        self._checksums[name] = torch.from_numpy(crops.checksums)

        def note() -> None:
            check_pictures(self.folder, name, crops)
            paths = (f"{image.path.as_posix()}\n" for image in crops.images)
            write_text(self.folder / name, "".join(paths))

        self.once(note)
        return crops

    def _measure(self, encoder: Encoder, searched: bool = True, last: bool = False) -> None:
        """Log how good an encoder is: by its search, and by what needs no labels.

        The features of the training crops also say how the encoder whitens, and what it makes of
        each camera. Without a score that needs them, they are made only where there is a search,
        which costs more, and after the last round.
        """
        judge = self._judge if searched and self._judge and self._judge.can_search else None
        scored, crops = "automatic" in self._facts, self._crops
        encoder.camera_statistics = None  # they were of other weights
        encoder.unwhiten()
        known = crops is not None and len(covered(crops.cameras)) > 0
        wanted = known or encoder.settings.whitening
        if crops and (scored or (wanted and (judge or last))):
            features = extract(encoder, crops, track=self.screen.track("scoring"))
            features = encoder.whiten(features)
            if known:
                of = camera_statistics(crops.images, features, self._cameras)
                encoder.camera_statistics = of
            if scored and processes.first():
                count = round(self._facts["automatic"]["survey"]["per_person"])
                self.log(**{SCORE: shared_neighbours(features, count, crops.cameras)})
        if judge:
            self.log(**self._search(judge, encoder))

    def _search(self, judge: Judge, encoder: Encoder) -> dict[str, float]:
        began = time.monotonic()
        if encoder.camera_statistics is None:
            numbers = judge.search(encoder).summary()
        else:
            plain, centred = judge.compare(encoder, ("off", "deviation")).values()
            more = {f"{name}_centred": centred.summary()[name] for name in ("mAP", "rank1")}
            numbers = plain.summary() | more
        return {**numbers, "searching_seconds": time.monotonic() - began}

    def _searching(self, total: int) -> float:
        """Estimate the seconds that all searches still take, each like the last one."""
        name = "searching_seconds"
        took = [row[name] for row in read_metrics(self.folder) if name in row]
        every = self._evaluate_every or total
        searches = total // every - (self.round - 1) // every + (total % every > 0)
        return took[-1] * searches if took else 0.0

    def _finish(self, parts: dict[str, Any], last: bool) -> None:
        self.log(**parts["encoder"].gauges())
        due = self._evaluate_every and self.round % self._evaluate_every == 0
        self._measure(parts["encoder"], searched=bool(due or last), last=last)
        if not all(bool(weight.isfinite().all()) for weight in parts["encoder"].parameters()):
            raise ReseenError(
                f"Weights became infinite in round {self.round}, which is not kept. Start again "
                "with a lower rate or with device.precision float32."
            )
        _same_weights([part for part in parts.values() if isinstance(part, nn.Module)])
        if processes.first():
            self._keep(parts, last)

    def _keep(self, parts: dict[str, Any], last: bool) -> None:
        """Write what the round made, all of it before the checkpoint that makes it count."""
        rows = self._record()
        self._say_signs(rows)
        state = {name: part.state_dict() for name, part in parts.items()}
        state |= encoders.save(parts["encoder"]) | {"images": digest(self._images)}
        state |= {"ended": self._ended, "metrics": rows, "checksums": self._checksums}
        state["facts"] = json.dumps(self._facts)
        self._save("last", state)
        self._keep_the_best(parts["encoder"], rows)
        instead = best_round(rows)
        if last and instead is not None:
            scores = progress(rows)
            self.screen.say(
                f"Training did harm by the sign that needs no labels: neighbours share "
                f"{max(scores):.0%} of their neighbours after round {instead}, and "
                f"{scores[-1]:.0%} after the last. The result of this run is therefore "
                f"{f'round {instead}' if instead else 'the start, untouched'}; the last round is "
                f"in {checkpoint(self.folder, 'last')}."
            )

    def _say_signs(self, rows: Sequence[dict[str, float]]) -> None:
        """Say what goes wrong, each kind of thing when it is first seen."""
        expected = self._facts.get("automatic", {}).get("survey", {}).get("clusters")
        found = signs(rows, len(self._images), expected, self._facts.get("settings"))
        for sign in found:
            if sign.kind not in self._seen:
                self.screen.say(f"{sign.said} {sign.cure}")
        self._seen |= {sign.kind for sign in found}

    def _keep_the_best(self, encoder: Encoder, rows: Sequence[dict[str, float]]) -> None:
        """Keep this round's encoder beside the last where no round before was better."""
        for which, score in (("best", "mAP"), ("chosen", SCORE)):
            rated = [row for row in rows if score in row and row["round"] <= self.round]
            if rated and max(rated, key=lambda row: row[score])["round"] == self.round:
                self._save(which, encoders.save(encoder))

    def _record(self) -> list[dict[str, float]]:
        rows = [row for row in read_metrics(self.folder) if row["round"] < self._numbers["round"]]
        return self._write_metrics([*rows, self._numbers])

    def _write_metrics(self, rows: list[dict[str, float]]) -> list[dict[str, float]]:
        write_text(self.folder / METRICS, "".join(json.dumps(row) + "\n" for row in rows))
        return rows

    def _save(self, which: str, state: dict[str, Any]) -> None:
        with written(checkpoint(self.folder, which)) as file:
            torch.save({"round": self.round, **state}, file)

    def _begun(self) -> bool:
        """Say whether a round is finished already."""
        return self.once(checkpoint(self.folder, "last").exists)

    def _kept(self) -> dict[str, Any] | None:
        """Read the last checkpoint, which the folder of the first process holds, where it is."""
        path = checkpoint(self.folder, "last")
        return self.once(lambda: encoders.read_checkpoint(path) if path.exists() else None)

    def _restore(self, parts: dict[str, Any], total: int) -> int:
        path, state = checkpoint(self.folder, "last"), self._kept()
        if state is None:
            return 0
        if state.get("round", 0) not in range(1, total + 1):
            why = f"its round is {state.get('round')!r}, of {total}"
            raise CheckpointError(encoders.damaged(path, why))
        for name, part in parts.items():
            if name not in state:
                raise CheckpointError(f"{path} holds no {name}. It belongs to another method.")
            try:
                part.load_state_dict(state[name])
            except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
                why = f"its {name} does not fit: {error!r:.200}"
                raise CheckpointError(encoders.damaged(path, why)) from error
        self.round, self._ended = state["round"], state.get("ended", False)
        if processes.first():
            self._mend_metrics(state.get("metrics"))
            self._keep_the_best(parts["encoder"], read_metrics(self.folder))
        self.screen.say(f"going on after round {self.round}")
        return self.round

    def _mend_metrics(self, kept: list[dict[str, float]] | None) -> None:
        """Write metrics.jsonl again where it has lost what the checkpoint knows."""
        damaged = damaged_metrics(self.folder)
        known = [row for row in read_metrics(self.folder) if row["round"] <= self.round]
        if kept is not None and (damaged or known != kept):
            self._write_metrics(kept)
            self.screen.say(f"{METRICS} was damaged: it is written again from last.pt")
        elif damaged:
            self.screen.say(f"{damaged} damaged lines of {METRICS} are left out")

    def _labels_before(self) -> PseudoLabels | None:
        if self._labels is None:
            try:
                before = read_labels(self.folder, self.round - 1)
            except CheckpointError as error:  # they only measure
                before = None
                self.screen.say(f"{error} This round is not compared with the one before.")
            kept = before is not None and len(before.ids) == len(self._images)
            self._labels = before if kept else None
        return self._labels


def _agree(facts: dict[str, Any]) -> None:
    """Refuse processes that were started with different words, on different data or machines.

    Raises:
        SettingsError: naming what differs from the first process.
    """
    first, *others = processes.everywhere(facts)
    for number, other in enumerate(others, 1):
        if lines := differences(first, other):
            raise SettingsError(
                f"Process {number} was asked for another run than process 0 (there):\n  "
                + "\n  ".join(lines)
                + "\nStart all with the same words, on copies of the same data."
            )


def _same_weights(nets: Sequence[nn.Module]) -> None:
    """Refuse networks that processes have not learnt alike; give all what the first one has.

    Raises:
        ReseenError: weights lie farther apart than rounding can bring them.
    """
    if not processes.started():
        return
    weights = [weight for net in nets for weight in net.parameters()]
    own = [weight.detach().clone() for weight in weights]
    processes.copy_first(value for net in nets for value in net.state_dict().values())
    near = (torch.allclose(*two, rtol=1e-2, atol=1e-4) for two in zip(weights, own, strict=True))
    if not all(processes.everywhere(all(near))):
        raise ReseenError(
            "The processes have learnt different weights in this round, which is not kept. A "
            "method has to call reseen.parts.step, which averages gradients over the processes."
        )


def _same_pictures(crops: Crops) -> None:
    """Refuse processes that read different pictures under the same names.

    Raises:
        DataError: naming the process.
    """
    first, *others = processes.everywhere(crops.checksums)
    for number, sums in enumerate(others, 1):
        if not np.array_equal(first, sums):
            raise DataError(
                f"Process {number} reads other pictures than process 0 ({len(sums)}, and "
                f"{len(first)} there, or with other contents). Give each machine the same data."
            )


def check_seed(seed: int) -> int:
    """Give a seed back as an int.

    Raises:
        SettingsError: it is not a whole number that numpy and torch both take.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**63:
        raise SettingsError(f"seed is {seed}. Use a whole number from 0 to {2**63 - 1}.")
    return int(seed)


_SHOWN = (
    ("loss", "{:.3f}"),
    ("clusters", "{}"),
    ("noise", "{:.0%}"),
    ("neighbour_recall", "{:.1%}"),
    ("nmi", "{:.3f}"),
    ("stability", "{:.2f}"),
    ("mAP", "{:.1%}"),
    ("rank1", "{:.1%}"),
    (SCORE, "{:.0%}"),
)


def _sentence(numbers: dict[str, float], total: int, left: float | None) -> str:
    shown = [(name, form) for name, form in _SHOWN if name in numbers]
    parts = [f"{name.replace('_', ' ')} {form.format(numbers[name])}" for name, form in shown]
    if left:
        parts.append(f"{duration(left)} left")
    return f"round {numbers['round']}/{total}: " + ", ".join(parts)
