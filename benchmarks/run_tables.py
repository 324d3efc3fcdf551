"""Write the measured tables of the documentation from benchmarks/results/*.csv.

    ./dev bench tables              write them all; says which have changed
    ./dev bench tables ssl belief   write these

A table stands in its page between `<!-- ./dev bench tables NAME -->` and `<!-- end of ... -->`.
Where a measurement was repeated, its latest row counts. tests/test_docs.py says which are stale.
"""

import csv
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from reseen.report.markdown import around, write_table

RESULTS = Path(__file__).parent / "results"
DOCS = Path(__file__).parents[1] / "docs"
Row = dict[str, str]
Lines = Iterable[tuple[str, ...]]
TABLES: dict[str, "Table"] = {}


@dataclass(frozen=True)
class Table:
    """A table of a page: its titles, and what gives its lines from the results."""

    page: Path
    mark: str
    titles: tuple[str, ...]
    lines: Callable[[], Lines]

    def write(self) -> None:
        """Write the table into its page."""
        write_table(self.page, self.mark, self.titles, list(self.lines()))

    def stale(self) -> bool:
        """Say whether the page holds anything else than what the results say today."""
        before, after = around(self.page, self.mark)
        told = self.page.read_text(encoding="utf-8")[len(before) : -len(after)]
        rows = [self.titles, ("---",) * len(self.titles), *self.lines()]
        return told != "".join(f"| {' | '.join(row)} |\n" for row in rows)


def table(page: str, *titles: str) -> Callable[[Callable[[], Lines]], Callable[[], Lines]]:
    """Name a function that gives the lines of a table; its name is the table's."""

    def keep(lines: Callable[[], Lines]) -> Callable[[], Lines]:
        name = lines.__name__.replace("_", "-")
        TABLES[name] = Table(DOCS / page, f"./dev bench tables {name}", titles, lines)
        return lines

    return keep


@cache
def results(name: str) -> tuple[Row, ...]:
    """Read the rows of results/NAME.csv, the oldest first."""
    with (RESULTS / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))


def found(name: str, **known: str) -> list[Row]:
    """Give the rows of results/NAME.csv that hold these values."""
    return [row for row in results(name) if known.items() <= row.items()]


def last(name: str, **known: str) -> Row:
    """Give the latest row that holds these values."""
    rows = found(name, **known)
    if not rows:
        raise LookupError(f"results/{name}.csv has no row with {known}")
    return rows[-1]


def number(value: str | float, digits: int = 1) -> str:
    """Write a share in percent without the sign."""
    return f"{100 * float(value):.{digits}f}"


def percent(value: str | float, digits: int = 0) -> str:
    """Write a share as `12 %`."""
    return f"{number(value, digits)} %"


def pair(row: Row, name: str = "") -> str:
    """Write mAP / rank-1 in percent."""
    start = f"{name}_" if name else ""
    return f"{number(row[f'{start}mAP'])} / {number(row[f'{start}rank1'])}"


def mean(rows: list[Row], name: str) -> str:
    """Write the mean of mAP / rank-1 over rows."""
    parts = (sum(float(r[f"{name}_{of}"]) for r in rows) / len(rows) for of in ("mAP", "rank1"))
    return " / ".join(number(part) for part in parts)


def count(value: str | float) -> str:
    """Write a whole number, with a comma between thousands."""
    return f"{round(float(value)):,}"


# Methods by variant and seed

SEEDS = ("last, seed 0", "last, seed 1", "last, mean", "best, mean")
ENDS = ("errors by own camera", "minutes")


def seeds(title: str, rows: list[Row], first: str) -> tuple[str, ...]:
    """Write a line of a table of variants: one run a seed."""
    by_seed = {row["seed"]: row for row in rows if row["seed"] in "01"}
    runs = [by_seed[seed] for seed in sorted(by_seed)]
    lasts = [pair(by_seed[seed], "last") if seed in by_seed else "" for seed in "01"]
    errors = ", ".join(percent(row["errors_in_camera"]) for row in runs)
    minutes = ", ".join(row["minutes"] for row in runs)
    return (title, first, *lasts, mean(runs, "last"), mean(runs, "best"), errors, minutes)


