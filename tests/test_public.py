"""The public door: exactly these names, quick to import, and documented."""

import inspect
import subprocess
import sys
from importlib.metadata import version

import pytest

import reseen

PUBLIC = {
    "train", "evaluate", "extract", "search", "load", "read", "ClusterContrast", "ADTC",
    "ConsLearn", "MLA", "MMT", "SpCL", "SSL", "BUC", "DAAL", "House", "AugmentSettings", "Device",
    "Encoder", "EncoderSettings", "Loading", "Dataset", "Hit", "Image", "PseudoLabels", "Ranking",
    "JUNK", "NOISE", "ReseenError", "CheckpointError", "ClusteringError", "DataError",
    "SettingsError", "StoreError", "Gallery",
    "method", "parts", "save_pretrained", "from_pretrained", "__version__",
}  # fmt: skip


def test_exactly_these_names_are_public():
    assert set(reseen.__all__) == set(dir(reseen)) == PUBLIC


def test_every_name_is_there_and_documented():
    for name in PUBLIC - {"JUNK", "NOISE", "__version__"}:
        assert inspect.getdoc(getattr(reseen, name)), name


def test_the_version_is_that_of_the_installed_package():
    assert reseen.__version__ == version("reseen")


def test_other_names_are_not():
    with pytest.raises(AttributeError, match="no attribute 'fit'"):
        reseen.fit  # noqa: B018


def test_importing_loads_nothing_heavy():
    light = ("reseen", "reseen.cli", "reseen.cli.gallery", "reseen.cli.serve", "reseen.web.app")
    heavy = "{'torch', 'sklearn', 'scipy', 'numba', 'timm', 'matplotlib'}"
    check = f"import {', '.join(light)}; import sys; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
