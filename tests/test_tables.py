"""Variants and tables: every row is reachable, and a table goes on where it was stopped."""

import json
import re
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from reseen.engine.device import Device
from reseen.engine.folder import read_metrics
from reseen.engine.run import Run
from reseen.engine.settings import varied
from reseen.errors import CheckpointError, SettingsError
from reseen.memory.clusters import STARTS, UPDATES
from reseen.methods import METHODS
from reseen.published import VARIANTS
from reseen.tables import DONE, _told, rows_of, run_table, written_out
from tests.conftest import TINY

CPU = Device(name="cpu", precision="float32")
PAGES = Path(__file__).parents[1] / "docs" / "methods"
every_variant = pytest.mark.parametrize(
    ("method", "name"), [(method, name) for method in VARIANTS for name in VARIANTS[method]]
)


@every_variant
def test_every_variant_is_a_setting_of_its_method(method, name):
    variant = VARIANTS[method][name]
    plain, changed = METHODS[method](), varied(METHODS[method](), variant.settings)
    assert (changed != plain) == bool(variant.settings) or name == "baseline"
    assert variant.tables and all(f"{title}-".startswith(f"{method}-") for title in variant.tables)
    assert all(0 < mean_ap < (rank1 or 99) < 100 for mean_ap, rank1 in variant.published.values())


@every_variant
def test_the_page_lists_it_with_what_was_published(method, name):
    page = (PAGES / f"{method}.md").read_text(encoding="utf-8").partition("## Own numbers")[0]
    (row,) = re.findall(rf"^\| `{name}` \|.*$", page, re.MULTILINE)
    numbers = re.findall(r"(\d+\.\d) / (\d+\.\d|-)", row)
    told = [(float(a), None if b == "-" else float(b)) for a, b in numbers]
    assert told == list(VARIANTS[method][name].published.values())


@pytest.mark.parametrize("method", VARIANTS)
def test_no_two_variants_of_a_table_are_the_same(method):
    for title in {title for variant in VARIANTS[method].values() for title in variant.tables}:
        _, names = rows_of(title)
        known = [VARIANTS[method][name] for name in names]
        rows = [
            (repr(varied(METHODS[method](), v.settings)), v.own_source, v.without_start)
            for v in known
        ]
        assert len(set(rows)) == len(names), title


def test_the_table_of_the_memory_holds_every_start_and_update():
    method, names = rows_of("cluster-contrast-memory")
    known = [varied(METHODS[method](), VARIANTS[method][name].settings).memory for name in names]
    kinds = [(memory.memory_start, memory.memory_update) for memory in known]
    assert sorted(kinds) == sorted(product(STARTS, UPDATES))


def test_an_unknown_table_says_which_there_are():
    with pytest.raises(SettingsError, match=r"No table is called 'adtc-9'.*adtc-2.*mla-6"):
        rows_of("adtc-9")


def test_a_table_runs_stops_goes_on_and_is_read(town, tmp_path, quick, monkeypatch):
    methods = {"one": quick(epochs=2, iterations=1), "two": quick(epochs=2, iterations=2)}

    def rows():
        return list(run_table(methods, town, tmp_path, seeds=(0, 3), device=CPU, quiet=True))

    finish = Run._finish

    def stop_in_the_last(run, parts, last):
        if run.folder == tmp_path / "two" / "3" and last:
            raise KeyboardInterrupt
        finish(run, parts, last)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "_finish", stop_in_the_last)
        with pytest.raises(KeyboardInterrupt):
            rows()
    finished = tmp_path / "one" / "0" / "checkpoints" / "last.pt"
    stamp = finished.stat().st_mtime_ns
    found = rows()
    assert [row.variant for row in found] == ["one", "two"]
    assert finished.stat().st_mtime_ns == stamp
    last = read_metrics(tmp_path / "two" / "3")[-1]
    assert last["round"] == 2 and found[1].last[1] == (last["mAP"], last["rank1"])
    assert all(best >= last for row in found for best, last in zip(row.best, row.last, strict=True))

    def untouched(*_args, **_options):
        raise AssertionError("a finished run was opened")

    monkeypatch.setattr("reseen.tables.train", untouched)
    assert rows() == found
    methods["one"] = quick(epochs=2, iterations=3)
    with pytest.raises(AssertionError, match="opened"):  # other settings are not taken for these
        rows()


def test_a_run_that_collapses_is_a_result_and_the_next_goes_on(town, tmp_path, quick):
    methods = {"none": quick(eps=0.01, min_samples=6), "one": quick(epochs=1, iterations=1)}
    for _ in range(2):  # the second time it is read
        none, one = run_table(methods, town, tmp_path, device=CPU, quiet=True)
        assert "found 0 clusters" in none.broken[0] and one.broken == ("",)
        assert none.last[0] == (read_metrics(tmp_path / "none" / "0")[0]["mAP"], none.last[0][1])
    methods["one"] = quick(epochs=1, iterations=1, encoder=replace(TINY, backbone="nonet"))
    with pytest.raises(SettingsError, match="No backbone is called 'nonet'"):
        list(run_table(methods, town, tmp_path / "new", device=CPU, quiet=True))


def test_a_table_needs_a_gallery(town, tmp_path, quick):
    from reseen.records import Dataset

    crops = Dataset("crops", town.root, town.train)
    with pytest.raises(SettingsError, match="queries and a gallery"):
        list(run_table({"one": quick(epochs=1)}, crops, tmp_path, device=CPU, quiet=True))
    assert json.loads((tmp_path / "one" / "0" / DONE).read_text())["data"][0] == "crops"


def test_numbers_are_written_with_their_spread():
    assert written_out([(0.5, 0.75)]) == "50.0 / 75.0"
    assert written_out([(0.4, 0.7), (0.6, 0.8)]) == "50.0 ± 14.1 / 75.0"


def test_runs_with_a_start_are_not_those_without(town, tmp_path, quick):
    methods = {"one": quick(epochs=1, iterations=1)}
    told = dict(device=CPU, quiet=True)
    list(run_table(methods, town, tmp_path / "start", **told))
    started = dict(told, start=tmp_path / "start" / "one" / "0")
    list(run_table(methods, town, tmp_path / "runs", **started))
    with pytest.raises(SettingsError, match=r"start: .* there, None now"):
        list(run_table(methods, town, tmp_path / "runs", **told))
    list(run_table(methods, town, tmp_path / "runs", **started))


def test_a_missing_source_is_said_before_the_first_run(town, tmp_path, quick):
    methods = {"one": quick(epochs=1), "two": quick("daal")}
    with pytest.raises(SettingsError, match="trains on two data sets"):
        list(run_table(methods, town, tmp_path / "runs", device=CPU, quiet=True))
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "text", ["", '{"method": "Clus', "[]", "{}", '{"broken": 1}', "[" * 100_000]
)
def test_a_damaged_table_is_said(tmp_path, text):
    assert _told(tmp_path) == {}
    (tmp_path / DONE).write_text(text)
    with pytest.raises(CheckpointError, match=r"table\.json is damaged .*Remove this file"):
        _told(tmp_path)