def variants(method: str, *names: str, backbone: str, base: bool = False) -> Lines:
    """Write the lines of variants of a method in results/methods.csv."""
    asked = [("cluster-contrast", "base", "Cluster Contrast", backbone)] if base else []
    for name in names:
        variant, _, other = name.partition(", ")
        asked.append(
            (
                method,
                variant,
                f"`{variant}`" + (f", {other}" if other else ""),
                {"": backbone, "MobileNetV2": "mobilenetv2_100"}[other],
            )
        )
    for of, variant, title, network in asked:
        rows = found("methods", method=of, variant=variant, backbone=network)
        yield seeds(title, rows, pair(rows[0], "untrained"))


@table("methods/adtc.md", "variant", "untrained", *SEEDS, *ENDS)
def adtc() -> Lines:
    names = ("full, MobileNetV2", "full", "full-gated", "only-tc, MobileNetV2", "only-tc")
    return variants("adtc", *names, "only-va", "tc-cbam", backbone="squeezenet1_1", base=True)


@table("methods/mla.md", "variant", "untrained", *SEEDS, *ENDS)
def mla() -> Lines:
    names = ("all", "all-gated", "baseline", "dla-gated", "hla-gated", "pla-gated")
    return variants("mla", *names, backbone="squeezenet1_1", base=True)


@table("methods/conslearn.md", "variant", "untrained", *SEEDS, *ENDS)
def conslearn() -> Lines:
    names = ("baseline", "clustering", "full", "no-drop")
    return variants("conslearn", *names, backbone="squeezenet1_1", base=True)


@table("methods/conslearn.md", "projection", "loss at the end", "last mAP / rank-1")
def consistency() -> Lines:
    for title, side in (
        ("no consistency", "no consistency"),
        ("as printed, PyTorch's default initialisation", "as printed"),
        ("`--projection-init normal`", "normal start"),
        *(
            (f"`--projection-unit --projection-temperature {heat}`", f"unit, {heat}")
            for heat in ("0.1", "0.05", "0.01")
        ),
    ):
        row = last("fidelity", idea="D6", side=side, seed="0")
        logged = row["logged"].split()
        terms = dict(zip(logged[::2], logged[1::2], strict=True))
        yield title, terms.get("loss_consistency", ""), pair(row, "last")


@table("methods/ssl.md", "variant", "untrained", *SEEDS, *ENDS)
def ssl() -> Lines:
    names = ("baseline", "without-part-and-cce", "without-part", "full")
    return variants("ssl", *names, backbone="reseen-tiny")


@table("methods/buc.md", "variant", "untrained", *SEEDS, *ENDS)
def buc() -> Lines:
    return variants("buc", "none", "cce", "cce-part", backbone="reseen-tiny")


@table("methods/daal.md", "method", "direct, seeds 0, 1", *SEEDS, *ENDS)
def daal() -> Lines:
    for title, method, variant in (
        *((f"DAAL `{name}`", "daal", name) for name in ("hard", "lsr", "soft", "full")),
        ("Cluster Contrast", "cluster-contrast", "base"),
        ("ADTC `full`", "adtc", "full"),
        ("ConsLearn `full`", "conslearn", "full"),
        ("MLA `all-gated`", "mla", "all-gated"),
    ):
        rows = found("adapt", method=method, variant=variant)
        yield seeds(title, rows, ", ".join(pair(row, "untrained") for row in rows))


@table("methods/daal.md", "map", "untrained", "trained")
def daal_attention() -> Lines:
    for title, place in (
        ("before attention, F", "before"),
        ("weights, A", "domain-adaptive"),
        ("specific branch, (1 - A) F", "left"),
        ("shared branch, A F", "after"),
    ):
        row = last("attention", method="daal", variant="full", map=place)
        yield title, percent(row["untrained"], 1), percent(row["trained"], 1)


