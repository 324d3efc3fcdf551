"""What records look like when they are printed."""

from pathlib import Path

import numpy as np
import pytest

from reseen.records import Dataset, Image, PseudoLabels, Ranking, camera_names

MANY = 3000
IMAGES = tuple(Image(Path(f"{i}.jpg"), person=i // 2, camera=i % 2) for i in range(MANY))
RANKING = Ranking(
    queries=np.arange(MANY),
    skipped=0,
    average_precision=np.linspace(0, 0.854, MANY),
    first_match=np.where(np.arange(MANY) % 4, 1, 7),
    inverse_penalty=np.ones(MANY),
    top=np.zeros((MANY, 10), int),
    right=np.zeros((MANY, 10), bool),
)


@pytest.mark.parametrize(
    ("record", "printed"),
    [
        (RANKING, "mAP 42.7%, rank-1 75.0% (3,000 queries)"),
        (PseudoLabels(np.arange(MANY) // 4 - 1), "749 clusters of 3,000 images, 0% noise"),
        (PseudoLabels(np.array([0, 0, -1, -1])), "1 cluster of 4 images, 50% noise"),
        (
            Dataset("town", Path("town"), IMAGES, IMAGES[:1], IMAGES[:2]),
            "town: 3,000 training images, 1 query, 2 gallery images",
        ),
    ],
)
def test_a_record_prints_as_one_line(record, printed):
    assert str(record) == printed
    assert repr(record) == f"<{type(record).__name__}: {printed}>"


def test_a_tracklet_prints_without_the_names_of_its_frames():
    tracklet = Image(Path("0001.jpg"), person=3, frames=tuple(f"{i:04}.jpg" for i in range(900)))
    assert len(repr(tracklet)) < 100 and "0001.jpg" in repr(tracklet)


def test_labels_of_any_whole_numbers_are_kept_as_int64():
    """A run keeps labels as int64 and takes any others for damaged."""
    ids = PseudoLabels(np.array([0, 1, -1], np.int32)).ids
    assert ids.dtype == np.int64 and ids.tolist() == [0, 1, -1]
    with pytest.raises(TypeError, match="safe"):
        PseudoLabels(np.array([0.5, 1.0]))


def test_cameras_have_the_names_of_the_data_or_their_numbers():
    images = [Image(Path("a.jpg"), camera=number) for number in (2, 7, None, 0)]
    assert camera_names(images, {}) == ["2", "7", None, "0"]
    assert camera_names(images, {2: "yard ", 7: "07", 0: "0.0"}) == ["yard", "7", None, "0"]
