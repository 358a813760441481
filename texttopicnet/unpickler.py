"""An unpickler for gensim's files that runs no code that is in them.

A pickle is a program: it may import any function and call it.  The unpickler here builds the
objects of gensim's own files and nothing else.  It has a fixed table of names.  Instances of
gensim's classes are created empty, without their constructors; arrays, dtypes and random states are
built here from their bytes, not by NumPy's own unpickling; every other name is refused.
"""

from __future__ import annotations

import collections
import importlib
import pickle
import re
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO

import numpy as np

DEEPEST = 20  # levels of lists and dicts that may hold arrays
# where gensim names the attributes that it saves in files of their own
LISTINGS = ("__numpys", "__scipys", "__ignoreds", "__recursive_saveloads")

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
NAMED = {  # functions and types that gensim's objects refer to; no pickle may call them
    "gensim.utils": ("identity", "call_on_class_only"),
    "gensim.matutils": ("unitvec",),
    "gensim.models.tfidfmodel": ("df2idf",),
    "builtins": ("hash", "int", "float", "str", "list", "object"),
    "numpy.random._mt19937": ("MT19937",),
}
NUMBERS = [f"float{bits}" for bits in (16, 32, 64)] + [
    f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
]
NUMERIC = re.compile(r"[<>=|]?(?:[?bhilqBHILQefd]|[biuf]\d{1,2})")


class Refused(pickle.UnpicklingError):
    """A pickle asks for something that is not in the table, or calls an entry with other arguments
    than NumPy does.
    """


# ------------------------------------------------------------------ what a pickle may call or hold
class _Name:
    """An entry of the table.

    It becomes `value` after loading.  A pickle can call it only if it has a `call`, and cannot
    change it.
    """

    __slots__ = ("call", "name", "value")

    def __init__(
        self, name: str, value: object = None, call: Callable[..., Any] | None = None
    ) -> None:
        for slot, content in (("name", name), ("value", value), ("call", call)):
            object.__setattr__(self, slot, content)

    def __setattr__(self, name: str, _: object) -> None:
        raise Refused(f"{self.name} with a changed {name}")

    def __call__(self, *arguments: Any) -> Any:
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

    def __init__(self, name: str, _align: object = False, _copy: object = True) -> None:
        if not isinstance(name, str) or not NUMERIC.fullmatch(name):
            raise Refused(f"an array of dtype {name!r}")
        self.dtype = np.dtype(name)

    def __setstate__(self, state: tuple) -> None:
        _, order, *structure = state[:5]
        if any(part is not None for part in structure) or order not in ("<", ">", "=", "|"):
            raise Refused("an array of a structured dtype")
        self.dtype = self.dtype.newbyteorder(order)


def _bytes(data: str | bytes) -> bytes:
    """Bytes; Python 2 wrote them as a string, which is read as Latin-1."""
    return data.encode("latin1") if isinstance(data, str) else bytes(data)


class _Array:
    """An array of numbers: empty, then shape, dtype, order and bytes as state."""

    def __init__(self) -> None:
        self.array = np.zeros(0)

    def __setstate__(self, state: tuple) -> None:
        shape, dtype, fortran, data = state[-4:]
        self.fill(shape, dtype.dtype, "F" if fortran else "C", _bytes(data))

    def fill(self, shape: tuple[int, ...], dtype: np.dtype, order: str, data: bytes) -> None:
        # a copy, because it must be writable
        flat = np.frombuffer(data, dtype).astype(dtype.newbyteorder("="))
        if any(type(n) is not int or n < 0 for n in shape):
            raise Refused(f"an array of shape {shape!r}")
        self.array = flat.reshape(shape, order=order)


class _RandomState:
    """A Mersenne twister, in the state of any NumPy: a tuple, or a dict since 1.17."""

    def __init__(self) -> None:
        self.state = None

    def __setstate__(self, state: tuple | dict) -> None:
        self.state = state

    @property
    def random_state(self) -> np.random.RandomState:
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
            raise Refused("a random state that is not a Mersenne twister's")
        random_state = np.random.RandomState(0)
        random_state.set_state((name, np.asarray(key, np.uint32), int(position), *gauss))
        return random_state


