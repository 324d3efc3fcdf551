"""The script for a GPU, as far as a machine without one can run it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "benchmarks" / "run_gpu.py"
SOURCE = ROOT / "src" / "reseen"
ON_A_GPU = re.compile(
    r"is_cuda|torch\.cuda|\.type [!=]= |[!=]= \"cp[u]\"|pin_memory|non_blocking|torch\.autocast"
    r"|\.compile\(\)|_compiled_call_impl|memory_format|torch\.accelerator"
)
"""What stands where the code does something else on a GPU."""


def test_every_branch_for_a_gpu_is_listed():
    text = SCRIPT.read_text(encoding="utf-8")
    listed = set(re.findall(r'^    "([\w/]+\.py)": ', text, re.MULTILINE))
    found = {
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        if ON_A_GPU.search(path.read_text(encoding="utf-8"))
    }
    assert found == listed


@pytest.mark.slow
def test_the_script_for_a_gpu_runs_on_a_cpu(tmp_path):
    """Losses and gradients are those of float32, nothing waits, neighbours are exact."""
    code = f"""
import pathlib, runpy, sys
sys.path.insert(0, {str(SCRIPT.parent)!r})
import record
record.RESULTS = pathlib.Path({str(tmp_path)!r})
sys.argv[1:] = ["--device", "cpu", "--small"]
runpy.run_path({str(SCRIPT)!r}, run_name="__main__")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = (tmp_path / "gpu.csv").read_text().splitlines()
    for what in ("loss", "gradient", "waits", "profiler", "training", "extraction", "neighbours"):
        assert any(f",{what}," in line for line in lines)
