import pytest

from reseen.engine.files import alone, written
from reseen.errors import SettingsError


def test_the_new_content_takes_the_place_of_the_old(tmp_path):
    path = tmp_path / "deep" / "a.bin"
    for content in (b"one", b"two"):
        with written(path) as file:
            file.write(content)
        assert path.read_bytes() == content
    assert [p.name for p in path.parent.iterdir()] == ["a.bin"]


def test_a_writer_that_fails_leaves_the_old_content(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), written(path) as file:
        file.write(b"half of the n")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"


def test_one_process_at_a_time_is_in_a_folder(tmp_path):
    with alone(tmp_path / "new" / "run"):
        again = alone(tmp_path / "new" / "run")
        with pytest.raises(SettingsError, match=r"at work in .*run\. Wait"), again:
            pass
        with alone(tmp_path / "other"):
            pass
    with pytest.raises(KeyboardInterrupt), alone(tmp_path / "new" / "run"):
        raise KeyboardInterrupt
    with alone(tmp_path / "new" / "run"):
        pass
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"is a file\. Give a folder"), alone(tmp_path / "file"):
        pass


def test_what_could_not_be_written_leaves_no_rest(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(SettingsError, match="folder is a folder"), written(tmp_path / "folder"):
        raise AssertionError("nothing is worked out first")
    for error in (OSError(28, "No space left on device"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as seen, written(tmp_path / "a.bin") as file:
            file.write(b"half")
            raise error
        assert getattr(seen.value, "filename", str(tmp_path / "a.bin")) == str(tmp_path / "a.bin")
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]
