import pytest

from reseen.data import cuhk03, dukemtmc, market1501, personx
from reseen.data import msmt17 as msmt
from reseen.data.check import check
from reseen.data.reading import read
from reseen.errors import DataError, SettingsError
from reseen.records import JUNK
from tests.data.trees import DUKE, MARKET, PERSONX, msmt17, tree


def facts(part):
    return [(image.person, image.camera) for image in part]


def test_market1501_with_distractors_and_junk(tmp_path):
    data = market1501.read(tree(tmp_path / "Market", MARKET))
    assert data.name == "Market"
    assert facts(data.train) == [(2, 1), (2, 2), (7, 3)]  # junk does not train
    assert facts(data.query) == [(1, 1)]
    assert sorted(facts(data.gallery)) == [(JUNK, 1), (0, 1), (1, 2)]
    assert all(image.path.is_file() and image.time is None for image in data.gallery)


def test_dukemtmc_frames_are_times(tmp_path):
    data = dukemtmc.read(tree(tmp_path, DUKE))
    assert (data.train[0].person, data.train[0].camera, data.train[0].time) == (1, 2, 46182)
    assert facts(data.gallery) == [(5, 8)]
    assert "withdrew" in (dukemtmc.__doc__ or "")


def test_personx_cameras_keep_their_numbers(tmp_path):
    data = personx.read(tree(tmp_path, PERSONX))
    assert facts(data.train + data.query + data.gallery) == [(1, 3), (411, 12), (411, 10)]


def test_cuhk03_may_be_a_source_without_test_images(tmp_path):
    data = cuhk03.read(tree(tmp_path, MARKET[:3]))
    assert len(data.train) == 3 and not data.query and not data.gallery


@pytest.mark.parametrize("folders", [("train", "test"), ("mask_train_v2", "mask_test_v2")])
def test_msmt17_lists(tmp_path, folders):
    data = msmt.read(msmt17(tmp_path, folders))
    assert facts(data.train) == [(0, 1), (0, 5)]  # train and val
    assert facts(data.query) == [(0, 2)]
    assert facts(data.gallery) == [(0, 14), (1, 2)]
    assert all(image.path.is_file() for image in data.train + data.query + data.gallery)


def test_msmt17_renamed(tmp_path):
    names = ["bounding_box_train/0000_c1_0000.jpg", "query/0000_c15_0000.jpg"]
    data = msmt.read(tree(tmp_path, [*names, "bounding_box_test/0000_c2_0001.jpg"]))
    assert facts(data.train + data.query + data.gallery) == [(0, 1), (0, 15), (0, 2)]


@pytest.mark.parametrize("line", ["0000/short.jpg 0", "0000/0000_000_01_a_b_0.jpg zero", "alone"])
def test_msmt17_lines_that_are_not_understood_are_numbered(tmp_path, line):
    path = msmt17(tmp_path) / "list_val.txt"
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(DataError, match=r"list_val\.txt, line 2: .* cannot be parsed"):
        msmt.read(tmp_path)


def test_msmt17_without_a_list_or_folder(tmp_path):
    root = msmt17(tmp_path)
    (root / "list_query.txt").unlink()
    with pytest.raises(DataError, match=r"list_query\.txt is missing"):
        msmt.read(root)
    (root / "test").rename(root / "elsewhere")
    with pytest.raises(DataError, match="no folder test or mask_test_v2"):
        msmt.read(root)


@pytest.mark.parametrize(
    ("name", "tree_of", "says"),
    [
        ("market1501", MARKET[:4], "query is not a folder. Market-1501 has bounding_box_train"),
        ("cuhk03", MARKET[:5], "bounding_box_test is not a folder. CUHK03"),
        ("dukemtmc", MARKET[4:], "bounding_box_train is not a folder. DukeMTMC-reID"),
    ],
)
def test_missing_folders_are_named(tmp_path, name, tree_of, says):
    with pytest.raises(DataError, match=says):
        read(tree(tmp_path, tree_of), format=name)


def test_the_parent_folder_is_told_where_to_look(tmp_path):
    tree(tmp_path / "Market-1501-v15.09.15", MARKET)
    with pytest.raises(DataError, match=r"That seems to be .*Market-1501-v15\.09\.15"):
        market1501.read(tmp_path)


def test_files_with_other_names_are_counted_and_other_files_ignored(tmp_path):
    root = tree(tmp_path, MARKET)
    for name in ("Thumbs.db", ".hidden.jpg", "notes.txt"):
        (root / "query" / name).write_text("x")
    assert len(market1501.read(root).query) == 1
    tree(root, ["query/holiday.jpg", "query/beach.jpg"])
    with pytest.raises(DataError, match=r"2 pictures with an unexpected name, .*beach"):
        market1501.read(root)