@table(
    "methods/daal.md",
    "labels of the target",
    "last, seed 0",
    "last, seed 1",
    "images in no cluster",
)
def soft_labels() -> Lines:
    for title, labels in (
        ("hard", "hard"),
        ("soft, distances between pooled vectors as printed", "pooled"),
        ("soft, `--unit`", "unit"),
        ("soft, `--normalised`", "normalised"),
        ("hard, the published share of pairs", "hard, published share"),
    ):
        rows = [last("soft_labels", labels=labels, seed=seed) for seed in "01"]
        noise = ", ".join(percent(row["noise_3"]) for row in rows)
        yield title, *(number(row["mAP_3"]) for row in rows), noise


@table("methods/adtc.md", "attention", "SqueezeNet", "MobileNetV2")
def voxel() -> Lines:
    for attention in ("none", "voxel-channel", "voxel-spatial", "voxel"):
        rows = [
            last("voxel", backbone=backbone, attention=attention)
            for backbone in ("squeezenet1_1", "mobilenetv2_100")
        ]
        told = (f"{number(r['mAP'])}, {float(r['length_spread']):.2f}" for r in rows)
        yield attention, *told


@table("methods/adtc.md", "map", "`full` before / after training", "`tc-cbam` before / after")
def adtc_attention() -> Lines:
    for title, places in (
        ("energy of the input of attention", ("before", "before")),
        ("weights of the attention", ("voxel", "cbam")),
        ("energy of its output", ("after", "after")),
    ):
        rows = [
            last("attention", method="adtc", variant=variant, map=place)
            for variant, place in zip(("full", "tc-cbam"), places, strict=True)
        ]
        told = (f"{number(r['untrained'])} / {percent(r['trained'], 1)}" for r in rows)
        yield title, *told
    rows = [last("attention", method="adtc", variant=variant) for variant in ("full", "tc-cbam")]
    told = (f"{number(r['untrained_mAP'])} / {number(r['trained_mAP'])}" for r in rows)
    yield "mAP on the other town", *told


@table("methods/mla.md", "map", "before / after training")
def mla_attention() -> Lines:
    for title, place in (
        ("energy of the input of attention", "before"),
        ("weights of the pixel level", "pixel"),
        ("weights of the head level", "head"),
        ("weights of the domain level", "domain"),
        ("energy of the output of the three levels", "after"),
        ("energy of the last map", "last"),
    ):
        row = last("attention", method="mla", variant="all-gated", map=place)
        yield title, f"{number(row['untrained'])} / {percent(row['trained'], 1)}"
    yield "mAP on the other town", f"{number(row['untrained_mAP'])} / {number(row['trained_mAP'])}"


# Cluster Contrast and house


@table("methods/cluster-contrast.md", "round", "clusters", "noise", "NMI", "mAP", "rank-1")
def cluster_contrast() -> Lines:
    for at in ("1", "3", "6", "9", "12", "15", "20", "25", "30", "35", "40"):
        row = last("market_half-squeezenet-0", round=at)
        noise, nmi = percent(row["noise"]), f"{float(row['nmi']):.3f}"
        judged = (percent(row[name], 1) for name in ("mAP", "rank1"))
        yield at, row["clusters"], noise, nmi, *judged


@table("methods/cluster-contrast.md", "", "untrained", "last round", "best on test", "minutes")
def market_half() -> Lines:
    row = last("market_half")
    judged = (pair(row, name) for name in ("untrained", "last", "best"))
    yield f"{row['rounds']} rounds of 50 steps of 16 x 8", *judged, row["minutes"]


HALF = "MMT (mean pooling, untouched 14.5 / 30.1)", "SpCL (mean pooling, untouched 14.5 / 30.1)"


def seeds_of_house(lines: Lines, data: str = "test") -> Lines:
    """Write lines of results/house.csv: a title, settings, and the run of each seed."""
    for title, settings, *runs in lines:
        rows = [last("house", data=data, run=run) for run in runs]
        when = "last" if settings else "untrained"
        cells = [cell for row in rows for cell in (pair(row, when), centred(row, when))]
        yield title, settings, *cells, *("",) * (4 - len(cells))


