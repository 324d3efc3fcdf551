from dataclasses import replace
from pathlib import Path

import pytest
from scipy.io import savemat

from reseen.data import dukevideo, mars, tracklets
from reseen.data.check import check
from reseen.data.reading import read
from reseen.errors import DataError
from reseen.records import JUNK, Image
from tests.data import trees
from tests.data.trees import DUKEVIDEO, tree


def facts(part):
    return [(image.person, image.camera, len(image.frames)) for image in part]


def info(root, name, **table):
    savemat(root / "info" / name, table)


def test_mars_tracklets_distractors_and_junk(tmp_path):
    data = mars.read(trees.mars(tmp_path / "MARS"))
    assert facts(data.train) == [(1, 1, 3), (1, 2, 2), (3, 1, 2)]
    assert facts(data.query) == [(2, 1, 3), (2, 3, 2), (4, 1, 2)]
    assert facts(data.gallery) == [
        *((JUNK, 1, 2), (0, 2, 2), (2, 1, 3)),
        *((2, 3, 2), (4, 1, 2), (4, 4, 1)),
    ]
    assert set(data.query) < set(data.gallery)  # as its authors evaluate
    assert data.train[0].frames[0] == "0001C1T0001F001.jpg"
    everything = [path for image in data.train + data.gallery for path in image.paths]
    assert sorted(everything) == sorted(tmp_path.rglob("*.jpg"))


def test_mars_junk_does_not_train(tmp_path):
    root = trees.mars(tmp_path)
    names = (root / "info" / "train_name.txt").read_text().replace("0003C1", "00-1C1")
    (root / "info" / "train_name.txt").write_text(names)
    rows = [[1, 3, 1, 1], [4, 5, 1, 2], [6, 7, -1, 1]]
    info(root, "tracks_train_info.mat", track_train_info=rows)
    assert facts(mars.read(root).train) == [(1, 1, 3), (1, 2, 2)]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("bbox_train", r"bbox_train is not a folder\. MARS has bbox_train, bbox_test and info"),
        ("bbox_test", "bbox_test is not a folder"),
        ("info/query_IDX.mat", r"info lacks query_IDX\.mat\. .*MARS-evaluation"),
        ("info/test_name.txt", r"info lacks test_name\.txt"),
    ],
)
def test_mars_names_what_is_missing(tmp_path, name, says):
    root = trees.mars(tmp_path / "MARS")
    (root / name).rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=says):
        read(root, format="mars")


def test_mars_from_above_is_told_where_to_look(tmp_path):
    trees.mars(tmp_path / "MARS-v160809")
    with pytest.raises(DataError, match=r"That seems to be .*MARS-v160809"):
        mars.read(tmp_path)
    with pytest.raises(DataError, match=r"in a subfolder.*MARS-v160809"):
        read(tmp_path)


@pytest.mark.parametrize(
    "row", [[4, 9, 1, 2], [0, 2, 1, 1], [5, 4, 1, 2], [4, 5, 3, 2], [4, 5, 1, 1]]
)
def test_mars_rows_that_cannot_be_are_numbered(tmp_path, row):
    root = trees.mars(tmp_path)
    info(root, "tracks_train_info.mat", track_train_info=[[1, 3, 1, 1], row])
    with pytest.raises(DataError, match=r"tracks_train_info\.mat, row 2: lines .* which has 7"):
        mars.read(root)


def test_mars_files_that_hold_something_else(tmp_path):
    root = trees.mars(tmp_path)
    info(root, "query_IDX.mat", query_IDX=[[2, 7]])
    with pytest.raises(DataError, match="names rows 2 to 7 of 6 test tracklets"):
        mars.read(root)
    info(root, "query_IDX.mat", something=1)
    with pytest.raises(DataError, match=r"query_IDX\.mat has no matrix query_IDX \(KeyError"):
        mars.read(root)
    info(root, "tracks_test_info.mat", track_test_info=[[1, 2, 3]])
    with pytest.raises(DataError, match=r"has 1 x 3 numbers\. It should have a row for each"):
        mars.read(root)
    (root / "info" / "tracks_train_info.mat").write_text("<html>not found</html>")
    with pytest.raises(DataError, match=r"tracks_train_info\.mat has no matrix"):
        mars.read(root)