class _Generator:
    """The bit generator that NumPy 2 pickles inside a random state, whose own state is enough."""

    def __setstate__(self, _: object) -> None:
        pass


def _reconstruct(kind: _Name, shape: tuple[int, ...], _: object) -> _Array:
    if not (isinstance(kind, _Name) and kind.value is np.ndarray and shape == (0,)):
        raise Refused("an array of another kind than NumPy's own")
    return _Array()


def _ndarray(
    shape: tuple[int, ...], dtype: str, data: bytes, offset: int, strides: None, order: str
) -> _Array:
    if (offset, strides) != (0, None) or order not in ("C", "F"):
        raise Refused("a view of an array")
    array = _Array()
    array.fill(shape, _Dtype(dtype).dtype, order, _bytes(data))
    return array


def _frombuffer(data: bytes, dtype: _Dtype, shape: tuple[int, ...], order: str) -> _Array:
    array = _Array()
    array.fill(shape, dtype.dtype, order, _bytes(data))
    return array


def _scalar(dtype: _Dtype, data: str | bytes) -> np.generic:
    return np.frombuffer(_bytes(data), dtype.dtype)[0]


def _encode(text: str, encoding: str) -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise Refused(f"a text in {encoding}")
    return text.encode("latin1")


def _defaultdict(factory: _Name) -> collections.defaultdict:
    if not (isinstance(factory, _Name) and factory.value in (int, float, list)):
        raise Refused("a defaultdict of other things than numbers or lists")
    return collections.defaultdict(factory.value)


def _table() -> dict[tuple[str, str], _Name]:
    """The entries by module and name, all but gensim's classes."""
    table = {}

    def enter(
        modules: Iterable[str],
        names: Iterable[str],
        value: object = None,
        call: Callable[..., Any] | None = None,
    ) -> None:
        for module in modules:
            for name in names:
                table[module, name] = _Name(f"{module}.{name}", value, call)

    for module, names in NAMED.items():
        # Python 3's name and Python 2's
        modules = (module, "__builtin__") if module == "builtins" else (module,)
        for name in names:
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


# ------------------------------------------------------------------------------------ reading
class Unpickler(pickle.Unpickler):
    """Reads one object from a file; `load` raises Refused, or what pickle raises."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, encoding="latin1")  # what Python 2 calls a string is bytes
        self.made: list[Any] = []
        self.blanks: dict[tuple[str, str], type] = {}

    def find_class(self, module: str, name: str) -> Any:
        if name in CLASSES.get(module, ()):
            return self._blank(module, name)
        if module in ("copy_reg", "copyreg") and name == "_reconstructor":
            return _Name(f"{module}.{name}", call=self._reconstructor)
        if (module, name) not in TABLE:
            raise Refused(f"{module}.{name}")
        return TABLE[module, name]

    def _blank(self, module: str, name: str) -> type:
        """A class that takes no arguments and creates an empty object of gensim's: no constructor
        runs.
        """
        if (module, name) not in self.blanks:
            real, made = getattr(importlib.import_module(module), name), self.made

            def new(_: type) -> Any:
                made.append(object.__new__(real))
                return made[-1]

            self.blanks[module, name] = type(name, (), {"__new__": new})
        return self.blanks[module, name]

    def _reconstructor(self, kind: type, base: _Name, state: None) -> Any:
        if (
            kind not in self.blanks.values()
            or not isinstance(base, _Name)
            or base.value is not object
            or state is not None
        ):
            raise Refused("an object with the state of a built-in class")
        return kind()

    def load(self) -> Any:
        """The object, with real arrays and random states."""
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


def _real(value: Any, done: dict[int, Any], depth: int = 0) -> Any:
    """`value` with real arrays, random states and named things in place of the classes above.

    Lists and dicts are changed in place; `done` holds those already visited, by their id.
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
            if type(item) not in (int, float, str):
                # the key exists already, so the dict can be changed during the loop
                value[key] = _real(item, done, depth + 1)
    return value