@table("methods/house.md", "method", "k1, eps", "seed 0", "centred", "seed 1", "centred")
def house() -> Lines:
    return seeds_of_house(
        [
            ("untouched", "", "cc-1"),
            ("untouched, as house sees it", "", "halves-0"),
            ("Cluster Contrast", "30, 0.55", "cc", "cc-1"),
            ("and stripes, mirror images, whitening by a quarter", "30, 0.55", "cc-halves-0"),
            (HALF[0], "30, 0.55", "mmt-0", "mmt-1"),
            (HALF[1], "30, 0.55", "spcl-0", "spcl-1"),
            ("house, no cameras", "20, 0.55", "halves-blind-0"),
            ("**house, no cameras**, whitened by half", "20, 0.55", *BLIND),
            ("**house, cameras**", "20, 0.5", "halves-0", "halves-1"),
            ("EfficientNet-Lite0, untouched", "", "cc-lite0"),
            ("EfficientNet-Lite0, Cluster Contrast", "30, 0.55", "cc-lite0"),
            ("EfficientNet-Lite0, house, cameras", "20, 0.5", "house-lite0"),
        ]
    )


@table("methods/house.md", "on the tuning split", "batch, k1, eps", "mAP / rank-1", "centred")
def house_tuning() -> Lines:
    lines = (
        ("Cluster Contrast", "16 x 4, 30, 0.55", "cc"),
        ("Cluster Contrast", "16 x 4, 20, 0.5", "cc-k20"),
        ("teacher, no cameras", "16 x 4, 20, 0.5", "teacher"),
        ("and two prototypes and refined labels", "16 x 4, 20, 0.5", "blind"),
        ("teacher and whitening by a quarter, no cameras", "16 x 2, 20, 0.55", "blind-8x2-16"),
        ("and stripes", "16 x 2, 20, 0.55", "blind-stripes2"),
        ("and stripes, whitening by half", "16 x 2, 20, 0.55", "blind-stripes2-w5"),
        ("and mirror images", "16 x 2, 20, 0.55", "blind-stripes2-mirrored"),
        ("centring, camera-aware, teacher, proxies", "16 x 4, 20, 0.5", "cams-proxies"),
        ("and two prototypes and refined labels", "16 x 4, 20, 0.5", "cams"),
        ("the same parts but these, whitening by a quarter", "16 x 2, 20, 0.5", "cams-16x2"),
        ("and stripes and mirror images (the defaults)", "16 x 2, 20, 0.5", CHOSEN),
    )
    for title, settings, run in lines:
        row = last("house", data="dev", run=run)
        yield title, settings, pair(row, "last"), centred(row, "last")


CHOSEN = "cams-stripes2-mirrored"
BLIND = "halves-blind-w5-0", "halves-blind-w5-1"
PARTS = ("mirrored", "stripes", "whitening", "teacher", "proxies", "aware", "centring")


@table("methods/house.md", "settings", "mAP / rank-1", "centred", "change of mAP")
def house_parts() -> Lines:
    whole = last("house", data="test", run="halves-0")
    yield "the defaults", pair(whole, "last"), centred(whole, "last"), ""
    for part in PARTS:
        row = last("house", data="test", run=f"out-{part}-0")
        change = float(row["last_mAP"]) - float(whole["last_mAP"])
        title = {"aware": "camera-aware"}.get(part, part)
        yield f"without {title}", pair(row, "last"), centred(row, "last"), f"{100 * change:+.1f}"


@table("methods/house.md", "method", "town-a", "centred", "town-b", "centred")
def house_towns() -> Lines:
    for title, run, when in (
        ("untouched", "cc", "untrained"),
        ("Cluster Contrast", "cc", "last"),
        ("MMT", "mmt", "last"),
        ("SpCL", "spcl", "last"),
        ("house, no cameras, whitened by half", "blind", "last"),
        ("**house, cameras**", "house", "last"),
    ):
        rows = [last("house", data=town, run=run) for town in ("town-a", "town-b")]
        yield title, *(cell for row in rows for cell in (pair(row, when), centred(row, when)))


