import csv
import json
import re
import shutil
from dataclasses import replace
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from reseen.engine.settings import varied
from reseen.errors import CheckpointError, SettingsError
from reseen.kernels.centring import CameraStatistics
from reseen.report.attention import shares_on_person
from reseen.report.evidence import Evidence
from reseen.report.report import OF_RUNS, SECTIONS, write_report
from reseen.report.section import Section
from reseen.report.thumbnails import HEIGHT
from reseen.training import evaluate, load
from tests.report.browser import opened

EDGE = 12
"""Pixels around the points of a map, as in page.js."""
TOLD = dict(map="pca", points=40, quiet=True)


@pytest.fixture(scope="module")
def whole(run, town, tmp_path_factory):
    """The report of a run whose people are known, with all its parts."""
    path = tmp_path_factory.mktemp("whole") / "report.html"
    write_report([run], path, data=town, **TOLD)
    return path


class Outside(HTMLParser):
    """Collects whatever a page would fetch, and checks that tags are closed in order."""

    def __init__(self):
        super().__init__()
        self.fetched, self.open = [], []

    def handle_starttag(self, tag, attrs):
        void = {"meta", "img", "br", "input", "link", "hr"}
        self.open += [tag] if tag not in void else []
        names = ("src", "href", "srcset", "data", "action", "xlink:href", "poster")
        here = ("#", "data:image/png;base64,")  # cells of a figure are a picture inside it
        self.fetched += [(tag, v) for n, v in attrs if n in names and not v.startswith(here)]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.open = self.open[:-1]


def inspect(path):
    text = path.read_text(encoding="utf-8")
    page = Outside()
    page.feed(text)
    assert page.open == [] and page.fetched == []
    assert "://" not in re.sub(r"base64,[^)\"]+", "", text)
    styles = "".join(re.findall(r"<style>(.*?)</style>", text, re.S))
    assert set(re.findall(r"url\((\w+:[^,]+),", styles)) <= {"data:image/jpeg;base64"}
    assert "@import" not in styles
    return text


def test_one_file_that_asks_nobody_for_anything(whole):
    text = inspect(whole)
    titles = re.findall(r"<h2>([^<]+)</h2>", text)
    assert titles == [
        *("Verdict", "The run", "The map", "Clusters", "Who looks alike", "Errors"),
        *("Distances and the threshold", "Attention"),
    ]
    used = set(re.findall(r'class="thumb (s\d+)"', text))
    assert used and used <= set(re.findall(r"\.(s\d+)\{background", text))


def test_the_top_says_what_the_page_holds(whole, run, town, tmp_path):
    top = whole.read_text(encoding="utf-8").split("</header>")[0]
    count = re.search(r"contains (\d+) pictures of people\.", top)
    assert int(count.group(1)) > 40 and "not proof of identity" in top
    write_report([run], tmp_path / "a.html", data=town, blur=True, only=["ranked"], **TOLD)
    assert "upper quarter of each blurred" in inspect(tmp_path / "a.html").split("</header>")[0]
    write_report(
        [run],
        tmp_path / "b.html",
        data=town,
        pictures=False,
        only=["clusters", "ranked", "map"],
        **TOLD,
    )
    bare = inspect(tmp_path / "b.html")
    assert "pictures of people" not in bare and "image/jpeg" not in bare
    assert "not proof of identity" in bare
    assert not list((tmp_path / "b.reseen").glob("ranked-*.png"))


def test_pictures_of_an_earlier_report_do_not_stay(run, town, tmp_path):
    out, told = tmp_path / "a.html", dict(data=town, only=["clusters", "run"], **TOLD)
    folder = tmp_path / "a.reseen"
    write_report([run], out, **told)
    mine = [folder / name for name in ("mine.png", "map.png", "clusters-mine.svg")]
    for path in mine:
        path.touch()
    assert list(folder.glob("clusters-largest.*"))
    write_report([run], out, pictures=False, **told)
    assert not list(folder.glob("clusters-largest.*"))
    assert all(path.exists() for path in mine) and (folder / "run-loss.png").exists()
    _, *listed = (folder / "files.txt").read_text().splitlines()
    there = {path.name for path in folder.iterdir()} - {path.name for path in mine}
    assert {*listed, "files.txt"} == there


