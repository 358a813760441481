"""For all tests: Caffe's default log level in any environment, the recordings of BVLC Caffe, nets
from prototxt text, scripts as modules, and topic models made by hand.
"""

# What is not needed by all tests is imported where it is: those of tests/gpu/ need only caffe's own
# dependencies.
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import recorded
import workers

# Before any test loads PyTorch, so that its threads wait as in Caffe's commands: the workers of
# pytest-xdist share the cores.
import caffe
from texttopicnet import cores

ROOT = Path(__file__).resolve().parents[1]
os.environ.pop("GLOG_minloglevel", None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config):
    return workers.wanted(config)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    return workers.scheduler(config, log)


def pytest_collection_modifyitems(config, items):
    if hasattr(config, "workerinput"):  # this is a worker
        workers.slow_first(items)


@pytest.fixture(autouse=True)
def default_log_level():
    """A script that runs within a test sets Caffe's log level for its own process."""
    yield
    os.environ.pop("GLOG_minloglevel", None)
    if "caffe.log" in sys.modules:
        sys.modules["caffe.log"]._given.clear()


@pytest.fixture(autouse=True)
def four_cores(monkeypatch):
    """Within a test, as many worker processes are started on any machine."""
    monkeypatch.setattr(cores, "usable", lambda: 4)


@pytest.fixture(scope="session")
def golden():
    """The folder of recordings of BVLC Caffe: all of them, or the project's own share."""
    return recorded.caffe()


@pytest.fixture
def net_from(tmp_path):
    """net_from(text, phase): a caffe.Net of prototxt text."""

    def build(text, phase=caffe.TRAIN):
        path = tmp_path / "net.prototxt"
        path.write_text(text)
        return caffe.Net(str(path), phase)

    return build


@pytest.fixture(scope="session")
def sample_chain(tmp_path_factory):
    """The folder in which `run_all.sh --sample` has been run, as data/ and work/, and what its two
    runs have printed.

    It takes minutes, and all tests share it.
    """
    import sample_run

    folder = tmp_path_factory.mktemp("chain")
    return folder, *sample_run.whole_chain(folder)


@pytest.fixture(scope="session")
def load_script():
    """load_script("LDA/x.py"): the script as a module that worker processes can import from."""

    def load_script(path):
        name = Path(path).stem
        if name not in sys.modules:
            spec = importlib.util.spec_from_file_location(name, ROOT / path)
            sys.modules[name] = importlib.util.module_from_spec(spec)
            with pytest.MonkeyPatch.context() as patch:  # as for a running script
                patch.syspath_prepend(ROOT / Path(path).parent)
                spec.loader.exec_module(sys.modules[name])
        return sys.modules[name]

    return load_script


@pytest.fixture
def accept(load_script):
    """accept("LDA/x.py", arguments): pass if the script's parser takes the arguments."""

    from texttopicnet import command_line

    class Parsed(Exception):
        pass

    parse_args = command_line.Parser.parse_args

    def parse_only(parser, args=None, namespace=None):
        parse_args(parser, args, namespace)
        raise Parsed

    def accept(path, arguments):
        with pytest.MonkeyPatch.context() as patch, pytest.raises(Parsed):
            patch.setattr(command_line.Parser, "parse_args", parse_only)
            patch.setattr(sys, "argv", [str(path), *map(str, arguments)])
            load_script(path).main()

    return accept


@pytest.fixture
def printed_with_hash_seed(tmp_path):
    """printed_with_hash_seed(program, seed): what Python prints; the program gets a new folder."""

    def printed_with_hash_seed(program, seed):
        command = [sys.executable, "-c", program, str(tmp_path / seed)]
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        return subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        ).stdout

    return printed_with_hash_seed


@pytest.fixture(scope="session")
def model_of():
    """model_of(rows, words): a TopicModel with these probabilities of words, a row per topic."""
    from gensim.corpora import Dictionary
    from gensim.models import LdaModel

    from texttopicnet import topics

    def model_of(rows, words):
        dictionary = Dictionary([words])
        order = [words.index(dictionary[i]) for i in range(len(words))]
        lda = LdaModel(id2word=dictionary, num_topics=len(rows), random_state=0)
        lda.state.sstats = (np.array(rows)[:, order] * 1e6).astype(lda.dtype)
        lda.sync_state()
        return topics.TopicModel(dictionary, lda)

    return model_of
