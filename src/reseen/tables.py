"""Whole tables: every variant of a paper's table, with several seeds, beside what was published."""

import json
import statistics
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reseen.data.loading import Loading
from reseen.engine.device import Device
from reseen.engine.files import safe_name, written
from reseen.engine.folder import read_metrics
from reseen.engine.run import Run
from reseen.errors import CheckpointError, DataError, ReseenError, SettingsError
from reseen.nets.encoder import Encoder, EncoderSettings
from reseen.published import VARIANTS
from reseen.records import Dataset, Image
from reseen.training import Method, source_of, train

DONE = "table.json"
"""The file in the folder of a finished run that contains its row."""


Pair = tuple[float, float]
"""mAP and rank-1, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Row:
    """The results of the runs of one variant, one for each seed; 0 to 1, and minutes."""

    variant: str
    first: tuple[Pair, ...]
    """Before training."""
    last: tuple[Pair, ...]
    """After the last round."""
    best: tuple[Pair, ...]
    """In the round with the best mAP on the test set."""
    minutes: tuple[float, ...]
    """Time of rounds and evaluations."""
    broken: tuple[str, ...]
    """Why a run ended before its last round (no clusters, loss not finite); empty if it did not.
    Its numbers are then those of the rounds before."""


@dataclass(frozen=True, kw_only=True)
class StartAlone:
    """Used instead of a method to evaluate the encoder that a run starts from, without training."""

    encoder: EncoderSettings
    """Settings of that encoder."""

    def fit(self, images: tuple[Image, ...], run: Run) -> Encoder:
        """Return the encoder."""
        encoder = run.build(self.encoder)
        run.load(images, encoder)
        for _ in run.rounds(0, encoder=encoder):
            pass
        return encoder


def rows_of(table: str) -> tuple[str, tuple[str, ...]]:
    """Return the method and the variants of a table, such as adtc-2.

    Raises:
        SettingsError: there is no such table; the error lists those that exist.
    """
    tables: dict[str, tuple[str, tuple[str, ...]]] = {}
    for method, variants in VARIANTS.items():
        for name, variant in variants.items():
            for title in variant.tables:
                tables[title] = method, (*tables.get(title, (method, ()))[1], name)
    if table not in tables:
        raise SettingsError(f"No table is called {table!r}. Use one of: {', '.join(tables)}.")
    return tables[table]


def run_table(
    methods: Mapping[str, Method],
    data: Dataset,
    folder: Path,
    *,
    seeds: Sequence[int] = (0,),
    device: Device | None = None,
    sources: Mapping[str, Dataset] | None = None,
    start: Path | None = None,
    without_start: Collection[str] = (),
    images_per_person: float | None = None,
    adapt_norm: bool = False,
    evaluate_every: int = 5,
    loading: Loading | None = None,
    quiet: bool = False,
) -> Iterator[Row]:
    """Train every variant with every seed; finished runs are read, unfinished ones resumed.

    Args:
        methods: the settings of each variant, by its name.
        data: for training and evaluation.
        folder: contains the run of each variant and seed as `variant/seed`, with the name of the
            variant made valid for a folder (see `engine.files.safe_name`).
        seeds: of the runs.
        sources: labelled data of each variant that needs it.
        start: a run from whose encoder all start, except those in without_start.
        without_start: variants that start from the weights in their settings.
        images_per_person, adapt_norm, device, evaluate_every, loading, quiet: as in `train`.

    Yields:
        A row for each variant, in their order.

    Raises:
        SettingsError: a folder holds a run with other settings, or there is nothing to search.
        CheckpointError: a run's table.json is damaged.
        DataError: as in `train`.
    """
    for variant, method in methods.items():  # checked before the first run, which may take hours
        source_of(method, (sources or {}).get(variant))
    for variant, method in methods.items():
        source = (sources or {}).get(variant)
        begin = None if variant in without_start else start
        asked = _asked(method, data, source, begin)
        asked |= {"images_per_person": images_per_person, "adapt_norm": adapt_norm or None}
        runs = [folder / safe_name(variant) / str(seed) for seed in seeds]
        for run, seed in zip(runs, seeds, strict=True):
            told = _told(run)
            if told and asked == {what: told.get(what) for what in asked}:
                continue
            broken = ""
            try:
                train(
                    method,
                    data,
                    run,
                    seed=seed,
                    source=source,
                    start=begin,
                    images_per_person=images_per_person,
                    adapt_norm=adapt_norm,
                    device=device,
                    evaluate_every=evaluate_every,
                    loading=loading,
                    quiet=quiet,
                )
            except ReseenError as error:  # a run that collapses is a result, and others wait
                if isinstance(error, DataError | SettingsError | CheckpointError):
                    raise
                broken = str(error)
            told = {**asked, "broken": broken}
            with written(run / DONE) as file:
                file.write(json.dumps(told).encode())
        measured = [_measured(run) for run in runs]
        yield Row(variant, *zip(*measured, strict=True))


def _asked(
    method: Method, data: Dataset, source: Dataset | None, start: Path | None
) -> dict[str, Any]:
    size = [data.name, len(data.train), len(data.query), len(data.gallery)]
    return {
        "method": repr(method),
        "data": size,
        "source": None if source is None else [source.name, len(source.train)],
        "start": None if start is None else str(start),
    }


def _told(run: Path) -> dict[str, Any]:
    path = run / DONE
    if not path.exists():
        return {}
    try:
        told = json.loads(path.read_bytes())
        if not isinstance(told, dict) or not isinstance(told.get("broken"), str):
            raise ValueError("it is not what was written there")
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path} is damaged ({error}). Remove this file and run the same command again, which "
            "resumes the run next to it, or reads its numbers again."
        ) from error
    return told


def _measured(run: Path) -> tuple[Pair, Pair, Pair, float, str]:
    rows = read_metrics(run)
    judged = [row for row in rows if "mAP" in row]
    if not judged:
        raise SettingsError("A table needs a data set with queries and a gallery for evaluation.")
    learnt = judged[1:] or judged  # the untrained encoder, if nothing was learnt
    best = max(learnt, key=lambda row: row["mAP"])
    names = ("round_seconds", "searching_seconds")
    seconds = sum(row.get(name, 0) for row in rows for name in names)
    first, last, best = ((row["mAP"], row["rank1"]) for row in (judged[0], learnt[-1], best))
    return first, last, best, seconds / 60, _told(run)["broken"]


def written_out(pairs: Sequence[Pair]) -> str:
    """Format mAP / rank-1 in percent: means over seeds, with the deviation of mAP if several."""
    mean = [100 * statistics.fmean(part) for part in zip(*pairs, strict=True)]
    spread = f" ± {100 * statistics.stdev(p[0] for p in pairs):.1f}" if len(pairs) > 1 else ""
    return f"{mean[0]:.1f}{spread} / {mean[1]:.1f}"