def centred(row: Row, when: str) -> str:
    known = [row[f"{when}_{name}_centred"] for name in ("mAP", "rank1")]
    return " / ".join(map(number, known)) if all(known) else ""


@table("methods/house.md", "share", "untouched", "centred", "teacher alone", "centred")
def whitening() -> Lines:
    for share in ("0", "0.25", "0.5", "0.75", "1"):
        rows = [last("whitening", encoder=e, share=share) for e in ("reseen-tiny", "dev-teacher")]
        yield share, *(number(row[name]) for row in rows for name in ("mAP", "centred_mAP"))


# Everything else


@table(
    "reference/data.md",
    "method",
    "untrained, one frame",
    "untrained",
    "last, one frame",
    "last",
    "minutes",
)
def tracklets_by_method() -> Lines:
    for title, method in (
        ("Cluster Contrast", "cluster-contrast"),
        ("ADTC, gated", "adtc"),
        ("ConsLearn", "conslearn"),
        ("MLA", "mla"),
        ("SSL", "ssl"),
        ("BUC", "buc"),
    ):
        row = last("video", method=method)
        before, after = (number(row[f"{when}_one_frame_mAP"]) for when in ("untrained", "last"))
        yield title, before, pair(row, "untrained"), after, pair(row, "last"), row["minutes"]


@table("how-to/video.md", "", "MOTA", "IDF1", "HOTA", "purity", "completeness")
def tracklets() -> Lines:
    for title, what in (
        ("simulated boxes, overlap only", "boxes, overlap alone"),
        ("simulated boxes, with appearance (reseen-tiny)", "boxes, with looks"),
        ("the detector that ships, overlap only", "detector, overlap alone"),
        ("the detector that ships, with appearance", "detector, with looks"),
    ):
        row = last("tracklets", what=what)
        yield title, *(number(row[n]) for n in ("MOTA", "IDF1", "HOTA", "purity", "completeness"))


@table("how-to/gallery.md", "", "embedded", "server (PostgreSQL on the same machine)")
def gallery() -> Lines:
    known = {"crops": "100000", "dimensions": "512"}
    rows = [last("gallery", store=store, **known) for store in ("embedded", "server")]
    index = [float(row["index_seconds"]) for row in rows]
    yield (
        "adding, features per second",
        *(
            count(row["add_per_second"])
            + (f", and {seconds:.0f} s for the index" if seconds else "")
            for row, seconds in zip(rows, index, strict=True)
        ),
    )
    yield "first search of a process", *(f"{float(row['first_ms']) / 1000:.2f} s" for row in rows)
    for title, name in (
        ("ten nearest of all (recall@10)", ""),
        ("ten nearest from one of ten cameras", "camera_"),
        ("ten nearest from one camera, latest tenth", "camera_time_"),
    ):
        yield (
            title,
            *(
                f"{row[f'{name}search_ms']} ms ({float(row[f'{name}recall10']):.4g})"
                for row in rows
            ),
        )
    peak = (f"{float(row['peak_mb']) / 1000:.1f} GB" for row in rows)
    yield "peak memory of the process, including the features", *peak


FORMS = (
    *("how-to/export.md", "form", "precision", "file, MB", "pictures per second", "relative speed"),
    *("largest difference", "lowest cosine"),
)


def forms(encoder: str) -> Iterable[tuple[Row, tuple[str, ...]]]:
    """Give the latest row of each form of an encoder, and the line that all tables have of it."""
    by_what = {".onnx": ", ONNX Runtime", ".xml": ", OpenVINO", ".pt2": ", torch.export"}
    rows = found("export", encoder=encoder)
    for form, precision in dict.fromkeys((row["form"], row["precision"]) for row in rows):
        row = last("export", encoder=encoder, form=form, precision=precision)
        size = f"{int(row['bytes']) / 1e6:.1f}" if row["bytes"] else ""
        told = (precision, size, count(row["per_second"]), row["ratio"])
        yield row, (form + by_what.get(form, ""), *told, row["difference"], row["least_cosine"])


@table(*FORMS, "mAP")
def export() -> Lines:
    return ((*line, number(row["mAP"])) for row, line in forms("reseen-tiny"))