def test_figures_and_numbers_lie_beside_it(whole):
    folder = whole.with_suffix(".reseen")
    names = {path.stem for path in folder.iterdir() if path.suffix == ".png"}
    assert names == {path.stem for path in folder.iterdir() if path.suffix == ".svg"}
    assert {"run-loss", "clusters-largest", "ranked-worst", "errors-first", "map-person"} <= names
    names = ("run-rounds", "run-results", "clusters-all", "ranked", "errors-cameras", "map-points")
    for name in (*names, "thresholds"):
        with (folder / f"{name}.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
        assert len(rows) > 1 and len({len(row) for row in rows}) == 1
    assert not list(folder.glob("*.tmp"))


def test_without_data_all_that_needs_no_truth(blind_run, tmp_path):
    sections = write_report([blind_run], tmp_path / "report.html", **TOLD)
    text = inspect(tmp_path / "report.html")
    assert "cameras and people are unknown" in text and "No query has a picture of" in text
    assert {"run-stability", "clusters-largest", "ranked-1", "map-cluster"} <= {
        name for section in sections for name in section.figures
    }


def test_runs_side_by_side_and_only_some_parts(run, blind_run, tmp_path):
    sections = write_report([run, blind_run], tmp_path / "a.html", only=["run"], **TOLD)
    assert [section.title for section in sections] == ["The runs"]
    text = inspect(tmp_path / "a.html")
    assert text.count("<h2>") == 1 and "<nav></nav>" in text
    assert {row[0] for row in sections[0].tables["run-rounds"][1:]} == {
        f"{folder.parent.name}/run" for folder in (run, blind_run)
    }


def test_a_run_that_has_only_begun(run, town, tmp_path):
    begun = tmp_path / "begun"
    begun.mkdir()
    (begun / "run.json").write_bytes((run / "run.json").read_bytes())
    write_report([begun], tmp_path / "report.html", data=town, **TOLD)
    said = inspect(tmp_path / "report.html").count("No round is finished yet.")
    assert said == len(SECTIONS) - 1  # a sweep asks for more runs
    assert "Did training help?" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_video(video, tmp_path):
    from reseen.engine.device import Device
    from reseen.methods import ClusterContrast
    from reseen.training import train
    from tests.report.conftest import SMALL

    method = varied(ClusterContrast(), SMALL | dict(epochs=1, views=2, k1=4))
    train(method, video, tmp_path / "run", device=Device(name="cpu"), quiet=True)
    write_report([tmp_path / "run"], tmp_path / "a.html", data=video, only=["ranked"], **TOLD)
    assert "first frame of" not in inspect(tmp_path / "a.html")
    write_report([tmp_path / "run"], tmp_path / "b.html", only=["clusters"], **TOLD)
    assert "Only the first frame of each tracklet" in inspect(tmp_path / "b.html")


def test_three_runs_on_two_points_and_masks_of_nobody(run, town, tmp_path):
    root = tmp_path / "data"
    (root / "masks").mkdir(parents=True)
    data = replace(town, root=root, query=(), gallery=(), train=town.unlabelled(0))
    for name in ("b", "c"):
        shutil.copytree(run, tmp_path / name)
    told = dict(data=data, only=["attention", "map"], **(TOLD | dict(points=2)))
    write_report([run, tmp_path / "b", tmp_path / "c"], tmp_path / "report.html", **told)
    assert "Attention on the person" not in inspect(tmp_path / "report.html")
    assert shares_on_person(Evidence(run, replace(town, root=root))) == {}
    own = replace(town.train[0], path=Path(shutil.copy(town.train[0].path, root)))
    assert shares_on_person(Evidence(run, replace(data, train=(own,)))) == {}


def test_the_same_report_twice_is_the_same_file(run, town, tmp_path):
    for name in ("a", "b"):
        out = tmp_path / name / "report.html"
        write_report([run, run], out, data=town, only=["clusters", "map"], **TOLD)
    assert out.read_bytes() == (tmp_path / "a" / "report.html").read_bytes()


def test_the_map_answers_to_the_pointer(whole):
    with opened(whole) as page:
        choices = page.locator(".map .choice label")
        assert " ".join(choices.all_inner_texts()).split() == ["cluster", "camera", "person"]
        tip, canvas = page.locator(".tip"), page.locator("canvas")
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        assert not tip.is_visible()
        told = json.loads(page.locator(".map script").text_content())
        scale = (box["height"] - 2 * EDGE) / max(told["y"])
        left = (box["width"] - max(told["x"]) * scale) / 2
        for i in range(0, len(told["x"]), 9):
            over = box["x"] + left + told["x"][i] * scale, box["y"] + EDGE + told["y"][i] * scale
            page.mouse.move(*over)
            groups = told["groups"].values()
            assert tip.inner_text().split("\n") == [
                group["names"][group["ids"][i]] if group["ids"][i] >= 0 else group["none"]
                for group in groups
            ]
        assert tip.locator(".thumb").bounding_box()["height"] == HEIGHT
        words = [re.sub(r"\d+", "#", word) for word in tip.inner_text().split("\n")]
        assert words[0] in ("cluster #", "in no cluster") and words[1:] == ["camera #", "person #"]
        page.mouse.move(0, 0)
        assert not tip.is_visible()
        choices.nth(1).click()
        legend = page.locator(".legend span").all_inner_texts()
        assert legend == ["camera 1", "camera 2", "camera 3"]


def test_filters_leave_the_rows_that_are_asked_for(whole):
    with opened(whole) as page:
        part = page.locator("section", has=page.get_by_role("heading", name="Who looks alike"))
        rows = part.locator(".row")
        name = rows.first.locator(".query .thumb").get_attribute("title").split()[-1]
        asked = rows.filter(has=page.locator(f'[title~="{name}"]')).count()
        wrong = rows.filter(has=page.locator(".wrong")).count()
        every = rows.count()
        shown = part.locator(".row:visible")
        word = part.get_by_role("searchbox")
        for text, count in ((name.upper(), asked), ("nobody", 0), ("", every)):
            word.fill(text)
            assert shown.count() == count
        part.get_by_role("checkbox").check()
        assert shown.count() == wrong and 0 < asked < every


def test_a_page_is_named_after_its_data_and_its_run(whole, run, blind_run, town, tmp_path):
    assert f"<h1>{town.name} (run)</h1>" in whole.read_text(encoding="utf-8")
    write_report([blind_run], tmp_path / "a.html", only=["run"], **TOLD)
    text = inspect(tmp_path / "a.html")
    assert "<title>crops (run)</title>" in text and "<th>run</th>" not in text
    write_report([run, blind_run], tmp_path / "b.html", data=town, only=["verdict"], **TOLD)
    titles = f"{run.parent.name}/run, {blind_run.parent.name}/run"
    assert f"<h1>{town.name} ({titles})</h1>" in inspect(tmp_path / "b.html")


def test_the_way_through_the_page_stays(whole):
    with opened(whole, 400) as page:
        page.get_by_role("link", name="Clusters").click()
        assert page.evaluate("scrollY") > 1000
        nav = page.locator("nav").bounding_box()
        title = page.get_by_role("heading", name="Clusters", exact=True).bounding_box()
        assert nav["y"] == 0 and nav["height"] <= title["y"] < 400
        page.get_by_role("link", name="To the top").click()
        assert page.evaluate("scrollY") == 0


def test_a_narrow_window_holds_all_tables_and_words_below_crops(tmp_path, run, town):
    """Cameras have names, and no table goes on beyond its edge."""
    named = replace(town, cameras={1: "entrance", 2: "north yard by the gate", 3: "lift"})
    write_report([run], tmp_path / "a.html", data=named, only=["run", "clusters"], **TOLD)
    with opened(tmp_path / "a.html", 400) as page:
        wide = page.evaluate(
            "[...document.querySelectorAll('.scroll, .crop, figcaption')]"
            ".map(e => e.scrollWidth - e.clientWidth)"
        )
        assert len(wide) > 20 and max(wide) <= 0
        words = page.locator(".charts svg").last.text_content().split()  # in one line or two
        assert "north yard by the gate" in " ".join(words)
        cut = page.evaluate(
            "[...document.querySelectorAll('.charts svg')].flatMap(svg => { const of ="
            " svg.getBoundingClientRect(); return [...svg.querySelectorAll('text')].map(e => "
            "e.getBoundingClientRect()).filter(e => e.left < of.left || e.right > of.right) })"
        )
        assert not cut


def test_a_wide_window_is_used(whole):
    with opened(whole, 1600) as page:
        rows = page.evaluate(
            "[...document.querySelectorAll('section')].find(e => e.textContent.includes('Who looks"
            " alike')).querySelectorAll('.row').values().map(e => e.offsetTop).toArray()"
        )
        assert len(set(rows)) <= len(rows) / 2
        cards = page.locator(".verdict > div")
        assert len({cards.nth(i).bounding_box()["y"] for i in range(3)}) == 1


def test_nothing_is_cut_off_on_paper(whole):
    with opened(whole, 720) as page:  # inches of a letter less its margins, at 96 to the inch
        page.emulate_media(media="print")
        wide = page.evaluate(
            "[...document.querySelectorAll('.scroll, .cells, .charts')]"
            ".map(e => e.scrollWidth - e.clientWidth)"
        )
        assert len(wide) > 10 and max(wide) <= 0
        assert not page.locator("nav").is_visible()


@pytest.mark.parametrize("width", [400, 1600])
@pytest.mark.parametrize("dark", [False, True])
def test_it_can_be_read_in_every_window(whole, width, dark):
    """Nothing is wider than the window, no letter is tiny, and ink stands out from the page."""
    with opened(whole, width, dark=dark) as page:
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width
        sizes = page.evaluate(
            "[...document.querySelectorAll('p, th, td, figcaption, h4, small')]"
            ".map(e => parseFloat(getComputedStyle(e).fontSize))"
        )
        assert min(sizes) > 9
        ink = page.evaluate("getComputedStyle(document.body).color")
        levels = [int(level) for level in re.findall(r"\d+", ink)[:3]]
        assert min(levels) > 200 if dark else max(levels) < 60


def test_the_functions_in_a_notebook(run, town_folder):
    page = Path(__file__).parents[2] / "docs" / "how-to" / "report.md"
    code, *_ = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.S)
    code = code.replace("runs/first", str(run)).replace("crops/", str(town_folder))
    lines = [line for line in code.splitlines() if line]
    names = {}
    exec("\n".join(lines[:-1]), names)
    figure = eval(lines[-1], names)
    assert figure.axes[0].patches  # a crop has a frame


