from pathlib import Path

import pytest
from numba.core.caching import CacheImpl, NullCache

from reseen.kernels import compile as compiling
from reseen.kernels.compile import njit


def double(x):
    return x + x


@pytest.fixture(autouse=True)
def cache_here(tmp_path, monkeypatch):
    monkeypatch.setattr("numba.core.config.CACHE_DIR", str(tmp_path / "cache"))
    compiling._say_once.cache_clear()


def hits(function):
    return sum(function.stats.cache_hits.values())


def test_compiled_code_is_taken_from_the_cache():
    for expected in (0, 1):
        function = njit(double, cache=True)
        assert function(2) == 4 and hits(function) == expected
    assert isinstance(njit(nogil=True)(double)._cache, NullCache)


@pytest.mark.parametrize("ending", ["nbi", "nbc"])
@pytest.mark.parametrize("damage", ["empty", "cut", "zeros", "flip"])
def test_a_damaged_cache_file_is_written_anew(tmp_path, ending, damage, capsys):
    njit(double, cache=True)(2)
    (path,) = tmp_path.rglob(f"*.{ending}")
    whole = path.read_bytes()
    middle = len(whole) // 2
    path.write_bytes(
        {
            "empty": b"",
            "cut": whole[:middle],
            "zeros": bytes(len(whole)),
            "flip": whole[:middle] + bytes([whole[middle] ^ 8]) + whole[middle + 1 :],
        }[damage]
    )
    for expected in (0, 1):
        function = njit(double, cache=True)
        assert function(2) == 4
        assert hits(function) == expected or (damage == "flip" and ending == "nbi")
    assert capsys.readouterr().err == ""


def test_without_a_place_for_the_cache_it_is_said_once_and_works(monkeypatch, capsys):
    monkeypatch.setattr(CacheImpl, "_locator_classes", [])
    for _ in range(2):
        assert njit(cache=True)(double)(2) == 4
    said = capsys.readouterr().err
    assert said.count("NUMBA_CACHE_DIR") == 1 and said.count("\n") == 1


def test_a_full_disk_below_the_cache_does_not_stop_the_work(monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numba.core.caching.IndexDataCacheFile.save", full)
    assert njit(double, cache=True)(2) == 4
    assert "saved (No space left on device)" in capsys.readouterr().err


def test_every_kernel_is_compiled_by_it():
    package = Path(compiling.__file__).parents[1]
    calls = [path for path in package.rglob("*.py") if "numba import njit" in path.read_text()]
    assert calls == [] and len(list(package.rglob("*.py"))) > 50