def test_dukevideo(tmp_path):
    data = dukevideo.read(tree(tmp_path, DUKEVIDEO))
    assert facts(data.train) == [(1, 6, 3), (1, 2, 2)]
    assert facts(data.query) == [(5, 1, 2)] and facts(data.gallery) == [(5, 8, 2), (7, 1, 1)]
    assert data.train[0].time == 30824
    assert data.train[0].paths == tuple(sorted((tmp_path / "train/0001/0000").iterdir()))
    assert "withdrew" in (dukevideo.__doc__ or "")


def test_dukevideo_first_names_and_frames_beyond_four_digits(tmp_path):
    names = [f"0001C6F{i}X{30000 + int(i)}.jpg" for i in ("10000", "0099", "9999")]
    for part in ("train", "query", "gallery"):
        tree(tmp_path / part / "0001" / "0003", names)
    (tracklet,) = dukevideo.read(tmp_path).train
    assert tracklet.frames == (names[1], names[2], names[0])
    assert (tracklet.person, tracklet.camera, tracklet.time) == (1, 6, 30099)


def test_dukevideo_says_what_is_wrong(tmp_path):
    with pytest.raises(DataError, match=r"query is not a folder\. DukeMTMC-VideoReID has train"):
        dukevideo.read(tree(tmp_path / "a", DUKEVIDEO[:5]))
    tree(tmp_path / "b", DUKEVIDEO)
    with pytest.raises(DataError, match=r"seems to be .*b\."):
        dukevideo.read(tmp_path)
    tree(tmp_path / "b", ["query/0005/0010/holiday.jpg"])
    with pytest.raises(DataError, match=r"1 picture with an unexpected name, .*holiday"):
        dukevideo.read(tmp_path / "b")
    tree(tmp_path / "c", DUKEVIDEO[:-3])
    (tmp_path / "c" / "gallery").mkdir()
    with pytest.raises(DataError, match=r"gallery contains no tracklets\. Their layout is PERSON"):
        dukevideo.read(tmp_path / "c")


def test_auto_recognises_tracklets(tmp_path):
    trees.mars(tmp_path / "m")
    tree(tmp_path / "d", DUKEVIDEO)
    assert read(tmp_path / "m") == mars.read(tmp_path / "m")
    assert read(tmp_path / "d") == dukevideo.read(tmp_path / "d")
    # other pictures in such folders are no benchmark
    plain = tree(tmp_path / "p", ["train/1.jpg", "query/2.jpg", "gallery/3.jpg"])
    assert len(read(plain, folders="camera").train) == 3


def test_a_plain_folder_of_tracklets(tmp_path):
    names = [f"door/{i}/{frame}.jpg" for i in (1, 2) for frame in (1, 2, 10)]
    data = tracklets.read(tree(tmp_path, [*names, "yard/late/1/a.jpg"]))
    assert data.cameras == {0: "door", 1: "yard"} and not data.query
    assert facts(data.train) == [(None, 0, 3), (None, 0, 3), (None, 1, 1)]
    assert data.train[0].frames == ("1.jpg", "2.jpg", "10.jpg")  # as people count
    assert data.train[0].path == tmp_path / "door/1/1.jpg"


@pytest.mark.parametrize("name", ["door/1.jpg", "1.jpg"])
def test_pictures_outside_of_tracklets_are_refused(tmp_path, name):
    tree(tmp_path, ["door/1/1.jpg", name])
    with pytest.raises(DataError, match=r"1 picture outside of .*TRACKLET/FRAME\.jpg"):
        read(tmp_path, format="tracklets")


def test_tracklets_of_a_manifest(tmp_path):
    tree(tmp_path, names := [f"{t}/{i}.jpg" for t in "abc" for i in range(2)])
    (tmp_path / "t.csv").write_text(
        "path,camera,person,split\n"
        + "".join(
            f"{name},{'xyy'['abc'.index(name[0])]},ann,{split}\n"
            for name, split in zip(
                names, ["train", "train", "query", "gallery", "gallery", "gallery"], strict=True
            )
        )
    )
    data = read(tmp_path / "t.csv", format="tracklets")
    assert facts(data.train) == [(0, 0, 2)] and facts(data.query) == [(0, 1, 2)]
    assert facts(data.gallery) == [(0, 1, 2), (0, 1, 2)]


