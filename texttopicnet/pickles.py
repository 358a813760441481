"""gensim's files, read without running code that is in them, and written so that other versions of
NumPy and gensim read them.

A pickle is a program: it may import any function and call it.  The unpickler here builds the
objects of gensim's own files and nothing else.  It knows a fixed table of names.  A class of
gensim's is made empty, without its constructor; arrays, dtypes and random states are put together
here from their bytes, not by NumPy's own unpickling; every other name is refused.
"""

import collections
import contextlib
import importlib
import logging
import pickle
import re
import stat
from pathlib import Path

import numpy as np
from gensim import utils

from texttopicnet.errors import UserError

# nothing that may be the user's is overwritten
MOVE = "move it and the files beside it away, or give another --work folder"
SPARE_MEMORY = 1 << 30  # bytes beyond those that a file's size explains
DEEPEST = 20  # levels of lists and dicts that may hold arrays
LISTINGS = (
    "__numpys",
    "__scipys",
    "__ignoreds",
    "__recursive_saveloads",
)  # where gensim names the attributes it saves apart

CLASSES = {
    "gensim.corpora.dictionary": ("Dictionary",),
    "gensim.models.ldamodel": ("LdaModel", "LdaState"),
    "gensim.models.ldamulticore": ("LdaMulticore",),
    "gensim.models.tfidfmodel": ("TfidfModel",),
    "gensim.models.lsimodel": ("LsiModel", "Projection"),
    "gensim.models.word2vec": ("Word2Vec",),
    "gensim.models.doc2vec": ("Doc2Vec",),
    "gensim.models.fasttext": ("FastText", "FastTextKeyedVectors"),
    "gensim.models.keyedvectors": ("KeyedVectors",),
    "gensim.utils": ("FakeDict",),
}
NAMED = {  # functions and types that gensim's objects hold, but that no pickle calls
    "gensim.utils": ("identity", "call_on_class_only"),
    "gensim.matutils": ("unitvec",),
    "gensim.models.tfidfmodel": ("df2idf",),
    "builtins": ("hash", "int", "float", "str", "list", "object"),
    "numpy.random._mt19937": ("MT19937",),
}
NUMBERS = (
    "float16",
    "float32",
    "float64",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
)
NUMERIC = re.compile(r"[<>=|]?(?:[?bhilqBHILQefd]|[biuf]\d{1,2})")


class Refused(pickle.UnpicklingError):
    """A pickle asks for something that is not in the table, or calls what is there with other
    arguments than NumPy does.
    """


class _Stop(BaseException):
    """Carries a UserError through gensim's loaders, which log any Exception about a side file and
    go on without it.
    """

    def __init__(self, error):
        self.error = error


# ------------------------------------------------------------------------------------------- what a
# pickle may call or hold
class _Name:
    """An entry of the table.  It becomes `value` after loading; only what has a `call` can be
    called; it cannot be changed.
    """

    __slots__ = ("call", "name", "value")

    def __init__(self, name, value=None, call=None):
        for slot, content in (("name", name), ("value", value), ("call", call)):
            object.__setattr__(self, slot, content)

    def __setattr__(self, name, _):
        raise Refused(f"{self.name} with a changed {name}")

    def __call__(self, *arguments):
        if self.call is None:
            raise Refused(f"a call of {self.name}")
        try:
            return self.call(*arguments)
        except (TypeError, ValueError, AttributeError, KeyError) as error:
            raise Refused(
                f"a call of {self.name} with arguments that are not NumPy's ({error})"
            ) from error


class _Dtype:
    """A dtype of plain numbers: a name, then its byte order as state."""

    def __init__(self, name, align=False, copy=True):
        if not isinstance(name, str) or not NUMERIC.fullmatch(name):
            raise Refused(f"an array of dtype {name!r}")
        self.dtype = np.dtype(name)

    def __setstate__(self, state):
        _, order, *structure = state[:5]
        if any(part is not None for part in structure) or order not in ("<", ">", "=", "|"):
            raise Refused("an array of a structured dtype")
        self.dtype = self.dtype.newbyteorder(order)