@table(*FORMS)
def export_resnet50() -> Lines:
    return (line for _, line in forms("resnet50"))


@table(
    *("how-to/report.md", "trained on", "false matches, stated bound", "true"),
    *("true for 200 new people", "true for these, with their own bound", "missed, true"),
    "missed, by the clusters",
)
def threshold() -> Lines:
    for row in results("threshold"):
        people = row["site"].partition("-")[0]
        whole = "all " if people == "376" else ""
        false = (row[f"{who}_false"] for who in ("these", "new", "fresh"))
        yield (
            f"{whole}{int(row['images']):,} crops of {people} people",
            f"{100 * float(row['promised']):g} %",
            *(small(share) for share in false),
            *(percent(row[f"{who}_misses"]) for who in ("these", "clusters")),
        )


def small(share: str) -> str:
    hundredths = 100 * float(share)
    return "below 0.01 %" if hundredths < 0.005 else f"{hundredths:.2f} %"


@table(
    *("how-to/thresholds.md", "encoder", "names", "threshold", "promised", "true", "one camera"),
    *("among new people", "pairs of one person that reach it"),
)
def belief() -> Lines:
    for encoder, title in (("test-halves-0", "trained"), ("reseen-tiny", "reseen-tiny")):
        for named in ("0", "60"):
            row = last(
                "belief",
                encoder=encoder,
                centring="deviation",
                people="half",
                named=named,
                asked="0.0001",
            )
            for cut in ("same", "maybe"):
                raised = " (raised by the floor)" if cut == "same" and named != "0" else ""
                promised = float(row["promised"]) * (1 if cut == "same" else 10)
                false = ("here_{}_across", "here_{}_within", "new_{}_across")
                yield (
                    *(title, "none" if named == "0" else f"{named} people", cut + raised),
                    *(tiny(promised), *(tiny(float(row[name.format(cut)])) for name in false)),
                    f"{100 * float(row[f'here_{cut}_reached']):.2g} %",
                )


def tiny(share: float) -> str:
    digits, _, power = f"{share:.1e}".partition("e-")
    return f"{float(digits):g}e-{int(power)}" if share else "0"


@table(
    *("how-to/thresholds.md", "encoder", "people", "crops", "proposals", "crops in none"),
    *("correct pairs", "pairs found", "found across cameras"),
)
def unknown_people() -> Lines:
    for encoder, title in (("test-halves-0", "trained"), ("reseen-tiny", "reseen-tiny")):
        for people in ("half", "everybody"):
            row = last("belief_unknown", encoder=encoder, centring="deviation", people=people)
            shares = ("in_none", "precision", "recall", "recall_across")
            told = (percent(row[name]) for name in shares)
            yield title, row["shown"], count(row["crops"]), row["proposals"], *told


@table("explanation/camera-statistics.md", "search of the test half", "plain", "re-ranked")
def centring() -> Lines:
    for how in ("off", "mean", "deviation"):
        row = last("centring", encoder="reseen-tiny", centring=how)
        yield f"`{how}`", pair(row), pair(row, "reranked")


@table(
    *("explanation/camera-statistics.md", "clusters of the training half, eps 0.5 / 0.55"),
    *("pair precision", "pair recall", "pair F", "true pairs from two cameras that are joined"),
)
def centring_clusters() -> Lines:
    for how in ("off", "mean", "deviation"):
        row = last("centring", encoder="reseen-tiny", centring=how)
        names = ("precision", "recall", "f", "cross_camera")
        yield (
            f"`{how}`",
            *(
                " / ".join(row[f"{name}_{eps}"].removeprefix("0") for eps in ("0.5", "0.55"))
                for name in names
            ),
        )