def test_tracklets_by_a_pattern(tmp_path):
    tree(tmp_path, ["cam1/ann_7/1.jpg", "cam1/ann_7/2.jpg", "cam2/bob_1/1.jpg"])
    data = read(tmp_path, format="tracklets", pattern="cam{camera}/{person}_{_}/{_}.jpg")
    assert facts(data.train) == facts(data.query) == [(0, 1, 2), (1, 2, 1)]


def test_frames_of_several_people_or_of_both_sides_are_refused(tmp_path):
    tree(tmp_path, ["a/1.jpg", "a/2.jpg"])
    for column, one, two, says in (
        ("person", "ann", "bob", "are of 2 people"),
        ("camera", "door", "yard", "are of 2 cameras"),
        ("split", "train", "gallery", "1 tracklet with frames both in train and in query"),
    ):
        text = f"path,{column}\na/1.jpg,{one}\na/2.jpg,{two}\n"
        (tmp_path / "manifest.csv").write_text(text)
        with pytest.raises(DataError, match=says):
            tracklets.read(tmp_path)


def test_invented_tracklets(video):
    assert facts(video.train)[:2] == [(1, 1, 4), (1, 2, 4)] and len(video.train) == 8 * 3
    assert facts(video.query) == facts(video.gallery)  # all 8 others, each by 3 cameras
    assert {image.person for image in video.query} == set(range(9, 17))
    plain = read(video.root / "tracklets", format="tracklets")
    assert [image.path for image in plain.train if image.camera == 1] == [
        image.path for image in (*video.train, *video.query) if image.camera == 1
    ]


def problems(data):
    return "\n".join(map(str, check(data).problems))


def test_check_counts_frames(tmp_path):
    data = mars.read(trees.mars(tmp_path))
    report = str(check(data))
    assert "train: 3 tracklets of 2 to 3 frames, 7 in all, 2 people, 2 cameras, 8 x 16" in report
    assert "gallery: 6 tracklets of 1 to 3 frames, 12 in all" in report and "(1 junk)" in report
    assert "only 3 training tracklets" in report
    assert "1 of 9 tracklets with only one frame" in report and "0004C4T0006F001" in report
    assert "--frames" not in report
    long = tuple(f"{i:02d}.jpg" for i in range(20))
    tree(tmp_path / "long", list(long))
    image = replace(data.train[0], path=tmp_path / "long" / long[0], frames=long)
    report = str(check(replace(data, train=(image, image))))
    assert "a round extracts features of 40 frames, or 32 with --frames 16" in report


def test_check_looks_at_every_frame(tmp_path):
    data = mars.read(trees.mars(tmp_path))
    last = data.train[0].paths[-1]
    last.write_bytes(b"nothing")
    assert f"1 picture cannot be read.\n    {last}" in problems(data)


def test_copies_count_between_tracklets_only(tmp_path):
    data = mars.read(trees.mars(tmp_path))
    one, two, *_ = data.train[0].paths
    two.write_bytes(one.read_bytes())
    assert "byte for byte" not in problems(data)  # somebody stood still
    data.train[1].paths[1].write_bytes(one.read_bytes())
    assert "1 picture more than once, byte for byte" in problems(data)
    data.gallery[2].paths[1].write_bytes(one.read_bytes())
    assert "1 picture both in train and in query or gallery" in problems(data)


def test_tracklets_hold_their_paths():
    tracklet = Image(Path("a/1.jpg"), frames=("1.jpg", "2.jpg"))
    assert tracklet.paths == (Path("a/1.jpg"), Path("a/2.jpg"))
    assert Image(Path("a/1.jpg")).paths == (Path("a/1.jpg"),)


def test_the_first_folder_may_be_a_person(tmp_path):
    root = tree(tmp_path, [f"{who}/{i}/1.jpg" for who in ("ann", "bob") for i in (1, 2)])
    data = read(root, format="tracklets", folders="person")
    assert facts(data.train) == [(0, None, 1), (0, None, 1), (1, None, 1), (1, None, 1)]
    assert data.query == data.gallery == data.train
    assert "If each is a person" in read(root, format="tracklets").notes[0]


def test_mars_names_of_another_encoding_are_refused(tmp_path):
    (trees.mars(tmp_path) / "info" / "test_name.txt").write_bytes(b"\xe9.jpg")
    with pytest.raises(DataError, match=r"test_name\.txt is not UTF-8 text"):
        mars.read(tmp_path)