def _bytes(data):
    """Bytes; Python 2 wrote them as a string, which is read as Latin-1."""
    return data.encode("latin1") if isinstance(data, str) else bytes(data)


class _Array:
    """An array of numbers: empty, then shape, dtype, order and bytes as state."""

    def __init__(self):
        self.array = np.zeros(0)

    def __setstate__(self, state):
        shape, dtype, fortran, data = state[-4:]
        self.fill(shape, dtype.dtype, "F" if fortran else "C", _bytes(data))

    def fill(self, shape, dtype, order, data):
        flat = np.frombuffer(data, dtype).astype(
            dtype.newbyteorder("=")
        )  # a copy, which may be written to
        if any(type(n) is not int or n < 0 for n in shape):
            raise Refused(f"an array of shape {shape!r}")
        self.array = flat.reshape(shape, order=order)


class _RandomState:
    """A Mersenne twister: NumPy's state, a tuple or since 1.17 a dict, in any version."""

    def __init__(self):
        self.state = None

    def __setstate__(self, state):
        self.state = state

    @property
    def random_state(self):
        state = _real(self.state, {})
        if isinstance(state, dict):
            state = (
                "MT19937",
                state["state"]["key"],
                state["state"]["pos"],
                state["has_gauss"],
                state["gauss"],
            )
        name, key, position, *gauss = state
        if name != "MT19937" or np.shape(key) != (624,) or not 0 <= position <= 624:
            raise Refused("a random state that is not of a Mersenne twister")
        random_state = np.random.RandomState(0)
        random_state.set_state((name, np.asarray(key, np.uint32), int(position), *gauss))
        return random_state


class _Generator:
    """The bit generator that NumPy 2 pickles within a random state, whose own state says the same."""

    def __setstate__(self, _):
        pass


def _reconstruct(kind, shape, _):
    if not (isinstance(kind, _Name) and kind.value is np.ndarray and shape == (0,)):
        raise Refused("an array of another kind than NumPy's own")
    return _Array()


def _ndarray(shape, dtype, data, offset, strides, order):
    if (offset, strides) != (0, None) or order not in ("C", "F"):
        raise Refused("a view of an array")
    array = _Array()
    array.fill(shape, _Dtype(dtype).dtype, order, _bytes(data))
    return array


def _frombuffer(data, dtype, shape, order):
    array = _Array()
    array.fill(shape, dtype.dtype, order, _bytes(data))
    return array


def _scalar(dtype, data):
    return np.frombuffer(_bytes(data), dtype.dtype)[0]


def _encode(text, encoding):
    if encoding not in ("latin1", "latin-1"):
        raise Refused(f"a text in {encoding}")
    return text.encode("latin1")


def _defaultdict(factory):
    if not (isinstance(factory, _Name) and factory.value in (int, float, list)):
        raise Refused("a defaultdict of other things than numbers or lists")
    return collections.defaultdict(factory.value)


def _table():
    """{(module, name): _Name} of everything but gensim's classes."""
    table = {}

    def enter(modules, names, value=None, call=None):
        for module in modules:
            for name in names:
                table[module, name] = _Name(f"{module}.{name}", value, call)

    for module, names in NAMED.items():
        for name in names:
            modules = (
                (module, "__builtin__") if module == "builtins" else (module,)
            )  # Python 3's name and Python 2's
            enter(modules, (name,), getattr(importlib.import_module(module), name))
    enter(("__builtin__",), ("long",), int)
    enter(("__builtin__",), ("unicode",), str)
    enter(("builtins", "__builtin__"), ("bytearray",), bytearray, lambda data=b"": _bytes(data))
    enter(("_codecs",), ("encode",), call=_encode)
    enter(("collections",), ("defaultdict",), call=_defaultdict)
    enter(("collections",), ("OrderedDict",), call=lambda: collections.OrderedDict())
    cores = "numpy.core", "numpy._core"  # before NumPy 2, and since
    enter([f"{core}.multiarray" for core in cores], ("_reconstruct",), call=_reconstruct)
    enter([f"{core}.multiarray" for core in cores], ("scalar",), call=_scalar)
    enter([f"{core}.numeric" for core in cores], ("_frombuffer",), call=_frombuffer)
    enter(("numpy",), ("ndarray",), np.ndarray, _ndarray)
    enter(("numpy",), ("dtype",), np.dtype, _Dtype)
    for name in NUMBERS:
        enter(("numpy",), (name,), getattr(np, name), getattr(np, name))
    enter(("numpy.random",), ("__RandomState_ctor",), call=lambda: _RandomState())
    enter(
        ("numpy.random.mtrand",), ("RandomState",), np.random.RandomState, lambda *_: _RandomState()
    )
    enter(("numpy.random._pickle",), ("__randomstate_ctor",), call=lambda *_: _RandomState())
    enter(("numpy.random._pickle",), ("__bit_generator_ctor",), call=lambda *_: _Generator())
    return table


