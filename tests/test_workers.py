"""Which tests run at once, and in which order (workers.py)."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import workers

from texttopicnet import cores

HERE = Path(__file__).resolve().parent


def config(*args, **options):
    chosen = {"keyword": "", "markexpr": "", "capture": "fd", "lf": False} | options
    return SimpleNamespace(
        args=[str(arg) for arg in args],
        option=SimpleNamespace(**chosen, loadscopereorder=True, tx=["popen"] * 2),
        getoption=chosen.get,
        getvalue={"tx": ["popen"] * 2}.get,
        rootpath=HERE.parent,
    )


@pytest.mark.parametrize(("here", "wanted"), [(1, 1), (2, 2), (8, 8), (64, 8)])
def test_a_worker_per_core(monkeypatch, here, wanted):
    monkeypatch.setattr(cores, "usable", lambda: here)
    assert workers.wanted(config(HERE)) == wanted


@pytest.mark.parametrize(
    "few",
    [
        config(__file__),
        config(f"{__file__}::test_a_worker_per_core"),
        config(HERE, keyword="lrn"),
        config(HERE, markexpr="slow"),
        config(HERE, lf=True),
        config(HERE, capture="no"),
    ],
)
def test_few_tests_need_no_worker(few):
    assert workers.wanted(few) == 0


def test_a_folder_beside_a_file_has_workers():
    assert workers.wanted(config(__file__, HERE / "runtime")) == 4


def test_the_files_with_the_chain_are_one_unit_and_other_files_their_own():
    assert workers.unit_of(HERE / "test_sample_chain.py") == workers.CHAIN
    assert workers.unit_of(HERE / "test_tour.py") == workers.CHAIN
    assert workers.unit_of(HERE / "test_workers.py") == "test_workers.py"
    assert workers.unit_of(HERE / "runtime" / "test_lrn.py") == "test_lrn.py"


def test_the_chain_comes_first_and_the_other_files_stay_in_order():
    files = ["runtime/test_lrn.py", "test_bags.py", "test_sample_chain.py", "test_tour.py"]
    items = [SimpleNamespace(path=HERE / file, name=name) for file in files for name in "ba"]
    slow = workers.SLOW_FILES
    assert not {"test_lrn.py", "test_bags.py"} & set(slow)
    workers.slow_first(items)
    found = [(item.path.name, item.name) for item in items]
    assert found == [
        (name, each)
        for name in ("test_sample_chain.py", "test_tour.py", "test_lrn.py", "test_bags.py")
        for each in "ba"
    ]


def test_the_slow_files_exist():
    assert not [name for name in workers.SLOW_FILES if not list(HERE.rglob(name))]


def test_a_file_goes_to_one_worker():
    pytest.importorskip("xdist", reason="pytest-xdist is not installed")
    scheduler = workers.scheduler(config(HERE), None)
    unit = scheduler._split_scope
    assert unit("tests/runtime/test_lrn.py::test_x[a::b]") == "test_lrn.py"
    assert unit("tests/test_tour.py::test_x") == unit("tests/test_sample_chain.py::test_y")
    assert not scheduler.config.option.loadscopereorder
