"""The house method and Cluster Contrast at equal images seen, one row of results a run.

    RESEEN_DATA=FOLDER ./dev bench house dev NAME [OPTIONS ...]     choose settings
    RESEEN_DATA=FOLDER ./dev bench house test NAME [OPTIONS ...]    measure what was chosen
    RESEEN_DATA=FOLDER ./dev bench house dev NAME --method cluster-contrast [OPTIONS ...]
    ./dev bench house town-a NAME [OPTIONS ...]             a town of invented people, or town-b

FOLDER holds market-half (see run_market_half.py). Nothing is chosen on its test half: `dev` cuts
its training half again by identity, every second one to learn from and the others to search, as a
manifest in runs/house/dev that copies no picture. NAME names the run, which goes on where it
stopped; OPTIONS are those of `reseen train`. Rows go to benchmarks/results/house.csv.
"""

import csv
import os
import subprocess
import sys
from pathlib import Path

from record import centred_summary, record, summary

from reseen.data.invented import invent
from reseen.data.invented.presets import TOWNS
from reseen.data.reading import read
from reseen.records import Dataset, Image

RUNS = Path("runs") / "house"
GROUND = ["--encoder.backbone", "reseen-tiny", "--encoder.last-stride", "1"]
GROUND += ["--encoder.height", "128", "--encoder.width", "64", "--evaluate-every", "0"]
GROUND += ["--device.precision", "bfloat16"]
BUDGET = ["--epochs", "8", "--iterations", "40", "--people", "16", "--views", "4"]
"""What every run has unless its options say otherwise: the start and the images seen."""


def halves(images: tuple[Image, ...]) -> dict[str, list[Image]]:
    """Cut labelled images by identity: every second one, in the order of their numbers, trains.

    Of the others, the first image of each person and camera asks, where another camera has one
    too; all the rest is the gallery.
    """
    people = sorted({image.person for image in images if image.person is not None})
    learnt = set(people[::2])
    cut: dict[str, list[Image]] = {"train": [], "query": [], "gallery": []}
    cameras = {who: {i.camera for i in images if i.person == who} for who in people}
    asked = set()
    for image in sorted(images, key=lambda image: image.path.name):
        seen = image.person, image.camera
        if image.person in learnt:
            cut["train"].append(image)
        elif seen not in asked and len(cameras[image.person]) > 1:
            asked.add(seen)
            cut["query"].append(image)
        else:
            cut["gallery"].append(image)
    return cut


def view(data: Dataset, folder: Path) -> Path:
    """Write the cut of the training images as a manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "manifest.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "camera", "person", "split"])
        for split, images in halves(data.train).items():
            for image in images:
                writer.writerow([image.path.resolve(), image.camera, image.person, split])
    return path


def main(which: str, name: str, *options: str) -> None:
    words = list(options)
    method = "house"
    if words[:1] == ["--method"]:
        method, words = words[1], words[2:]
    RUNS.mkdir(parents=True, exist_ok=True)
    if which in TOWNS:
        data = RUNS / which
        if not data.exists():
            invent(data, people=60, town=which, seed=1)
    else:
        data = Path(os.environ["RESEEN_DATA"]) / "market-half"
    if which == "dev":
        data = view(read(data), RUNS / "dev")
    given = {word for word in words if word.startswith("--")}
    ground = GROUND + BUDGET
    pairs = zip(ground[::2], ground[1::2], strict=True)
    words = [word for pair in pairs if pair[0] not in given for word in pair] + words
    run = RUNS / f"{which}-{name}"
    command = ["train", method, str(data), "--out", str(run), "--preset", "published", *words]
    subprocess.run([sys.executable, "-m", "reseen", *command], check=True)
    told = f"./dev bench house {which} {name} {' '.join(options)}"
    record(
        "house", told, data=which, run=name, method=method, **summary(run), **centred_summary(run)
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
