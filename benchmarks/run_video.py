"""Every method without labels on tracklets of invented people.

    ./dev bench video METHOD SEED

A town of 100 people to learn from and 100 to judge by, 6 cameras, one tracklet of 6 frames for each
person and camera, 128 x 64; start: reseen-tiny. A search ranks tracklets by the mean of their
frames' features; `one_frame` searches with the middle frame of each alone. A row goes to
benchmarks/results/video.csv.
"""

import subprocess
import sys
from pathlib import Path

from record import record, summary

import reseen
from reseen.data.invented import invent
from reseen.data.loading import Loading
from reseen.engine.progress import Screen
from reseen.training import untrained

RUNS = Path("runs/video")
BATCH = "--iterations 20 --people 16 --views 4"
SHORT = {
    "cluster-contrast": f"--epochs 6 {BATCH} --k1 12",
    "adtc": "--rounds 6 --epochs 1 --iterations 20 --people 16 --clusters 100 --p 6 --gate",
    "conslearn": f"--epochs 6 {BATCH} --k1 12 --mean-momentum 0.9",
    "mla": f"--epochs 6 {BATCH} --k1 12 --eps 0.6",
    "ssl": "--first 2 --rounds 4 --epochs 5 --rate 0.01",
    "buc": "--first 2 --merge-rate 0.1 --epochs 3 --rate 0.01",
}
"""What the short schedule changes in each method, chosen with seed 0."""


def main(name: str, seed: str) -> None:
    town = RUNS / "town"
    if not town.exists():
        sizes = dict(people=100, cameras=6, views=1, tracklets=6, height=128, width=64)
        invent(town, **sizes, seed=1, track=Screen().track("drawing"))
    tracklets, run = town / "tracklets.csv", RUNS / f"{name}-{seed}"
    words = ["train", name, str(tracklets), "--format", "tracklets", "--out", str(run)]
    words += ["--seed", seed, "--evaluate-every", "2", *SHORT[name].split()]
    words += ["--encoder.backbone", "reseen-tiny", "--encoder.height", "128"]
    words += ["--encoder.width", "64"]
    subprocess.run([sys.executable, "-m", "reseen", *words], check=True)
    data = reseen.read(tracklets, format="tracklets")
    still = Loading(frames=1)
    trained = reseen.evaluate(reseen.load(run), data, loading=still, quiet=True)
    start = reseen.evaluate(untrained(run), data, loading=still, quiet=True)
    figures = {"untrained_one_frame_mAP": f"{start.mean_ap:.4f}", **summary(run)}
    figures["last_one_frame_mAP"] = f"{trained.mean_ap:.4f}"
    record("video", f"./dev bench video {name} {seed}", method=name, seed=seed, **figures)


if __name__ == "__main__":
    main(*sys.argv[1:])
