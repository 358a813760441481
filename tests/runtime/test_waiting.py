"""How OpenMP's threads wait: set while torch is loaded, and only if the user has not chosen."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from caffe import waiting

GNUS = sorted((Path(torch.__file__).parent / "lib").glob("libgomp*"))
pytestmark = pytest.mark.skipif(not GNUS, reason="PyTorch does not use GNU's OpenMP library here")


@pytest.fixture
def only_openmp(tmp_path, monkeypatch):
    """A module torch that loads PyTorch's OpenMP library, and nothing that takes seconds."""
    (tmp_path / "torch.py").write_text(f"import ctypes\nctypes.CDLL({str(GNUS[0])!r})\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)


def settings(program, **variables):
    """The waiting policies that OpenMP's libraries report when they are loaded, and stdout."""
    environment = {name: value for name, value in os.environ.items() if "OMP_" not in name}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment | {"OMP_DISPLAY_ENV": "VERBOSE"} | variables,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found = re.findall(r"(OMP_WAIT_POLICY|GOMP_SPINCOUNT) = '(\w+)'", done.stderr)
    return dict(found), done.stdout


@pytest.mark.parametrize("loads_torch", ["caffe.Net", "import torch"])
def test_threads_sleep_soon(loads_torch):
    found, _ = settings(f"import caffe\n{loads_torch}")
    assert found == {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "10000"}


def test_the_default_of_the_library_is_another():
    """Otherwise the other tests could not fail."""
    assert settings("import torch")[0]["GOMP_SPINCOUNT"] == "300000"


@pytest.mark.parametrize(
    ("variables", "spins"),
    [({"OMP_WAIT_POLICY": "ACTIVE"}, "30000000000"), ({"GOMP_SPINCOUNT": "77"}, "77")],
)
def test_the_users_choice_stays(only_openmp, variables, spins):
    assert settings("import caffe, torch", **variables)[0]["GOMP_SPINCOUNT"] == spins


def test_intels_variables_are_a_choice_too(only_openmp):
    assert settings("import caffe, torch", KMP_BLOCKTIME="5")[0]["GOMP_SPINCOUNT"] == "300000"


def test_other_settings_of_intels_library_are_no_choice(only_openmp):
    """scikit-learn sets this one."""
    assert settings("import caffe, torch", KMP_INIT_AT_FORK="FALSE")[0]["GOMP_SPINCOUNT"] == "10000"


def test_a_program_that_has_loaded_torch_keeps_its_settings(only_openmp):
    assert settings("import torch, caffe")[0]["GOMP_SPINCOUNT"] == "300000"


def test_the_environment_does_not_keep_the_policy(only_openmp):
    names = "sorted(name for name in os.environ if 'OMP_' in name)"
    assert settings(f"import os, caffe, torch; print({names})")[1] == "['OMP_DISPLAY_ENV']\n"


def test_a_failed_import_leaves_the_environment_as_before(monkeypatch):
    for name in (*waiting.POLICY, *waiting.INTELS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delitem(sys.modules, "torch")
    before = dict(os.environ)
    with pytest.raises(ImportError), waiting.short():
        assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
        raise ImportError
    assert dict(os.environ) == before
