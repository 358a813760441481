"""Files in the form of the authors' own: gensim's pickles as Python 2 wrote them in 2016, the state
of the model beside it, and a dictionary that was saved before its filter.
"""

import io
import pickle
import struct
from typing import ClassVar

import numpy as np
from gensim import models
from gensim.corpora import Dictionary

from texttopicnet import artefacts, unpickler


def named(module, name, opcode=b"c"):
    """A pickle's bytes that import a name."""
    if opcode == b"c":
        return b"c%s\n%s\n" % (module.encode(), name.encode())
    return (
        b"".join(b"\x8c" + bytes([len(part)]) + part.encode() for part in (module, name)) + b"\x93"
    )


class Python2(pickle._Pickler):
    """Pickles as Python 2 with the NumPy and gensim of 2016 did: protocol 2, byte strings, its
    names of modules.
    """

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def save_bytes(self, data):
        short = len(data) < 256
        self.write(
            pickle.SHORT_BINSTRING + bytes([len(data)])
            if short
            else pickle.BINSTRING + struct.pack("<i", len(data))
        )
        self.write(data)

    def save_str(self, text):
        self.save_bytes(text.encode("latin1"))  # a str of Python 2 is bytes
        self.memoize(text)

    dispatch[str], dispatch[bytes] = save_str, save_bytes

    def save_name(self, value, name=None):
        module, name = {
            "_reconstruct": ("numpy.core.multiarray", "_reconstruct"),
            "ndarray": ("numpy", "ndarray"),
            "dtype": ("numpy", "dtype"),
            "__randomstate_ctor": ("numpy.random", "__RandomState_ctor"),
            "__newobj__": ("copy_reg", "__newobj__"),
        }.get(value.__name__, (value.__module__, value.__qualname__))
        self.write(named(module, name))
        self.memoize(value)

    save_global = save_name
    dispatch[type] = save_name

    def reducer_override(self, value):
        if isinstance(value, np.random.RandomState):
            return np.random._pickle.__randomstate_ctor, (), value.get_state()
        if type(value) is np.ndarray:
            state = 1, value.shape, value.dtype, False, value.tobytes()
            return np._core.multiarray._reconstruct, (np.ndarray, (0,), b"b"), state
        if isinstance(value, np.dtype):
            return np.dtype, (value.str[1:], 0, 1), (3, "<", None, None, None, -1, -1, 0)
        return NotImplemented


def python2(value):
    file = io.BytesIO()
    Python2(file, 2).dump(value)
    return file.getvalue()


def write(folder, model, documents, kind=models.LdaMulticore):
    """Write a TopicModel into a folder as the authors' were written; changes the model.

    Parameters
    ----------
    folder : Path
    model : TopicModel
    documents : list of list of str
        What the unfiltered dictionary holds besides three words that the filter removed.
    kind : class of gensim's
        The original learnt by LdaMulticore.
    """
    folder.mkdir(parents=True, exist_ok=True)
    k = model.num_topics
    unfiltered = Dictionary([["and", "the", "rare"], *documents])
    for dictionary in (unfiltered, model.dictionary):
        for name in ("cfs", "lifecycle_events", artefacts.MARK):
            vars(dictionary).pop(name, None)
    lda, state = model.lda, model.lda.state
    state.eta = np.full((k, 1), 1 / k)  # a column, as in 2016
    for name in (
        "dtype",
        "lifecycle_events",
        artefacts.MARK,
        "callbacks",
        "minimum_phi_value",
        "per_word_topics",
        "random_state",
    ):
        vars(lda).pop(name, None)
        vars(state).pop(name, None)
    lda.alpha, lda.expElogbeta, state.sstats = (
        np.asarray(a, float) for a in (lda.alpha, lda.expElogbeta, state.sstats)
    )
    lda.eta = 1 / k
    lda.state = lda.dispatcher = None
    for holder in (lda, state, model.dictionary, unfiltered):
        vars(holder).update({listing: [] for listing in unpickler.LISTINGS})
    vars(lda)["__ignoreds"] = ["dispatcher", "state"]
    lda.__class__ = kind
    for name, value in (
        (f"ldamodel{k}.lda", lda),
        (f"ldamodel{k}.lda.state", state),
        ("dictionary.dict", unfiltered),
    ):
        (folder / name).write_bytes(python2(value))