def test_what_is_not_understood_is_said_before_the_work(run, tmp_path):
    out = tmp_path / "report.html"
    with pytest.raises(SettingsError, match=r"Give the name of a \.html file"):
        write_report([run], tmp_path / "report.pdf")
    with pytest.raises(
        SettingsError, match="Use some of verdict, run, sweep, map, clusters, ranked"
    ):
        write_report([run], out, only=["curves"])
    with pytest.raises(SettingsError, match="1 run or more"):
        write_report([], out)
    with pytest.raises(SettingsError, match="Use one of: tsne, pca, umap"):
        write_report([run], out, map="isomap")
    with pytest.raises(SettingsError, match="above 0 and below 1"):
        write_report([run], out, false_match_rate=0)
    with pytest.raises(CheckpointError, match="holds no run"):
        write_report([run, tmp_path], out)
    with pytest.raises(CheckpointError, match=r"nowhere does not exist\. Give the folder of a run"):
        write_report([tmp_path / "nowhere"], out)
    assert not list(tmp_path.iterdir())


def test_nothing_that_a_report_did_not_make_is_touched(run, town, tmp_path):
    """The name of a page may be that of the user's own folder, or page."""
    crops, out = tmp_path / "crops", tmp_path / "crops.html"
    shutil.copytree(town.root / "query", crops)
    (crops / "files.txt").write_text("".join(f"{path.name}\n" for path in crops.iterdir()))
    before = {path.name for path in crops.iterdir()}
    write_report([run], out, only=["run"], **TOLD)
    assert {path.name for path in crops.iterdir()} == before
    folder = tmp_path / "mine.reseen"
    shutil.copytree(crops, folder)
    with pytest.raises(SettingsError, match=r"mine\.reseen exists and was not made by reseen rep"):
        write_report([run], tmp_path / "mine.html", only=["run"], **TOLD)
    assert {path.name for path in folder.iterdir()} == before
    (tmp_path / "index.html").write_text("<p>mine")
    with pytest.raises(SettingsError, match="was not written by reseen report"):
        write_report([run], tmp_path / "index.html", only=["run"], **TOLD)
    (tmp_path / "link.reseen").symlink_to(crops)
    with pytest.raises(SettingsError, match="is a file or a link"):
        write_report([run], tmp_path / "link.html", only=["run"], **TOLD)
    assert {path.name for path in crops.iterdir()} == before
    with pytest.raises(SettingsError, match="a folder of pictures"):
        write_report([run], town.train[0].path.with_name("a.html"), only=["run"], **TOLD)
    with pytest.raises(SettingsError, match="a folder of pictures"):
        data = replace(town, root=crops)
        write_report([run], crops / "a.html", data=data, only=["run"], **TOLD)
    assert {path.name for path in crops.iterdir()} == before