def test_auto_recognises_every_layout(tmp_path):
    assert facts(read(msmt17(tmp_path / "m")).query) == [(0, 2)]
    assert facts(read(tree(tmp_path / "d", DUKE)).query) == [(5, 1)]
    assert len(read(tree(tmp_path / "c", MARKET[:3])).train) == 3
    assert read(tree(tmp_path / "f", ["a/1.jpg", "b/2.jpg"])).cameras == {0: "a", 1: "b"}


def test_unknown_format_or_place(tmp_path):
    with pytest.raises(SettingsError, match="format is 'market'"):
        read(tmp_path, format="market")
    with pytest.raises(DataError, match="nowhere does not exist"):
        read(tmp_path / "nowhere")


def test_auto_does_not_train_on_the_test_images_of_a_benchmark_further_down(tmp_path):
    market, msmt_root = tmp_path / "a", tmp_path / "b"
    tree(market / "Market-1501-v15.09.15", MARKET)
    msmt_root.mkdir()
    msmt17(msmt_root / "MSMT17_V1")
    for root, name in ((market, r"Market-1501-v15\.09\.15"), (msmt_root, "MSMT17_V1")):
        with pytest.raises(DataError, match=f"in a subfolder. .*{name}.*--format folder"):
            read(root)
    assert len(read(market, format="folder").train) == len(MARKET)


def test_auto_misses_the_training_folder(tmp_path):
    with pytest.raises(DataError, match=r"bounding_box_train is not a folder\."):
        read(tree(tmp_path, MARKET[4:]))


def test_msmt17_from_above_is_told_where_to_look(tmp_path):
    msmt17(tmp_path / "MSMT17_V1")
    with pytest.raises(DataError, match=r"list_train\.txt is missing.*seems to be .*MSMT17_V1"):
        msmt.read(tmp_path)


def test_msmt17_lists_may_have_blank_lines(tmp_path):
    path = msmt17(tmp_path) / "list_val.txt"
    path.write_text(path.read_text() + "\n")
    assert facts(msmt.read(tmp_path).train) == [(0, 1), (0, 5)]


def test_a_benchmark_has_no_pattern(tmp_path):
    with pytest.raises(SettingsError, match=r"pattern is .* of format 'market1501' are fixed"):
        read(tree(tmp_path, MARKET), format="market1501", pattern="{camera}.jpg")


def test_the_real_halves(real_data):
    half = read(real_data / "market-half")
    assert [len(part) for part in (half.train, half.query, half.gallery)] == [6338, 1607, 4991]
    assert len({image.person for image in half.train}) == 376
    assert {image.camera for image in half.train} == {1, 2, 3, 4, 5, 6}
    source = read(real_data / "cuhk03-source", format="cuhk03")
    assert len(source.train) == 7239 and len({image.person for image in source.train}) == 743
    assert check(half).problems == ()


NESTED = "0000/0000_000_01_0303morning_0015_0.jpg"


@pytest.mark.parametrize("half", ["mask_train_v2", "train", "test"])
def test_msmt17_without_its_lists_is_refused(tmp_path, half):
    tree(tmp_path, [f"{half}/{NESTED}", f"{half}/{NESTED.replace('0000_000', '0000_001')}"])
    with pytest.raises(DataError, match="not the lists that come with them"):
        read(tmp_path)
    alone = read(tmp_path / half, pattern="{person}/{_}_{_}_{camera}_{_}")
    assert facts(alone.train) == [(0, 1), (0, 1)]


def test_veri776_is_read(tmp_path):
    names = ["image_train/0001_c001_00016450_0.jpg", "image_query/0002_c002_00030600_0.jpg"]
    data = read(tree(tmp_path, [*names, "image_test/0002_c003_00030640_0.jpg"]))
    assert facts(data.train + data.query + data.gallery) == [(1, 1), (2, 2), (2, 3)]


def test_a_folder_a_person_in_parts_is_read_by_its_names(tmp_path):
    names = [f"{part}/0002/0002_c1s1_000451_03.jpg" for part in ("train", "val", "train_all")]
    names += ["query/0001/0001_c1s1_001051_00.jpg", "gallery/0001/0001_c2s1_000301_00.jpg"]
    data = read(tree(tmp_path, [*names, "gallery/-1/-1_c2s1_000301_00.jpg"]))
    assert facts(data.train) == [(2, 1)] and facts(data.query) == [(1, 1)]
    assert facts(data.gallery) == [(JUNK, 2), (1, 2)]


