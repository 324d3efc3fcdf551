"""Fabricated folders in the real layouts, each picture one plain colour."""

from pathlib import Path

import numpy as np
import PIL.Image
from scipy.io import savemat


def picture(path: Path, colour=(90, 60, 30), size=(8, 16)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.new("RGB", size, colour).save(path)
    return path


def tree(root: Path, names: list[str]) -> Path:
    for i, name in enumerate(names):
        picture(root / name, (i * 7 % 256, i * 13 % 256, i))
    return root


MARKET = [
    "bounding_box_train/0002_c1s1_000451_03.jpg",
    "bounding_box_train/0002_c2s1_000476_01.jpg",
    "bounding_box_train/0007_c3s3_077419_03.jpg",
    "bounding_box_train/-1_c3s3_077419_04.jpg",
    "query/0001_c1s1_001051_00.jpg",
    "bounding_box_test/0001_c2s1_000301_00.jpg",
    "bounding_box_test/0000_c1s1_000151_01.jpg",
    "bounding_box_test/-1_c1s1_000401_03.jpg",
]
DUKE = [
    "bounding_box_train/0001_c2_f0046182.jpg",
    "query/0005_c1_f0001000.jpg",
    "bounding_box_test/0005_c8_f0002000.jpg",
]
PERSONX = [
    "bounding_box_train/0001_c3_1.jpg",
    "query/0411_c12_9.jpg",
    "bounding_box_test/0411_c10_2.jpg",
]


def msmt17(root: Path, folders=("train", "test")) -> Path:
    lists = {
        "train": ["0000/0000_000_01_0303morning_0015_0.jpg 0"],
        "val": ["0000/0000_001_05_0303noon_0016_0.jpg 0"],
        "query": ["0000/0000_000_02_0303morning_0003_1.jpg 0"],
        "gallery": ["0000/0000_001_14_0303afternoon_0016_2.jpg 0", "0001/0001_000_02_x_0_0.jpg 1"],
    }
    for name, lines in lists.items():
        (root).mkdir(exist_ok=True)
        (root / f"list_{name}.txt").write_text("\n".join(lines) + "\n")
        for line in lines:
            picture(root / folders[name in ("query", "gallery")] / line.split()[0])
    return root


MARS = {
    "train": [("0001", 1, 3), ("0001", 2, 2), ("0003", 1, 2)],
    "test": [
        *(("00-1", 1, 2), ("0000", 2, 2), ("0002", 1, 3)),
        *(("0002", 3, 2), ("0004", 1, 2), ("0004", 4, 1)),
    ],
}
"""Tracklets as MARS lists them: person, camera, frames; junk first, then distractors."""


def mars(root: Path) -> Path:
    """MARS in its own layout: frames of all tracklets of a person in one folder."""
    (root / "info").mkdir(parents=True)
    for half, tracklets in MARS.items():
        names, rows = [], []
        for number, (person, camera, frames) in enumerate(tracklets, 1):
            first = len(names) + 1
            for frame in range(1, frames + 1):
                names.append(f"{person}C{camera}T{number:04d}F{frame:03d}.jpg")
                colour = (len(names) * 9, number * 20, 50 if half == "train" else 150)
                picture(root / f"bbox_{half}" / person / names[-1], colour)
            rows.append((first, len(names), int(person.lstrip("0") or 0), camera))
        (root / "info" / f"{half}_name.txt").write_text("".join(f"{name}\n" for name in names))
        table = {f"track_{half}_info": np.array(rows, np.int32)}
        savemat(root / "info" / f"tracks_{half}_info.mat", table, do_compression=True)
    queries = {"query_IDX": np.array([[3, 4, 5]], np.uint16)}  # a row, counted from 1
    savemat(root / "info" / "query_IDX.mat", queries, do_compression=True)
    return root


DUKEVIDEO = [
    *(f"train/0001/0000/0001_C6_F{i:04d}_X{30822 + i}.jpg" for i in (2, 3, 4)),  # some start at 2
    *(f"train/0001/0003/0001_C2_F{i:04d}_X{500 + i}.jpg" for i in (1, 2)),
    *(f"query/0005/0010/0005_C1_F{i:04d}_X{i}.jpg" for i in (1, 2)),
    *(f"gallery/0005/0011/0005_C8_F{i:04d}_X{90 + i}.jpg" for i in (1, 2)),
    "gallery/0007/0012/0007_C1_F0001_X7.jpg",
]
