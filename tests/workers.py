"""Running the tests in several processes: how many, and which tests run in the same one.

conftest.py hands this to pytest-xdist, whose `-n auto` scripts/test.sh gives.
"""

import functools
import re
from pathlib import Path

from texttopicnet import cores

# Of more workers, most would wait for the one that runs the sample chain.
MOST = 8
CHAIN = "the sample chain"
# Begun last, one of these would keep a worker busy after the others are done.
SLOW_FILES = (
    "test_train_cnn.py",
    "test_solver.py",
    "test_several_processes.py",
    "test_benchmarks.py",
    "test_scripts.py",
    "test_voc_2007_fine_tuning.py",
)


def wanted(config) -> int:
    """One worker per core; none for a few tests, or where a person looks at what is printed."""
    files_only = all(not Path(name.partition("::")[0]).is_dir() for name in config.args)
    chosen = config.option.keyword or config.option.markexpr or config.getoption("lf", False)
    if files_only or chosen or config.option.capture == "no":
        return 0
    return min(MOST, cores.usable())


@functools.cache
def unit_of(file: Path) -> str:
    """The name of what one worker runs as a whole: a file, or all files with the sample chain."""
    return CHAIN if re.search(r"\bsample_chain\b", file.read_text("utf-8")) else file.name


def slow_first(items: list) -> None:
    """Put the chain first, then the slow files: workers get the files in this order."""
    first = (CHAIN, *SLOW_FILES)
    units = {path: unit_of(path) for path in {item.path for item in items}}
    place = {path: first.index(unit) for path, unit in units.items() if unit in first}
    items.sort(key=lambda item: place.get(item.path, len(first)))


def scheduler(config, log):
    """Each file goes to one worker, so that what its tests share is made once."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return unit_of(config.rootpath / nodeid.partition("::")[0])

    config.option.loadscopereorder = False  # it would begin with the files of the most tests
    return ByFile(config, log)
