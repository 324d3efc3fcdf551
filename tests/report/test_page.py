import csv
import os

import pytest

from reseen.errors import SettingsError
from reseen.report.page import LIST, MARK, defused, former_files, write_files
from reseen.report.section import Section

TABLE = Section("", "", tables={"numbers": [["run", "mAP"], ["=1+1", -0.5]]})


@pytest.mark.parametrize(
    "end", ["", "..\n", "\n\n", "numbers.csv/../../mine.csv\n", "\udce9.csv\n"]
)
def test_a_list_removes_nothing_outside_its_folder(tmp_path, end):
    folder, mine = tmp_path / "a.reseen", tmp_path / "mine.csv"
    folder.mkdir()
    mine.touch()
    (folder / "sub.csv").mkdir()
    (folder / "link.csv").symlink_to(mine)
    (folder / "old.png").touch()
    names = [str(mine), "../mine.csv", "sub.csv", "link.csv", "old.png", "", ".", "lost.svg"]
    text = "\n".join([MARK, *names, end])
    (folder / LIST).write_bytes(text.encode(errors="surrogateescape"))
    write_files(folder, [TABLE])
    found = {path.name for path in folder.iterdir()}
    assert mine.exists() and found == {LIST, "numbers.csv", "sub.csv"}
    assert former_files(folder) == ["numbers.csv"]


def test_only_what_a_report_made_is_replaced(tmp_path):
    folder = tmp_path / "a.reseen"
    write_files(folder, [])
    (folder / "numbers.csv").write_text("mine")
    with pytest.raises(SettingsError, match=r"numbers\.csv was not written by reseen report"):
        write_files(folder, [TABLE])
    assert (folder / "numbers.csv").read_text() == "mine"
    (folder / "numbers.csv").unlink()
    for _ in range(2):
        write_files(folder, [TABLE])
    with (folder / "numbers.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [["run", "mAP"], ["'=1+1", "-0.5"]]


@pytest.mark.parametrize("text", ["", "photo.png\n", MARK[:-1] + "\n", "\udcff\n"])
def test_a_folder_without_the_mark_is_refused(tmp_path, text):
    (tmp_path / LIST).write_bytes(os.fsencode(text))
    with pytest.raises(SettingsError, match="was not made by reseen report"):
        former_files(tmp_path)
    (tmp_path / LIST).unlink()
    assert former_files(tmp_path) == former_files(tmp_path / "new") == []


def test_formulas_are_defused_and_numbers_stay():
    for text in ("=1+1", "+cmd", "-2+3", "@SUM(1)", "\t=1", "\r=1", "\uff1d1", "=HYPERLINK(1)"):
        assert defused(text) == f"'{text}"
    for cell in ("cam=1", "", "-1", "+2", "-1e-3", -1, -0.5, None, "'=1", "a\n=1"):
        assert defused(cell) == cell