@pytest.mark.parametrize(
    "names",
    [
        ["a/b/Market/" + name for name in MARKET],
        ["a/b/train/0001/1.jpg", "a/b/test/0002/1.jpg"],
        [f"MSMT17_V2/MSMT17_V2/mask_train_v2/{NESTED}", "__MACOSX/MSMT17_V2/x.jpg"],
        ["veri/VeRi/image_train/0001_c001_00016450_0.jpg"],
    ],
)
def test_benchmarks_far_down_are_refused(tmp_path, names):
    with pytest.raises(DataError, match="holds a benchmark in a subfolder"):
        read(tree(tmp_path, names))


@pytest.mark.parametrize(
    ("folders", "train"),
    [
        (("train/0001", "test/0002"), r"training part, .*/train \("),
        (("Train", "query"), r"training part, .*/Train \("),
        (("Query", "Gallery", "Bounding_Box_Train"), r"training part, .*/Bounding_Box_Train \("),
        (("images_labeled", "images_detected"), r"training part \(with"),
        (("cam1", "test"), r"training part \(with"),
    ],
)
def test_parts_are_never_cameras(tmp_path, folders, train):
    tree(tmp_path, [f"{folder}/{i}.jpg" for folder in folders for i in range(2)])
    with pytest.raises(DataError, match=f"parts of a data set.*Give only the {train}") as error:
        read(tmp_path)
    assert ("lower-case names" in str(error.value)) == any(map(str.istitle, folders))
    assert len(read(tmp_path, folders="camera").cameras) == len(folders)


def test_a_half_given_alone_keeps_its_people_and_cameras(tmp_path):
    data = read(tree(tmp_path, MARKET[:3]) / "bounding_box_train")
    assert facts(data.train) == [(2, 1), (2, 2), (7, 3)]
    assert "People and cameras are read from names such as 0002_c1s1" in data.notes[0]
    tree(tmp_path, ["bounding_box_train/odd.jpg"])
    data = read(tmp_path / "bounding_box_train")
    assert "3 names contain a person and a camera as in Market-1501, but 1 do not" in data.notes[0]
    assert {image.camera for image in data.train} == {None}


def test_a_manifest_beside_a_benchmark_is_said(tmp_path):
    (tree(tmp_path, MARKET) / "manifest.csv").write_text("path\n")
    data = read(tmp_path)
    assert len(data.query) == 1 and "manifest.csv is not read" in data.notes[0]


def test_what_lies_beside_pictures_of_a_benchmark_is_counted(tmp_path):
    (tree(tmp_path, MARKET) / "query" / "0003_c1s1_0.heic").touch()
    assert "not read: 1 .heic" in read(tmp_path).notes[0]


def test_numbers_beyond_64_bits_are_no_names_of_a_benchmark(tmp_path):
    tree(tmp_path, [*MARKET, "query/99999999999999999999_c1s1_0.jpg"])
    with pytest.raises(DataError, match="1 picture with an unexpected name"):
        read(tmp_path)
    line = "0000/0000_000_01_a.jpg 99999999999999999999\n"
    (msmt17(tmp_path / "m") / "list_val.txt").write_text(line)
    with pytest.raises(DataError, match=r"line 1: .* cannot be parsed"):
        read(tmp_path / "m")


def test_msmt17_lists_of_another_encoding_are_refused(tmp_path):
    (msmt17(tmp_path) / "list_val.txt").write_bytes(b"0001/0001_000_01_\xe9_0.jpg 0\n")
    with pytest.raises(DataError, match=r"list_val\.txt is not UTF-8 text"):
        read(tmp_path)


def test_msmt17_lists_may_name_another_suffix(tmp_path):
    for path in list(msmt17(tmp_path).rglob("*.jpg")):
        path.rename(path.with_suffix(".jpeg"))
    data = read(tmp_path)
    assert all(image.path.is_file() for image in data.train + data.query + data.gallery)
    assert len(data.notes) == 4 and "with .jpg, but the files have .jpeg" in data.notes[0]


def test_msmt17_lines_that_stand_twice(tmp_path):
    path = msmt17(tmp_path) / "list_gallery.txt"
    lines = path.read_text()
    path.write_text(lines * 2)
    (tmp_path / "list_val.txt").write_text((tmp_path / "list_train.txt").read_text())
    data = read(tmp_path)
    assert facts(data.gallery) == [(0, 14), (1, 2)] and facts(data.train) == [(0, 1)]
    assert "has 2 lines twice" in data.notes[0] and "1 picture in list_train" in data.notes[1]
    path.write_text(lines + lines.replace(" 1", " 2"))
    with pytest.raises(DataError, match=r"list_gallery\.txt, line 4: .* is person 2 here"):
        read(tmp_path)


def test_folders_are_for_plain_folders(tmp_path):
    with pytest.raises(SettingsError, match=r"folders is 'person', .* 'market1501' are fixed"):
        read(tree(tmp_path, MARKET), format="market1501", folders="person")
