"""A training run: it provides encoder, crops, random numbers and rounds, and saves each round.

A round is finished when `last.pt` contains it. Everything that a round writes before that is
written again when the run is resumed, so a run may be killed at any time. `last.pt` also contains
run.json and metrics.jsonl, which are restored from it if they are damaged, and checksums of the
training images, so that other pictures with the same names are detected.
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
    """A training run that writes into its folder; a method gets it as `run`.

    A method asks `build` for the encoder, `load` for the crops, and `rounds` for the loop. In a
    round it uses only `rng` for random numbers, saves its pseudo-labels with `label` and its
    metrics with `log`, wraps its loops with `track`, and may call `end`.

    Attributes:
        folder: where everything is saved.
        seed: of all random numbers; `rng` derives from it.
        device: where to compute, with its name resolved; its precision is known after `build`.
        screen: `screen.say(text)` prints a line, unless the run is quiet.
        round: the current round, from 1; 0 before the first.

    Args:
        folder: created if it does not exist; if it holds the same run, the run is resumed.
        facts: what identifies the run (method, settings, data, images_per_person if given), as
            JSON values.
        seed: of all random numbers.
        device: where to compute.
        judge: evaluates encoders and labels; None if no identities are known.
        evaluate_every: rounds between two evaluations; 0 evaluates only after the last round.
        loading: how pictures are read.
        screen: prints messages and progress.
        start: checkpoint of the encoder from which training starts.
        adapt_norm: whether `load` recomputes the encoder's batch-norm statistics on the training
            images before the first round (see `engine.adapt`).
        images: the training images, to name pictures that were added or removed since the start.
        cameras: names of the cameras, by number, if the data has them.

    Raises:
        SettingsError: the folder holds another run, or other files.
        CheckpointError: its run.json is damaged or does not belong to a run.
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
        """Read the training images at the size of the encoder, and remember their order.

        Args:
            images: N records, as `fit` got them.
            encoder: gives height, width and device. In a new run with `adapt_norm` its batch-norm
                statistics are replaced, so copy it afterwards only.

        Returns:
            N crops; fewer if pictures that cannot be read are left out.

        Raises:
            DataError: pictures cannot be read, or differ from those that the run was trained on.
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
        """Read images of a source, whose identities are known, so that they need no pseudo-labels.

        Args, Returns, Raises: as in `load`.
        """
        chance = partial(self.rng, "source_frames")
        crops = load(images, encoder, self._loading, self.screen, chance)
        return self._note(SOURCE, crops)

    def rng(self, purpose: str) -> np.random.Generator:
        """Return the random generator of a purpose in this round: the same in each run of a seed.

        Args:
            purpose: any name, such as "batches". The same purpose in the same round always gives
                the same numbers.
        """
        return np.random.default_rng([self.seed, self.round, *purpose.encode()])

    def build(self, settings: encoders.EncoderSettings) -> Encoder:
        """Create an encoder, or restore the one of the last checkpoint, and move it to the device.

        Random weights are drawn with the run's seed; a file of weights is read only at the start.

        Args:
            settings: of the encoder.

        Raises:
            SettingsError: settings contradict each other, or those of the encoder to start from.
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
                "ImageNet weights of ResNet-50 are not available here, so this run starts from "
                f"{TINY}, which was trained on invented people only. To start from other weights, "
                "use --encoder.backbone or --encoder.weights."
            )
        if self._facts["precision"] == "auto":
            self._choose_precision(encoder)
        encoder.share_batches(processes.rank(), processes.world())
        encoder = self.device.place(encoder)
        processes.copy_first(encoder.state_dict().values())
        return encoder

    def once(self, work: Callable[..., T], *args: Any, **named: Any) -> T:
        """Call a function, such as clustering, in one process, and return its result in all.

        Everything else is computed by every process.

        Args:
            work: the function; its result must be picklable.
            args, named: its arguments.
        """
        return processes.once(work, *args, **named)

    def _choose_precision(self, encoder: Encoder) -> None:
        """Choose the precision of this run, which is kept when the run is resumed."""
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
        """Replace settings of a method that are auto by numbers, and print which and why.

        They are derived from the neighbourhoods of the first features and from the run's
        images_per_person (`survey`, `RULES`), saved in run.json, and kept when the run is resumed.

        Args:
            method: a dataclass of settings.
            encoder: from `build`; in a new run it is not trained yet.
            crops: the N training images.

        Returns:
            The method with these numbers; the same object if nothing is auto.

        Raises:
            SettingsError: a setting is auto for which there is no rule, or images_per_person is
                larger than the number of images.
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
        """Iterate over the rounds that are left, from 0, and save all parts after each.

        Args:
            total: number of rounds.
            encoder: the result of the run, which is evaluated.
            parts: everything else that the next round depends on; each has `state_dict` and
                `load_state_dict`.

        Yields:
            The number of finished rounds.

        Raises:
            CheckpointError: the last checkpoint is damaged, or was made by another method.
            ReseenError: weights are not finite after a round, which is not saved.
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
        explain: Callable[[], str] = lambda: "Cluster less strictly, or start with better weights.",
    ) -> None:
        """Save the pseudo-labels of this round and measure them.

        Args:
            labels: (N,) in the order of the training images.
            explain: returns a sentence that says why there are so few clusters and what to do; it
                is called only if a round has fewer than two.

        Raises:
            ClusteringError: there are fewer than two clusters; what was saved before is kept.
        """
        if processes.first():
            self._keep_labels(labels)
        if labels.clusters < 2:
            raise ClusteringError(
                f"Round {self.round} found {counted(labels.clusters, 'cluster')} in "
                f"{counted(len(labels.ids), 'image')} ({labels.noise:.0%} noise), too few to "
                f"learn from. {self.once(explain)} Everything up to round {self.round - 1} "
                f"is saved in {self.folder}."
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
        """Log the share of the images found for each training image that show its person, if known.

        Args:
            found: (N, k) positions in the training images.
        """
        if self._judge:
            self.log(**self._judge.neighbours(self._images, found))

    def end(self, why: str) -> None:
        """Make this round the last one, whatever number of rounds was planned.

        Args:
            why: a reason to print, such as "all clusters are merged".
        """
        self._ended = True
        self.screen.say(f"round {self.round} is the last: {why}")

    def log(self, **numbers: float) -> None:
        """Add metrics to this round's line in metrics.jsonl.

        Args:
            numbers: by name, such as `loss=2.1`; numbers that are not finite are left out.
        """
        for name, number in numbers.items():
            if isfinite(number):
                self._numbers[name] = number if isinstance(number, int) else round(float(number), 6)

    def track(self, what: str) -> Track:
        """Return a wrapper for loops that shows progress and logs the seconds of this stage.

        Args:
            what: the stage's name, such as "training": `run.track("training")(batches, total)`
                yields the `total` items of `batches`.
        """
        wrap = self.screen.track(what)

        def timed(items: Iterable, total: int) -> Iterator:
            began = time.monotonic()
            yield from wrap(items, total)
            self.log(**{f"{what}_seconds": time.monotonic() - began})

        return timed

    def _note(self, name: str, crops: Crops) -> Crops:
        """Save the list of pictures that a run reads, in their order, once they are checked."""
        _same_pictures(crops)
        self._checksums[name] = torch.from_numpy(crops.checksums)

        def note() -> None:
            check_pictures(self.folder, name, crops)
            paths = (f"{image.path.as_posix()}\n" for image in crops.images)
            write_text(self.folder / name, "".join(paths))

        self.once(note)
        return crops

    def _measure(self, encoder: Encoder, searched: bool = True, last: bool = False) -> None:
        """Log how good an encoder is: by a search, and by what needs no labels.

        The features of the training crops are also used for whitening and for the camera
        statistics. If no score needs them, they are computed only together with a search, which
        takes longer, and after the last round.
        """
        judge = self._judge if searched and self._judge and self._judge.can_search else None
        scored, crops = "automatic" in self._facts, self._crops
        encoder.camera_statistics = None  # they are of other weights
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
        """Estimate the seconds that all remaining searches take, each like the last one."""
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
                f"Weights became infinite in round {self.round}, which is not saved. Start again "
                "with a lower learning rate or with --device.precision float32."
            )
        _same_weights([part for part in parts.values() if isinstance(part, nn.Module)])
        if processes.first():
            self._keep(parts, last)

    def _keep(self, parts: dict[str, Any], last: bool) -> None:
        """Save the results of the round, and the checkpoint, which makes it count, at the end."""
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
                f"Training did harm according to the score without labels: neighbours share "
                f"{max(scores):.0%} of their neighbours after round {instead}, and "
                f"{scores[-1]:.0%} after the last. The result of this run is therefore "
                f"{f'round {instead}' if instead else 'the encoder before training'}; the last "
                f"round is in {checkpoint(self.folder, 'last')}."
            )

    def _say_signs(self, rows: Sequence[dict[str, float]]) -> None:
        """Print what goes wrong; each kind of problem is printed when it first appears."""
        expected = self._facts.get("automatic", {}).get("survey", {}).get("clusters")
        found = signs(rows, len(self._images), expected, self._facts.get("settings"))
        for sign in found:
            if sign.kind not in self._seen:
                self.screen.say(f"{sign.said} {sign.cure}")
        self._seen |= {sign.kind for sign in found}

    def _keep_the_best(self, encoder: Encoder, rows: Sequence[dict[str, float]]) -> None:
        """Save this round's encoder beside the last if no earlier round was better."""
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
        """Return whether a round is finished already."""
        return self.once(checkpoint(self.folder, "last").exists)

    def _kept(self) -> dict[str, Any] | None:
        """Read the last checkpoint, if there is one, in the first process, which has the folder."""
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
                raise CheckpointError(f"{path} has no {name}. It belongs to another method.")
            try:
                part.load_state_dict(state[name])
            except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
                why = f"its {name} does not fit: {error!r:.200}"
                raise CheckpointError(encoders.damaged(path, why)) from error
        self.round, self._ended = state["round"], state.get("ended", False)
        if processes.first():
            self._mend_metrics(state.get("metrics"))
            self._keep_the_best(parts["encoder"], read_metrics(self.folder))
        self.screen.say(f"resuming after round {self.round}")
        return self.round

    def _mend_metrics(self, kept: list[dict[str, float]] | None) -> None:
        """Restore metrics.jsonl if it lacks rows that the checkpoint has."""
        damaged = damaged_metrics(self.folder)
        known = [row for row in read_metrics(self.folder) if row["round"] <= self.round]
        if kept is not None and (damaged or known != kept):
            self._write_metrics(kept)
            self.screen.say(f"{METRICS} was damaged and has been restored from last.pt")
        elif damaged:
            self.screen.say(f"skipping {counted(damaged, 'damaged line')} of {METRICS}")

    def _labels_before(self) -> PseudoLabels | None:
        if self._labels is None:
            try:
                before = read_labels(self.folder, self.round - 1)
            except CheckpointError as error:  # they are only compared
                before = None
                self.screen.say(f"{error} This round is not compared with the one before.")
            kept = before is not None and len(before.ids) == len(self._images)
            self._labels = before if kept else None
        return self._labels


