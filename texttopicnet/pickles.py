"""gensim's files: read without running code that is in them, and written so that other versions of
NumPy and gensim can read them.
"""

import contextlib
import logging
import pickle
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from gensim import utils

from texttopicnet.errors import UserError
from texttopicnet.unpickler import LISTINGS, Refused, Unpickler

# nothing that may be the user's is overwritten
MOVE = "move it and the files beside it away, or give another --work folder"
SPARE_MEMORY = 1 << 30  # bytes beyond those that a file's size explains
Loaded = TypeVar("Loaded", bound=utils.SaveLoad)


class _Stop(BaseException):
    """Carries a UserError through gensim's loaders, which log any Exception about a side file and
    continue without it.
    """

    def __init__(self, error: UserError) -> None:
        self.error = error


@contextlib.contextmanager
def _bounded_memory(size: int) -> Iterator[None]:
    """Within the block, memory is limited to what files of `size` bytes explain: a small pickle may
    ask for an array of any size, and gets a MemoryError.
    """
    try:
        import resource

        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        kept = soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    except (ImportError, OSError, ValueError):  # not Linux
        yield
        return
    limit = used + SPARE_MEMORY + 50 * size
    if soft != resource.RLIM_INFINITY:
        limit = min(limit, soft)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, kept)


def _regular(path: Path) -> int:
    """The size of a regular file; UserError for a missing file, a FIFO or a device."""
    try:
        status = path.stat()
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}), though it belongs to its model: {MOVE}"
        ) from error
    if not stat.S_ISREG(status.st_mode):
        raise UserError(f"{path} is not a regular file: {MOVE}")
    return status.st_size


def read(path: Path | str, trust: bool = False) -> Any:
    """The object in a pickle of gensim's.

    Parameters
    ----------
    path : str or Path
    trust : bool
        Unpickle it as Python does, which runs any code in it (`--trust-pickle`).

    Raises
    ------
    UserError
        It is missing or damaged, or asks for something that gensim's and NumPy's files do not need.
    """
    path = Path(path)
    size = _regular(path)
    try:
        with open(path, "rb") as file:
            if trust:
                return pickle.load(file, encoding="latin1")
            with _bounded_memory(size):
                return Unpickler(file).load()
    except Refused as error:
        raise UserError(
            f"{path} was not loaded: it asks for {_short(error)}, which the dictionaries and models"
            " used here do not need and which may run any code; if you trust its source, give"
            " --trust-pickle"
        ) from error
    except Exception as error:  # unpickling damaged bytes fails in many ways
        raise UserError(
            f"{path} is damaged or is not a pickle ({_short(error)}): {MOVE}"
        ) from error


def _short(error: BaseException) -> str:
    """An error's first line, or its class where it has no text."""
    return (str(error).strip().partition("\n")[0] or type(error).__name__)[:200]


@contextlib.contextmanager
def unpickling_by(function: Callable[[str], Any]) -> Iterator[None]:
    """Within the block, gensim's loaders call `function` with the name of each file that they
    unpickle, and log nothing.
    """
    kept, level = utils.unpickle, logging.root.manager.disable
    utils.unpickle = function  # gensim's loaders have no argument for it
    logging.disable(logging.WARNING)  # about old files; what they lack is filled in later
    try:
        yield
    finally:
        utils.unpickle = kept
        logging.disable(level)


def load(kind: type[Loaded], path: Path | str, trust: bool = False) -> Loaded:
    """Load an object that gensim saved, side files included.

    Parameters
    ----------
    kind : class of gensim's
        Its `load` is called; the object must be an instance of it.
    path : str or Path
    trust : bool
        See `read`.

    Returns
    -------
    instance of `kind`

    Raises
    ------
    UserError
        As `read`; or a side file is missing or damaged; or the object is of another class.
    """
    path = Path(path)
    _regular(path)
    beside = [file for file in path.parent.iterdir() if file.name.startswith(f"{path.name}.")]
    sizes = [_regular(file) for file in (path, *beside) if not file.is_dir()]

    def unpickle(name: str) -> Any:
        try:
            return read(name, trust)
        except UserError as error:
            raise _Stop(error) from error

    try:
        with _bounded_memory(sum(sizes)), unpickling_by(unpickle):
            found = kind.load(str(path))
    except _Stop as stop:
        raise stop.error from None
    except FileNotFoundError as error:
        raise UserError(
            f"{error.filename} does not exist, though {path} needs it: {MOVE}"
        ) from error
    except Exception as error:  # a file that is not whole fails in many ways
        raise UserError(
            f"{path} or a file beside it is not a {kind.__name__} of gensim's ({_short(error)}):"
            f" {MOVE}"
        ) from error
    if not isinstance(found, kind):
        raise UserError(
            f"{path} holds a {type(found).__name__}, not a {kind.__name__} of gensim's: {MOVE}"
        )
    return found


# ------------------------------------------------------------------------------------ writing
class _Pickler(pickle.Pickler):
    """Writes NumPy's objects under names that every version has, and gensim's listings in an order
    that does not depend on hashes.
    """

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, utils.SaveLoad):
            for listing in LISTINGS:  # gensim fills them from sets
                vars(value).get(listing, []).sort()
        elif type(value) is np.ndarray and value.dtype.kind in "biuf":
            order = "F" if value.flags.f_contiguous and not value.flags.c_contiguous else "C"
            data = bytearray(value.tobytes(order))
            return np.ndarray, (value.shape, value.dtype.str, data, 0, None, order)
        elif isinstance(value, np.bool_):
            return bool, (bool(value),)
        elif isinstance(value, np.number):
            return type(value), (value.item(),)
        elif isinstance(value, np.random.RandomState):
            return np.random.RandomState, (0,), value.get_state()
        return NotImplemented


def _write(value: Any, path: Path | str, protocol: int = utils.PICKLE_PROTOCOL) -> None:
    with open(path, "wb") as file:
        _Pickler(file, protocol).dump(value)


@contextlib.contextmanager
def portable() -> Iterator[None]:
    """Within the block, gensim's pickles can be read by other versions of NumPy, and equal objects
    give equal bytes.
    """
    kept = utils.pickle
    utils.pickle = _write  # gensim's savers have no argument for it
    try:
        yield
    finally:
        utils.pickle = kept


def save(model: utils.SaveLoad, path: Path | str) -> None:
    """Save an object of gensim's with its side files, in the form of `portable`."""
    with portable():
        model.save(str(path))
