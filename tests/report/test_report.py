import csv
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from reseen.errors import CheckpointError, SettingsError
from reseen.report.report import SECTIONS, write_report
from tests.report.browser import open_page

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
        *("The run", "Clusters", "Who looks alike", "Attention", "Errors"),
        *("Distances and the threshold", "The map"),
    ]
    used = set(re.findall(r'class="thumb (s\d+)"', text))
    assert used and used <= set(re.findall(r"\.(s\d+)\{background", text))


def test_the_top_says_what_the_page_holds(whole, run, town, tmp_path):
    top = whole.read_text(encoding="utf-8").split("</header>")[0]
    count = re.search(r"holds (\d+) pictures of people\.", top)
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
    assert not list((tmp_path / "b").glob("ranked-*.png"))


def test_figures_and_numbers_lie_beside_it(whole):
    folder = whole.with_suffix("")
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
    assert "cameras and people are unknown" in text and "Nobody is known here" in text
    assert {"run-stability", "clusters-largest", "ranked-1", "map-cluster"} <= {
        name for section in sections for name in section.figures
    }


def test_runs_side_by_side_and_only_some_parts(run, blind_run, tmp_path):
    sections = write_report([run, blind_run], tmp_path / "a.html", only=["run"], **TOLD)
    assert [section.title for section in sections] == ["The runs"]
    text = inspect(tmp_path / "a.html")
    assert text.count("<h2>") == 1 and "<nav></nav>" in text
    assert {row[0] for row in sections[0].tables["run-rounds"][1:]} == {"runs0/run", "blind0/run"}


def test_a_run_that_has_only_begun(run, town, tmp_path):
    begun = tmp_path / "begun"
    begun.mkdir()
    (begun / "run.json").write_bytes((run / "run.json").read_bytes())
    write_report([begun], tmp_path / "report.html", data=town, **TOLD)
    said = inspect(tmp_path / "report.html").count("No round is finished yet.")
    assert said == len(SECTIONS) - 1  # a sweep asks for more runs


def test_a_video(video, tmp_path):
    from reseen.engine.device import Device
    from reseen.methods import ClusterContrast
    from reseen.training import train
    from tests.report.conftest import SMALL

    method = ClusterContrast(**(SMALL | dict(epochs=1, views=2, k1=4)))
    train(method, video, tmp_path / "run", device=Device(name="cpu"), quiet=True)
    write_report([tmp_path / "run"], tmp_path / "a.html", data=video, only=["ranked"], **TOLD)
    assert "first frames" not in inspect(tmp_path / "a.html")
    write_report([tmp_path / "run"], tmp_path / "b.html", only=["clusters"], **TOLD)
    assert "only the first frames are known" in inspect(tmp_path / "b.html")


def test_the_same_report_twice_is_the_same_file(run, town, tmp_path):
    for name in ("a", "b"):
        out = tmp_path / name / "report.html"
        write_report([run, run], out, data=town, only=["clusters", "map"], **TOLD)
    assert out.read_bytes() == (tmp_path / "a" / "report.html").read_bytes()


def test_scripts_run_without_a_word_and_the_map_answers(whole, tmp_path):
    text = whole.read_text(encoding="utf-8")
    rest = """<script>
const c = document.querySelector("canvas"), b = c.getBoundingClientRect();
for (let y = 0; y < b.height; y += 5) for (let x = 0; x < b.width; x += 5)
  if (document.querySelector(".tip").hidden) c.dispatchEvent(
    new PointerEvent("pointermove", {clientX: b.left + x, clientY: b.top + y}));
document.querySelectorAll(".choice input")[1].click();
</script></body>"""
    page = tmp_path / "page.html"
    page.write_text(text.replace("</body>", rest), encoding="utf-8")
    left = open_page(page, tmp_path / "browser")
    choices = re.search(r"<div class=\"choice\".*?</div>", left).group(0)
    assert re.findall(r"> (\w+)</label>", choices) == ["cluster", "camera", "person"]
    tip = re.search(r'<div class="tip"(.*?)<div class="legend">', left, re.S).group(1)
    assert "hidden" not in tip.split(">")[0]
    assert re.search(r'<i class="thumb s\d+" style="--x: ?\d+; --y: ?\d+', tip)
    assert re.search(r"<div>cluster \d+</div>|<div>in no cluster</div>", tip)
    assert re.search(r"<div>person \d+</div>", tip)
    legend = left.split('<div class="legend">')[1]
    assert re.findall(r">camera (\d)</span>", legend) == ["1", "2", "3"]


def test_filters_leave_the_rows_that_are_asked_for(whole, town, tmp_path):
    text = whole.read_text(encoding="utf-8")
    part = re.search(r"<section id=(part-\d)><h2>Who looks alike</h2>(.*?)</section>", text, re.S)
    rows = part[2].split("<div class=row>")[1:]
    name = re.search(r'title="query ([^"]*)"', rows[0])[1]
    asked, wrong = (sum(what in row for row in rows) for what in (name, 'class="crop wrong"'))
    rest = f"""<script>
const part = document.querySelector("#{part[1]}");
const [word, only] = part.querySelectorAll(".filter input");
const say = (what, change) => {{
  change();
  what.dispatchEvent(new Event("input", {{bubbles: true}}));
  document.title += " " + part.querySelectorAll(".row:not([hidden])").length;
}};
document.title = "left";
say(word, () => word.value = "{name.upper()}"); say(word, () => word.value = "nobody");
say(word, () => word.value = ""); say(only, () => only.checked = true);
</script></body>"""
    page = tmp_path / "page.html"
    page.write_text(text.replace("</body>", rest), encoding="utf-8")
    left = open_page(page, tmp_path / "browser")
    told = re.search(r"<title>left([^<]*)</title>", left)[1].split()
    assert list(map(int, told)) == [asked, 0, len(rows), wrong] and asked


@pytest.mark.parametrize("width", [400, 1600])
def test_nothing_is_wider_than_the_window(whole, width, tmp_path):
    page = tmp_path / "frame.html"
    frame = f'<iframe id=f srcdoc="" style="width:{width}px;height:900px;border:0"></iframe>'
    text = whole.read_text(encoding="utf-8").replace("</script>", "<\\/script>")
    page.write_text(
        f"""<meta charset=utf-8><body>{frame}<p id=said></p><script type=text/plain id=t>{text}
</script><script>
const f = document.getElementById("f");
f.onload = () => {{ const e = f.contentDocument.documentElement;
  document.getElementById("said").textContent = e.clientWidth + " " + e.scrollWidth; }};
f.srcdoc = document.getElementById("t").textContent.replaceAll("<\\\\/script>", "</" + "script>");
</script>""",
        encoding="utf-8",
    )
    left = open_page(page, tmp_path / "browser")
    client, scroll = map(int, re.search(r'id="said">(\d+) (\d+)', left).groups())
    assert width - 20 <= client <= width and scroll == client


def test_the_functions_in_a_notebook(run, town_folder):
    page = Path(__file__).parents[2] / "docs" / "report.md"
    (code,) = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.S)
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
        SettingsError, match="Use some of run, sweep, clusters, ranked, attention, errors"
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
    assert not list(tmp_path.iterdir())
