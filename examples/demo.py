"""The first look: an invented town, learnt without labels on a CPU, in a few minutes.

    ./dev demo [FOLDER]

Draws people who do not exist, as the six cameras of a town see them, trains Cluster Contrast on
their pictures from the small encoder that ships, searches for other people of the same town before
and after, and writes what was found as a page (`reseen report`). To be quick the encoder sees
48 x 24 pixels only. Run again, it goes on where it stopped, or only writes the page anew.
"""

import sys
from pathlib import Path

import reseen
from reseen.data.invented import invent
from reseen.engine.folder import read_metrics
from reseen.engine.progress import Screen, duration
from reseen.report.report import write_report


def main(folder: Path = Path("runs/demo")) -> None:
    town, run = folder / "town", folder / "run"
    if not town.exists():
        draw = Screen().track("drawing invented people")
        invent(town, people=100, cameras=6, views=4, seed=1, track=draw)
    method = reseen.method(
        "cluster-contrast",
        encoder=reseen.EncoderSettings(backbone="reseen-tiny", height=48, width=24),
        augment=reseen.AugmentSettings(pad=4),
        epochs=8,
        iterations=25,
        views=8,
        rate=5e-4,
        rate_step=6,
        eps=0.5,
    )
    reseen.train(method, town, run, seed=0)
    page = folder / "report.html"
    write_report([run], page, data=reseen.read(town))
    before, *_, after = rows = read_metrics(run)
    gain = f"before {before['mAP']:.1%}, after {after['mAP']:.1%}"
    parts = ("round_seconds", "searching_seconds")  # of all calls, if it was stopped in between
    seconds = sum(row.get(part, 0) for row in rows for part in parts)
    print(f"mAP without any label: {gain}, in {duration(seconds)} of training")
    print(f"Open {page.resolve()} in a browser: what it learnt, and the crops it finds most alike.")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
