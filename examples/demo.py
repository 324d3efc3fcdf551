"""The first look: an invented town, learnt without labels on a CPU, in a few minutes.

    ./dev demo [FOLDER]

Draws people who do not exist, as the six cameras of a town see them, trains Cluster Contrast on
their pictures from the small encoder that ships, searches for other people of the same town before
and after, and writes what was found as a page. To be quick the encoder sees 48 x 24 pixels only.
Run again, it goes on where it stopped, or only writes the page anew.
"""

import sys
import time
from pathlib import Path

import reseen
from reseen.data.invented import invent
from reseen.engine.progress import Screen, duration
from reseen.nets.encoder import build
from reseen.report.ranked import write_ranked


def main(folder: Path = Path("runs/demo")) -> None:
    began = time.monotonic()
    town, run = folder / "town", folder / "run"
    if not town.exists():
        draw = Screen().track("drawing invented people")
        invent(town, people=150, cameras=6, views=4, seed=1, track=draw)
    settings = reseen.ClusterContrast(
        encoder=reseen.EncoderSettings(backbone="reseen-tiny", height=48, width=24),
        augment=reseen.AugmentSettings(pad=4),
        epochs=20,
        iterations=40,
        views=8,
        rate=5e-4,
        rate_step=16,
        eps=0.5,
    )
    after = reseen.train(settings, town, run, seed=0)
    before = build(settings.encoder)
    data = reseen.read(town)
    found = {
        title: reseen.evaluate(encoder, data, quiet=True)
        for title, encoder in (("before", before), ("after", after))
    }
    page = folder / "ranked.html"
    write_ranked(page, data, found)
    gain = ", ".join(f"{title} {result.mean_ap:.1%}" for title, result in found.items())
    print(f"mAP without any label: {gain}, in {duration(time.monotonic() - began)}")
    print(f"Look at {page.resolve()}: the crops that it finds most alike.")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
