import json
import stat

import pytest

from reseen.web.audit import Audit


def test_a_line_says_who_did_what_and_nothing_that_is_empty(tmp_path):
    audit = Audit(tmp_path / "audit.jsonl")
    audit.write("127.0.0.1", "Ms. Guard", "search", query="ab", camera=None, found=["c"], names=[])
    audit.write("10.0.0.7", "", "forget", names=["A\nB \udcff"])
    text = (tmp_path / "audit.jsonl").read_text("utf-8", errors="surrogateescape")
    first, second = (json.loads(line) for line in text.splitlines())
    assert first.pop("time").endswith("+00:00") and second.pop("time")
    assert first == {
        "client": "127.0.0.1",
        "who": "Ms. Guard",
        "action": "search",
        "query": "ab",
        "found": ["c"],
    }
    assert second == {"client": "10.0.0.7", "action": "forget", "names": ["A\nB \udcff"]}
    assert stat.S_IMODE((tmp_path / "audit.jsonl").stat().st_mode) == 0o600


def test_it_can_be_switched_off(tmp_path):
    Audit(None).write("127.0.0.1", "", "search")
    assert not any(tmp_path.iterdir())


def test_what_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "audit.jsonl").mkdir()
    with pytest.raises(OSError):
        Audit(tmp_path / "audit.jsonl").write("127.0.0.1", "", "search")
