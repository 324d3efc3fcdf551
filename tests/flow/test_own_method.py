"""The page on methods of one's own: its code as it stands there, on small settings."""

import re
from pathlib import Path

import pytest

import reseen
from reseen.engine.folder import read_facts, read_labels, read_metrics
from reseen.engine.run import Run

PAGE = (Path(__file__).parents[2] / "docs" / "tutorials" / "own-method.md").read_text(
    encoding="utf-8"
)
SMALL = {
    "height=128, width=64": "height=32, width=16",
    "people=16, views=4, iterations=15": "people=4, views=2, iterations=2",
    "clusters=60": "clusters=6",
    "epochs=8": "epochs=2",
}


@pytest.fixture(scope="module")
def trained(town_folder, tmp_path_factory):
    """The names that the page's code leaves, and the folder that it was run in."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "crops").symlink_to(town_folder / "bounding_box_train")
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
    for published, quick in SMALL.items():
        assert published in code
        code = code.replace(published, quick)
    names = {"__name__": "own"}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        exec(code, names)
    return names, folder


def test_a_method_of_thirty_lines_trains(trained):
    names, folder = trained
    assert isinstance(names["encoder"], reseen.Encoder)
    facts, rows = read_facts(folder / "runs" / "own"), read_metrics(folder / "runs" / "own")
    assert facts["method"] == "ClusterTriplet" and facts["settings"]["margin"] == 0.3
    assert set(facts["automatic"]["settings"]) == {"k1", "k2", "eps", "min_samples"}
    assert [row["round"] for row in rows] == [0, 1, 2]
    assert all(row["loss"] > 0 and row["clusters"] > 1 for row in rows[1:])


def test_one_idea_of_a_method_is_replaced(trained):
    _, folder = trained
    labels = read_labels(folder / "runs" / "k-means", 2)
    assert labels is not None and labels.clusters == 6 and labels.noise == 0
    facts = read_facts(folder / "runs" / "k-means")
    assert facts["method"] == "ClusterContrast" and facts["settings"]["density"] == {"clusters": 6}


def test_the_page_names_what_run_offers():
    table = PAGE.split("## What `run` offers")[1].split("## What the encoder offers")[0]
    named = set(re.findall(r"run\.(\w+)", table))
    assert named - {"folder", "seed", "device", "screen", "round"} == {
        name for name in vars(Run) if not name.startswith("_")
    }
