"""All tests: the log level is Caffe's default, whatever the user's environment says; scripts as modules."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest

os.environ.pop("GLOG_minloglevel", None)
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def load_script():
    """load_script("LDA/x.py"): the script as a module, whose functions worker processes find by name."""

    def load_script(path):
        name = Path(path).stem
        if name not in sys.modules:
            spec = importlib.util.spec_from_file_location(name, ROOT / path)
            sys.modules[name] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(sys.modules[name])
        return sys.modules[name]

    return load_script