@table(
    *("explanation/automatic-settings.md", "method", "settings"),
    *("town: clusters, noise, F", "third: clusters, noise, F"),
)
def labels() -> Lines:
    for method in ("daal", "adtc", "buc"):
        for settings in ("fixed", "auto", "given"):
            rows = [
                row
                for row in results("labels")
                if row["method"].startswith(method) and row["settings"] == settings
            ]
            latest = {row["command"]: row for row in rows}
            name, *values = zip(
                *(row["method"].split(", ") for row in latest.values()), strict=True
            )
            told = "; ".join(
                dict.fromkeys(
                    ", ".join(v for v in each if "rounds" not in v)
                    for each in zip(*values, strict=True)
                )
            )
            how = {"fixed": "", "auto": "auto: ", "given": "auto, images per person given: "}
            yield (
                name[0].upper() + (", all merges at once" if method == "buc" else ""),
                how[settings] + told,
                *(
                    f"{row['clusters']}, {percent(row['noise'])}, {float(row['pairwise_f']):.2f}"
                    for row in latest.values()
                ),
            )


@table(
    *("explanation/automatic-settings.md", "people", "crops per person", "cameras", "crops"),
    *("untrained", "automatic", "best mAP of the grid (size of the grid)", "automatic / best"),
    "clusters, and how many were expected",
)
def subsets() -> Lines:
    by = ("people", "crops", "cameras", "told")
    rows_of: dict[tuple[str, ...], dict[str, Row]] = {}
    for row in found("subsets", subsets="report"):
        rows_of.setdefault(tuple(row[name] for name in by), {})[row["settings"]] = row
    for key, rows in sorted(rows_of.items(), key=lambda of: int(of[1]["auto"]["images"])):
        auto = rows.pop("auto")
        grid = max(rows.values(), key=lambda row: float(row["result_mAP"]))
        share = float(auto["result_mAP"]) / float(grid["result_mAP"])
        told = {"1": ", told", "0": ", not told"}[key[3]] if key[2] != "1" else ""
        best = f"{number(grid['result_mAP'])}, {grid['settings'].removesuffix(' (published)')}"
        low, high = auto["expected_clusters"].split("-")
        yield (
            *(key[0], key[1], key[2] + told, auto["images"]),
            *(pair(auto, "start"), pair(auto, "result"), f"{best} ({len(rows)})"),
            *(percent(min(share, 1)), f"{auto['clusters']} of {low} to {high}"),
        )


@table(
    *("explanation/pseudo-labels.md", "labels of a round", "published", "tuned", "reseen"),
    "of which after the neighbour search",
)
def kernels() -> Lines:
    for title, n, d, noise in (
        ("12,936 images, before training", "12936", "2048", "1.3"),
        ("12,936 images, after training", "12936", "2048", "0.8"),
        ("32,621 images, before training", "32621", "2048", "1.3"),
        ("100,000 images, before training", "100000", "2048", "1.3"),
        ("1,000,000 images, 256 numbers, approximate", "1000000", "256", "1.3"),
    ):
        known = {"what": "labels", "n": n, "d": d, "noise": noise}
        forms = {row["form"]: row for row in found("kernels", **known)}
        rows = [forms.get(form) for form in ("published", "tuned")]
        rows.append(forms.get("engine", forms.get("approximate")))
        after = " / ".join(seconds(row["after_cpu_s"]) for row in rows if row)
        yield title, *(cost(row) if row else "" for row in rows), f"{after} s"


def seconds(value: str) -> str:
    told = float(value)
    return f"{told:.{0 if told >= 100 else 1 if told >= 1 else 2}f}"


def cost(row: Row) -> str:
    memory = float(row["peak_mb"])
    told = f"{memory:,.0f} MB" if memory < 9000 else f"{memory / 1000:.1f} GB"
    return f"{seconds(row['cpu_s'])} s, {told}"


@table(
    *("explanation/pseudo-labels.md", "30 nearest neighbours of", "reseen", "bare product"),
    "ratio",
)
def product() -> Lines:
    latest = {(row["n"], row["d"]): row for row in results("product")}
    for (n, d), row in latest.items():
        spent = (f"{seconds(row[name])} s" for name in ("cpu_s", "bare_cpu_s"))
        yield f"{count(n)} x {count(d)}", *spent, row["ratio"]