def test_how_far_a_report_is_is_said(run, tmp_path, capsys):
    write_report([run], tmp_path / "a.html", only=["run", "sweep"])
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "report: run, part 1 of 2",
        "report: sweep, part 2 of 2",
        "report: writing figures",
        "report: writing the page",
    ]


def test_the_encoder_that_ships_is_in_all_parts_but_those_of_runs(run, town, tmp_path, monkeypatch):
    shown = {}

    def show(runs, pictures, *, part, **options):
        shown[part] = [run.title for run in runs]
        return Section(part, "")

    shows = {name: partial(show, part=name) for name in SECTIONS}
    monkeypatch.setattr("reseen.report.report.SECTIONS", shows)
    for name in ("attention", "threshold", "map"):
        monkeypatch.setattr(f"reseen.report.report.show_{name}", shows[name])
    page = tmp_path / "tiny.html"
    write_report(["reseen-tiny"], page, data=town, quiet=True)
    assert shown == {name: ["reseen-tiny"] for name in SECTIONS if name not in OF_RUNS}
    write_report([run, "reseen-tiny"], page, data=town, quiet=True)
    parts = [name for name in SECTIONS if name != "sweep"]
    assert shown == {n: ["run"] if n in OF_RUNS else ["run", "reseen-tiny"] for n in parts}
    with pytest.raises(SettingsError, match=r"only is run, .* and reseen-tiny is not one"):
        write_report(["reseen-tiny"], page, data=town, only=["run"], quiet=True)
    with pytest.raises(CheckpointError, match="or reseen-tiny and crops"):
        write_report([tmp_path / "typo"], page, data=town, quiet=True)


