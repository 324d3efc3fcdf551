from tests.cli.test_cli import reseen as reseen
from tests.report.conftest import run as run


def test_report(reseen, run, town_folder, tmp_path, monkeypatch):
    out = tmp_path / "report.html"
    words = ["--map", "pca", "--points", 20, "--device.name", "cpu", "--no-pictures"]
    code, said, _ = reseen("report", run, town_folder, "--out", out, *words)
    assert code == 0 and str(out) in said and "open it in a browser" in said
    text = out.read_text(encoding="utf-8")
    assert "The map" in text and "image/jpeg" not in text and out.with_suffix(".reseen").is_dir()

    same = tmp_path / "same.html"
    pages = []
    for data in ([town_folder], ["--data", town_folder]):
        assert reseen("report", run, *data, "--out", same, "--only", "clusters", *words)[0] == 0
        pages.append(same.read_text(encoding="utf-8"))
    assert pages[0] == pages[1] and "clusters" in pages[0]
    monkeypatch.chdir(tmp_path)
    code, *_ = reseen("report", run, run, "--only", "run")
    assert code == 0 and "<h2>The run</h2>" in out.read_text(encoding="utf-8")
    code, _, err = reseen("report", run, tmp_path / "typo")
    assert code == 1 and "typo does not exist. Give a folder of pictures" in err
    code, _, err = reseen("report", run, "--out", out, "--only", "curves")
    assert code == 1 and "Use some of verdict, run, sweep" in err
    code, _, err = reseen("report", tmp_path / "typo", "--out", out)
    assert code == 1 and "typo does not exist. Give the folder of a run" in err
    code, _, err = reseen("report", tmp_path, "--out", out)
    assert code == 1 and "holds no run" in err