@table("explanation/pseudo-labels.md", "", "dense", "reseen")
def kernels_beside() -> Lines:
    for title, what, n in (
        ("ADTC's second stage, 12,936 images, 1,000 centroids, 20 claimed", "claim", "12936"),
        ("re-ranking of 3,368 queries in 15,913 images", "rerank", "19281"),
    ):
        forms = (last("kernels", what=what, n=n, form=form) for form in ("dense", "engine"))
        yield title, *(cost(row) for row in forms)
    slow, compiled, engine = (
        seconds(last("kernels", what="rank", n="19281", form=form)["cpu_s"])
        for form in ("python", "compiled", "engine")
    )
    dense = f"{slow} s in Python, {compiled} s compiled with a sort"
    yield "CMC, AP and mINP of these queries, distances ready", dense, f"{engine} s"


@table(
    *("explanation/scale.md", "images", "settings", "neighbours", "CPU s"),
    *("of which neighbours", "peak memory", "pairs: precision", "pairs: recall"),
)
def million() -> Lines:
    keys = ("n", "form", "neighbours")
    latest = {tuple(row[key] for key in keys): row for row in results("million")}
    for row in sorted(latest.values(), key=lambda row: int(row["n"])):
        recall = row["neighbour_recall"]
        found = f": {percent(recall, 1)} found" if recall else ""
        yield (
            *(count(row["n"]), row["form"], row["neighbours"] + found, row["cpu_s"]),
            *(row["neighbours_cpu_s"], f"{count(row['peak_mb'])} MB"),
            *(percent(row[f"pairs_{name}"], 1) for name in ("precision", "recall")),
        )


@table(
    *("explanation/scale.md", "images of a person on a day", "clustered", "pairs: precision"),
    *("pairs: recall", "noise"),
)
def windows() -> Lines:
    for a_day in ("20", "10", "4"):
        for title, form in (
            ("all at once", "at once"),
            ("days, joined by medoids", "joined by medoids"),
            ("days, joined by means", "joined by means"),
        ):
            row = last("windows", a_day=a_day, form=form)
            yield a_day, title, *(percent(row[of], 1) for of in ("precision", "recall", "noise"))


@table("explanation/speed.md", "backbone", "bfloat16 / float32")
def precision() -> Lines:
    for row in {row["backbone"]: row for row in results("precision")}.values():
        yield f"`{row['backbone']}`", f"{float(row['ratio']):.2f}"


@table("explanation/invented-people.md", "", "Market-half", "town-a", "town-b")
def invented() -> Lines:
    sites = ("market-half", "town-a", "town-b")
    rows = [last("invented", site=site, start="squeezenet") for site in sites]
    yield (
        "SqueezeNet from ImageNet, untrained: mAP / rank-1, %",
        *(pair(row, "untrained") for row in rows),
    )
    own = (percent(row["errors_in_camera"]) for row in rows)
    yield "rank-1 errors by the query's own camera", *own
    for title, name in (
        ("cosine distance, same person, same camera", "same_person_in_camera"),
        ("same person, other camera", "same_person_cross_camera"),
        ("others, same camera", "others_in_camera"),
        ("others, other camera", "others_cross_camera"),
    ):
        yield title, *(f"{float(row[name]):.2f}" for row in rows)
    for title, start, rounds in (
        ("SqueezeNet, supervised, 12 rounds: mAP / rank-1, %", "squeezenet", "12"),
        ("the same, 24 rounds", "squeezenet", "24"),
        ("reseen-tiny (below), supervised, 12 rounds", "reseen-tiny", "12"),
    ):
        there = (found("invented", site=site, start=start, rounds=rounds) for site in sites)
        yield title, *(pair(rows[-1], "supervised") if rows else "" for rows in there)


def main(names: list[str]) -> None:
    """Write tables, and say which have changed."""
    for name in names or TABLES:
        if name not in TABLES:
            sys.exit(f"No table is called {name!r}. There are: {', '.join(TABLES)}.")
        if TABLES[name].stale():
            TABLES[name].write()
            print(f"{name}: written into {TABLES[name].page.relative_to(DOCS.parent)}")


if __name__ == "__main__":
    main(sys.argv[1:])
