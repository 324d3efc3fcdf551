"""Fabricated folders in the real layouts, each picture one plain colour."""

from pathlib import Path

import PIL.Image


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