def test_a_page_on_the_encoder_that_ships(other_town, tmp_path):
    page = tmp_path / "tiny.html"
    write_report(["reseen-tiny"], page, data=other_town, only=["ranked"], pictures=False, **TOLD)
    assert f"<h1>{other_town.name} (reseen-tiny)</h1>" in inspect(page)


def test_pages_of_features_that_are_centred_by_camera(run, town, tmp_path, monkeypatch):
    with pytest.raises(SettingsError, match="without data no camera is known"):
        Evidence(run, centring="mean")
    told = dict(only=["ranked"], centring="deviation", **TOLD)
    with pytest.raises(SettingsError, match="this encoder has no camera statistics"):
        write_report([run], tmp_path / "a.html", data=town, **told)

    def knowing(*given, **how):
        encoder = load(*given, **how)
        moments = np.random.default_rng(0).random((3, 2, encoder.dimensions), np.float32)
        encoder.camera_statistics = CameraStatistics(("1", "3"), moments)
        return encoder

    monkeypatch.setattr("reseen.report.evidence.load", knowing)
    wanted = evaluate(knowing(run), town, centring="deviation", quiet=True)
    shown = Evidence(run, town, centring="deviation").tested.ranking
    assert shown.summary() == wanted.summary() != Evidence(run, town).tested.ranking.summary()
    write_report([run], tmp_path / "a.html", data=town, **told)
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "Features are centred by camera (deviation)" in page