TABLE = _table()


# ----------------------------------------------------------------------------------------------------------------- reading
class _Unpickler(pickle.Unpickler):
    def __init__(self, file):
        super().__init__(file, encoding="latin1")  # what Python 2 calls a string is bytes
        self.made = []
        self.blanks = {}

    def find_class(self, module, name):
        if name in CLASSES.get(module, ()):
            return self._blank(module, name)
        if module in ("copy_reg", "copyreg") and name == "_reconstructor":
            return _Name(f"{module}.{name}", call=self._reconstructor)
        if (module, name) not in TABLE:
            raise Refused(f"{module}.{name}")
        return TABLE[module, name]

    def _blank(self, module, name):
        """A class whose call, without arguments alone, gives an empty object of gensim's: no
        constructor runs.
        """
        if (module, name) not in self.blanks:
            real, made = getattr(importlib.import_module(module), name), self.made

            def new(_):
                made.append(object.__new__(real))
                return made[-1]

            self.blanks[module, name] = type(name, (), {"__new__": new})
        return self.blanks[module, name]

    def _reconstructor(self, kind, base, state):
        if (
            kind not in self.blanks.values()
            or not isinstance(base, _Name)
            or base.value is not object
            or state is not None
        ):
            raise Refused("an object of a built-in class's state")
        return kind()

    def load(self):
        """The object, its arrays and random states real ones."""
        loaded, done = super().load(), {}
        for instance in self.made:
            attributes = vars(instance)
            for listing in LISTINGS:
                names = attributes.get(listing, [])
                if not isinstance(names, list) or not all(
                    isinstance(n, str) and n.isidentifier() for n in names
                ):
                    raise Refused(f"side files with the names {names!r}")
            _real(attributes, done)
        return _real(loaded, done)


def _real(value, done, depth=0):
    """`value` with what stands for arrays, random states and names replaced, lists and dicts in
    place; `done`: {id: them}.
    """
    if isinstance(value, _Array):
        return value.array
    if isinstance(value, _RandomState):
        return value.random_state
    if isinstance(value, _Dtype):
        return value.dtype
    if isinstance(value, _Name):
        return value.value
    if isinstance(value, (dict, list, tuple)) and id(value) not in done:
        if depth > DEEPEST:
            raise Refused(f"more than {DEEPEST} levels of lists")
        if isinstance(value, tuple):
            return tuple(_real(item, done, depth + 1) for item in value)
        done[id(value)] = value
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if type(item) not in (
                int,
                float,
                str,
            ):  # an existing key gets a new value: the dict may be gone through
                value[key] = _real(item, done, depth + 1)
    return value


@contextlib.contextmanager
def _bounded_memory(size):
    """A pickle of few bytes may ask for an array of any size: more than its files explain is a
    MemoryError.
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


def _regular(path):
    """The size of a regular file; UserError for one that is missing, or that a program would wait
    for or never finish.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}), though it belongs to its model: {MOVE}"
        ) from error
    if not stat.S_ISREG(status.st_mode):
        raise UserError(f"{path} is not a regular file: {MOVE}")
    return status.st_size