def _agree(facts: dict[str, Any]) -> None:
    """Refuse processes that were started with different settings, data or environments.

    Raises:
        SettingsError: names what differs from the first process.
    """
    first, *others = processes.everywhere(facts)
    for number, other in enumerate(others, 1):
        if lines := differences(first, other):
            raise SettingsError(
                f"Process {number} was started with other settings than process 0 (there):\n  "
                + "\n  ".join(lines)
                + "\nStart all processes with the same command, on copies of the same data."
            )


def _same_weights(nets: Sequence[nn.Module]) -> None:
    """Check that all processes have the same weights up to rounding; copy those of the first.

    Raises:
        ReseenError: weights differ by more than rounding.
    """
    if not processes.started():
        return
    weights = [weight for net in nets for weight in net.parameters()]
    own = [weight.detach().clone() for weight in weights]
    processes.copy_first(value for net in nets for value in net.state_dict().values())
    near = (torch.allclose(*two, rtol=1e-2, atol=1e-4) for two in zip(weights, own, strict=True))
    if not all(processes.everywhere(all(near))):
        raise ReseenError(
            "The processes have learnt different weights in this round, which is not saved. A "
            "method must call reseen.parts.step, which averages gradients over the processes."
        )


def _same_pictures(crops: Crops) -> None:
    """Refuse processes that read different pictures with the same names.

    Raises:
        DataError: names the process.
    """
    first, *others = processes.everywhere(crops.checksums)
    for number, sums in enumerate(others, 1):
        if not np.array_equal(first, sums):
            raise DataError(
                f"Process {number} reads other pictures than process 0 ({len(sums)}, and "
                f"{len(first)} there, or with other contents). Give each machine the same data."
            )


def check_seed(seed: int) -> int:
    """Check a seed and return it as an int.

    Raises:
        SettingsError: it is not a whole number that numpy and torch both accept.
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
