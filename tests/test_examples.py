import importlib.util
from pathlib import Path

DEMO = Path(__file__).parents[1] / "examples" / "demo.py"


def test_the_demo_tells_the_time_of_all_its_calls(tmp_path, monkeypatch, capsys):
    """One that was stopped and goes on has trained longer than its second call takes."""
    spec = importlib.util.spec_from_file_location("demo", DEMO)
    assert spec and spec.loader
    demo = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(demo)
    (tmp_path / "town").mkdir()
    rows = [{"mAP": 0.2, "searching_seconds": 5}, {"round_seconds": 100}]
    rows += [{"mAP": 0.4, "round_seconds": 100, "searching_seconds": 5}]
    monkeypatch.setattr(demo, "read_metrics", lambda _: rows)
    monkeypatch.setattr(demo, "write_report", lambda *_, **__: None)
    trained = []
    monkeypatch.setattr("reseen.train", lambda *told, **_: trained.append(told))
    monkeypatch.setattr("reseen.read", lambda _: None)
    demo.main(tmp_path)
    assert "before 20.0%, after 40.0%, in 3 min 30 s of training" in capsys.readouterr().out
    ((method, *_),) = trained
    assert (method.encoder.backbone, method.encoder.last_stride) == ("reseen-tiny", 1)