def read(path, trust=False):
    """What a pickle of gensim's holds.

    Parameters
    ----------
    path : str or Path
    trust : bool
        Unpickle it as Python does, which runs any code that is in it (`--trust-pickle`).

    Raises
    ------
    UserError
        It is missing, damaged, or asks for something that gensim's and NumPy's files have no need
        of.
    """
    path = Path(path)
    size = _regular(path)
    try:
        with open(path, "rb") as file:
            if trust:
                return pickle.load(file, encoding="latin1")
            with _bounded_memory(size):
                return _Unpickler(file).load()
    except Refused as error:
        raise UserError(
            f"{path} was not loaded: it asks for {_short(error)}, which the dictionaries and models used here do not need and"
            " which may run any code; if you trust its source, give --trust-pickle"
        ) from error
    except Exception as error:  # unpickling damaged bytes fails in many ways
        raise UserError(
            f"{path} is damaged or is not a pickle ({_short(error)}): {MOVE}"
        ) from error


def _short(error):
    """An error's first line, or its kind where it says nothing."""
    return (str(error).strip().partition("\n")[0] or type(error).__name__)[:200]


@contextlib.contextmanager
def unpickling_by(function):
    """Within the block gensim's loaders call `function` with the name of each file that they
    unpickle, and log nothing.
    """
    kept, level = utils.unpickle, logging.root.manager.disable
    utils.unpickle = function  # gensim's loaders have no argument for it
    logging.disable(logging.WARNING)  # about old files, whose gaps are filled
    try:
        yield
    finally:
        utils.unpickle = kept
        logging.disable(level)


def load(kind, path, trust=False):
    """Load an object that gensim saved, side files included.

    Parameters
    ----------
    kind : class of gensim's
        Its `load` is called; the object must be one of it, or of a subclass.
    path : str or Path
    trust : bool
        See `read`.

    Returns
    -------
    object

    Raises
    ------
    UserError
        As `read`; a side file is missing or damaged; it is an object of another class.
    """
    path = Path(path)
    _regular(path)
    beside = [file for file in path.parent.iterdir() if file.name.startswith(f"{path.name}.")]
    sizes = [_regular(file) for file in (path, *beside) if not file.is_dir()]

    def unpickle(name):
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
            f"{path} or a file beside it is not a {kind.__name__} of gensim's ({_short(error)}): {MOVE}"
        ) from error
    if not isinstance(found, kind):
        raise UserError(
            f"{path} holds a {type(found).__name__}, not a {kind.__name__} of gensim's: {MOVE}"
        )
    return found


# ----------------------------------------------------------------------------------------------------------------- writing
class _Pickler(pickle.Pickler):
    """Writes NumPy's objects under names that every version has, and lists in an order that no hash
    decides.
    """

    def reducer_override(self, value):
        if isinstance(value, utils.SaveLoad):
            for listing in LISTINGS:  # gensim fills them from sets
                vars(value).get(listing, []).sort()
        elif type(value) is np.ndarray and value.dtype.kind in "biuf":
            order = "F" if value.flags.f_contiguous and not value.flags.c_contiguous else "C"
            return np.ndarray, (
                value.shape,
                value.dtype.str,
                bytearray(value.tobytes(order)),
                0,
                None,
                order,
            )
        elif isinstance(value, np.bool_):
            return bool, (bool(value),)
        elif isinstance(value, np.number):
            return type(value), (value.item(),)
        elif isinstance(value, np.random.RandomState):
            return np.random.RandomState, (0,), value.get_state()
        return NotImplemented


def _write(value, path, protocol=utils.PICKLE_PROTOCOL):
    with open(path, "wb") as file:
        _Pickler(file, protocol).dump(value)


@contextlib.contextmanager
def portable():
    """Within the block gensim's pickles can be read by other versions of NumPy, and equal objects
    give equal bytes.
    """
    kept = utils.pickle
    utils.pickle = _write  # gensim's savers have no argument for it
    try:
        yield
    finally:
        utils.pickle = kept


def save(model, path):
    """Save an object of gensim's with its side files, as `portable` says."""
    with portable():
        model.save(str(path))
