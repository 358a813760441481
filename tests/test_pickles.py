"""gensim's files of every version are read without running code in them, and written for all."""

import collections
import contextlib
import copyreg
import io
import os
import pickle
import pickletools
import random
import struct
import subprocess
import sys

import authors_files
import numpy as np
import pytest
import topic_models
from authors_files import named
from gensim import models, utils
from gensim.corpora import Dictionary
from gensim.models import Doc2Vec, FastText, LdaModel, LsiModel, TfidfModel, Word2Vec
from gensim.models.ldamodel import LdaState

from texttopicnet import artefacts, embeddings, pickles, topics, vocabulary
from texttopicnet.errors import UserError
from texttopicnet.topics import TopicModel

DOCUMENTS = [
    f"{words} shared".split() * 3
    for words in ("piano violin melody", "football stadium goal", "cannon soldier siege")
]
K = 3


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A work folder with a dictionary and a model of every embedding."""
    work = tmp_path_factory.mktemp("models")
    dictionary = Dictionary(DOCUMENTS)
    bows = [dictionary.doc2bow(d) for d in DOCUMENTS]
    topic_models.save(topics.TopicModel.learn(dictionary, bows, K, workers=1), work)
    for name in embeddings.NAMES[1:]:
        kind = embeddings.BY_NAME[name]
        kind.learn(dictionary, bows, DOCUMENTS, K, epochs=2).save(work)
    return work


# ---------------------------------------------------------------------------------- planted pickles
class Call:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


def planted(path):
    """{what: pickle that writes a file at `path` when it is unpickled as Python does}."""
    command = f"touch {path}"
    text = b"X" + struct.pack("<I", len(command)) + command.encode()
    return {
        "os.system": pickle.dumps(Call(os.system, command)),
        "eval": pickle.dumps(Call(eval, f"open({str(path)!r}, 'w')")),
        "Python 2's names": b"c__builtin__\neval\n(S\"open('"
        + str(path).encode()
        + b"', 'w')\"\ntR.",
        "INST": b'(S"open(' + repr(str(path)).encode() + b", 'w')\"\ni__builtin__\neval\n.",
        "OBJ": b"(" + named("posix", "system") + text + b"o.",
        "dotted name": b"\x80\x04" + named("gensim.utils", "os.system", b"\x93") + text + b"\x85R.",
        "dotted through a class": b"\x80\x04"
        + named("gensim.models.ldamodel", "logging.os.system", b"\x93")
        + text
        + b"\x85R.",
        "subprocess": pickle.dumps(Call(subprocess.call, ["touch", str(path)])),
        "in a dict of a Dictionary": b"\x80\x02"
        + named("gensim.corpora.dictionary", "Dictionary")
        + b")\x81}X\x01\x00\x00\x00a"
        + named("posix", "system")
        + text
        + b"\x85Rsb.",
        "numpy's own runner": pickle.dumps(Call(np.load, str(path))),
        "getattr": pickle.dumps(Call(getattr, Call(__import__, "os"), "system")),
    }


@pytest.mark.parametrize("what", planted("x"))
@pytest.mark.parametrize(
    "name",
    ["dictionary.dict", f"ldamodel{K}.lda", f"ldamodel{K}.lda.state", f"ldamodel{K}.lda.id2word"],
)
def test_planted_code_is_refused_in_every_file_of_a_model(work, tmp_path, what, name):
    mark = tmp_path / "ran"
    copy = _copied(work, tmp_path)
    (copy / "LDA" / name).write_bytes(planted(mark)[what])
    with pytest.raises(UserError) as caught:
        TopicModel.load(copy, K)
    sentence = str(caught.value)
    assert not mark.exists()
    assert "\n" not in sentence
    assert sentence.startswith(f"{copy / 'LDA' / name} was not loaded: it asks for ")
    assert "--trust-pickle" in sentence


@pytest.mark.parametrize("embedding", embeddings.NAMES[1:])
def test_planted_code_is_refused_in_every_file_of_an_embedding(work, tmp_path, embedding):
    for name in sorted(path.name for path in (work / "LDA").glob(f"{embedding}{K}.model*")):
        copy = _copied(work, tmp_path / name)
        (copy / "LDA" / name).write_bytes(planted(tmp_path / "ran")["os.system"])
        with pytest.raises(
            UserError,
            match=f"{name} was not loaded: it asks for posix.system, which .* give --trust-pickle",
        ):
            embeddings.BY_NAME[embedding].load(copy, K)
        assert not (tmp_path / "ran").exists()


def test_arrays_of_objects_beside_a_model_are_refused(work, tmp_path):
    copy = _copied(work, tmp_path)
    array = np.array([Call(os.system, f"touch {tmp_path / 'ran'}")], object)
    np.save(copy / "LDA" / f"ldamodel{K}.lda.expElogbeta.npy", array, allow_pickle=True)
    with pytest.raises(UserError, match="Object arrays cannot be loaded"):
        TopicModel.load(copy, K)
    with pytest.raises(UserError, match="Object arrays cannot be loaded"):
        TopicModel.load(copy, K, trust=True)
    assert not (tmp_path / "ran").exists()


def test_trust_runs_what_is_planted(tmp_path):
    path, mark = tmp_path / "dictionary.dict", tmp_path / "ran"
    path.write_bytes(planted(mark)["os.system"])
    pickles.read(path, trust=True)
    assert mark.exists()
    with pytest.raises(UserError, match=r"dictionary.dict .* is not a Dictionary of gensim's"):
        vocabulary.load(path, trust=True)


def _copied(work, folder):
    (folder / "LDA").mkdir(parents=True)
    for path in (work / "LDA").iterdir():
        (folder / "LDA" / path.name).write_bytes(path.read_bytes())
    return folder


# ------------------------------------------- calls of allowed names, with other arguments
NDARRAY = named("numpy", "ndarray")
RECONSTRUCT = named("numpy.core.multiarray", "_reconstruct")
DTYPE = named("numpy", "dtype")


@pytest.mark.parametrize(
    "data",
    [
        named("gensim.models.ldamodel", "LdaModel")
        + b"(X\x01\x00\x00\x00atR.",  # a constructor with arguments
        named("gensim.models.word2vec", "Word2Vec") + b"(NX\x0b\x00\x00\x00/etc/passwdtR.",
        b"\x80\x02"
        + named("gensim.models.ldamodel", "LdaModel")
        + b"X\x01\x00\x00\x00a\x85\x81.",  # NEWOBJ with arguments
        named("builtins", "hash")
        + b"K\x01\x85R.",  # names that gensim's objects hold but do not call
        named("gensim.matutils", "unitvec") + b"]\x85R.",
        named("gensim.utils", "identity") + b"K\x01\x85R.",
        named("builtins", "bytearray") + b"J\xff\xff\xff\x7f\x85R.",  # 2 GB of zeros
        named("_codecs", "encode") + b"X\x01\x00\x00\x00aX\x04\x00\x00\x00zlib\x86R.",
        named("collections", "defaultdict") + named("os", "system") + b"\x85R.",
        named("collections", "defaultdict") + named("numpy", "ndarray") + b"\x85R.",
        RECONSTRUCT
        + NDARRAY
        + b"J\xff\xff\xff\x7f\x85X\x01\x00\x00\x00b\x87R.",  # an array of any size
        RECONSTRUCT
        + named("gensim.corpora.dictionary", "Dictionary")
        + b"K\x00\x85X\x01\x00\x00\x00b\x87R.",
        NDARRAY + b"K\x05\x85X\x01\x00\x00\x00OC\x00K\x00NX\x01\x00\x00\x00Ct\x81.",
        DTYPE + b"X\x01\x00\x00\x00O\x85R.",  # arrays of objects, of structures
        DTYPE + b"X\x05\x00\x00\x00i4,f8\x85R.",
        DTYPE
        + b"X\x02\x00\x00\x00f8\x85R(K\x03X\x01\x00\x00\x00<N(X\x01\x00\x00\x00at}"
        + b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb.",
        DTYPE + b"N}X\x05\x00\x00\x00shapeK\x01s\x86b.",  # an allowed name is changed
        named("gensim.utils", "identity") + b"N}X\x05\x00\x00\x00valueK\x01s\x86b.",
        named("numpy.random._pickle", "__generator_ctor") + b")R.",
        named("gensim.utils", "unpickle") + b"X\x01\x00\x00\x00a\x85R.",
        named("gensim.models.ldamodel", "LdaModel.load") + b"X\x01\x00\x00\x00a\x85R.",
        named("copyreg", "_reconstructor")
        + named("builtins", "int")
        + named("builtins", "int")
        + b"K\x01\x87R.",
    ],
)
def test_allowed_names_cannot_be_called_with_other_arguments(tmp_path, data):
    path = tmp_path / "dictionary.dict"
    path.write_bytes(data)
    with pytest.raises(
        UserError, match=r"dictionary.dict was not loaded|dictionary.dict is damaged"
    ) as caught:
        pickles.read(path)
    assert "\n" not in str(caught.value)


def test_a_class_of_gensims_cannot_be_changed(tmp_path):
    """BUILD with a slot state calls setattr, which on a class would last for the whole process."""
    path, kept = tmp_path / "dictionary.dict", Dictionary.doc2bow
    path.write_bytes(
        b"\x80\x02"
        + named("gensim.corpora.dictionary", "Dictionary")
        + b"N}X\x07\x00\x00\x00doc2bowK\x01s\x86b."
    )
    with contextlib.suppress(UserError):
        pickles.read(path)
    assert Dictionary.doc2bow is kept
    assert Dictionary([["a"]]).doc2bow(["a"]) == [(0, 1)]


def test_side_files_cannot_be_named_elsewhere(work, tmp_path):
    dictionary = Dictionary.load(str(work / artefacts.DICTIONARY))
    vars(dictionary)["__numpys"] = ["/../../../elsewhere"]
    (tmp_path / "d").write_bytes(pickle.dumps(dictionary))
    with pytest.raises(UserError, match="it asks for side files with the names"):
        vocabulary.load(tmp_path / "d")


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x04\x8e" + struct.pack("<Q", 1 << 42) + b".",  # a string of 4 TB
        b"\x80\x02Nr\xff\xff\xff\x7f.",  # a memo of 2^31 entries
        b"\x80\x04\x95" + struct.pack("<Q", 1 << 60) + b".",  # a frame
        b"(" * 10_000_00,
        b"]" * 200_000 + b"a" * 199_999 + b".",  # lists in lists
    ],
)
def test_bombs_are_one_sentence(tmp_path, data):
    path = tmp_path / "dictionary.dict"
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"dictionary.dict") as caught:
        vocabulary.load(path)
    assert "\n" not in str(caught.value)


def test_only_regular_files_are_opened(work, tmp_path):
    copy = _copied(work, tmp_path)
    for name in (
        "dictionary.dict",
        f"ldamodel{K}.lda",
        f"ldamodel{K}.lda.state",
        f"ldamodel{K}.lda.expElogbeta.npy",
    ):
        path = copy / "LDA" / name
        content = path.read_bytes()
        path.unlink()
        os.mkfifo(path)
        with pytest.raises(UserError, match=f"{name} is not a regular file"):
            TopicModel.load(copy, K)
        path.unlink()
        path.write_bytes(content)
    TopicModel.load(copy, K)


FILES = [
    "dictionary.dict",
    f"ldamodel{K}.lda",
    f"ldamodel{K}.lda.state",
    f"word2vec{K}.model",
    f"tfidf{K}.model",
]


@pytest.mark.parametrize("name", FILES)
def test_mutants_end_in_a_sentence(work, tmp_path, name):
    """Changed bytes give an object of the class, or a UserError."""
    kind = {"d": Dictionary, "l": LdaModel, "w": Word2Vec, "t": TfidfModel}[name[0]]
    kind = LdaState if name.endswith("state") else kind
    whole, rng = (work / "LDA" / name).read_bytes(), random.Random(0)
    copy = _copied(work, tmp_path)
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(rng.choice([1, 2, 8])):
            at = rng.randrange(len(data))
            kind_of_change = rng.randrange(3)
            if kind_of_change == 0:
                data[at] = rng.randrange(256)
            elif kind_of_change == 1:
                del data[at : at + rng.randrange(1, 20)]
            else:
                data[at:at] = data[rng.randrange(len(data)) :][: rng.randrange(1, 20)]
        (copy / "LDA" / name).write_bytes(bytes(data))
        try:
            assert isinstance(pickles.load(kind, copy / "LDA" / name), kind)
            if kind in (Dictionary, LdaModel):
                TopicModel.load(copy, K)
        except UserError as error:
            assert "\n" not in str(error)


# ---------------------------------------------------------------------------- forms of all versions
def names_in(data):
    """The (module, name) that a pickle imports."""
    found, strings, memo = set(), [], {}
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name in ("GLOBAL", "INST"):
            found.add(tuple(argument.split(" ")))
        elif opcode.name == "STACK_GLOBAL":
            found.add(tuple(strings[-2:]))
        elif "UNICODE" in opcode.name:
            strings.append(argument)
        elif opcode.name == "MEMOIZE":
            memo[len(memo)] = strings[-1] if strings else None
        elif opcode.name in ("BINGET", "LONG_BINGET"):
            strings.append(memo.get(argument))
    return found


@pytest.fixture(params=[models.LdaModel, models.LdaMulticore])
def originals(work, tmp_path, request):
    """The original's files (`authors_files`), and the vectors of the model that they hold."""
    model = TopicModel.load(work, K)
    expected = model.topic_vectors(DOCUMENTS)
    authors_files.write(tmp_path / "originals" / "LDA", model, DOCUMENTS, request.param)
    return tmp_path / "originals", expected


def test_the_originals_files_are_read(originals, capsys):
    folder, expected = originals
    data = (folder / artefacts.lda_model(K)).read_bytes()
    assert data[:2] == b"\x80\x02"
    assert ("numpy.core.multiarray", "_reconstruct") in names_in(data)
    assert b"X" + struct.pack("<I", 5) + b"piano" not in data  # no text: Python 2's strings
    model = TopicModel.load(folder, K)
    assert "the model's own 10 words are used, not the dictionary's 13\n" in capsys.readouterr().err
    np.testing.assert_allclose(model.topic_vectors(DOCUMENTS), expected, atol=1e-5)
    assert model.lda.get_topics().shape == (K, 10)
    assert len(model.top_words(0, 4)) == 4
    before = {path: path.read_bytes() for path in (folder / "LDA").iterdir()}
    assert len(before) == 3  # .id2word and .expElogbeta.npy are not among them


def test_numpys_states_of_all_times_are_read(tmp_path):
    """A random state, arrays in both orders and big-endian, numbers: protocols 2 to 5, and the
    names before NumPy 2.
    """
    random_state = np.random.RandomState(7)
    random_state.normal()  # leaves a second number in the state
    expected = pickle.loads(pickle.dumps(random_state)).normal(size=4)
    value = {
        "random": random_state,
        "c": np.arange(6.0).reshape(2, 3),
        "f": np.asfortranarray(np.arange(6, dtype=np.int32).reshape(2, 3)),
        "big": np.arange(3, dtype=">f4"),
        "number": np.float32(1.5),
        "type": np.float32,
        "counts": collections.defaultdict(int, a=2),
    }
    written = [pickle.dumps(value, protocol) for protocol in (2, 3, 4, 5)]
    old = [
        data.replace(b"numpy._core.", b"numpy.core.") for data in written[:2]
    ]  # GLOBAL: names that end with the line
    ours = io.BytesIO()
    pickles._Pickler(ours, 4).dump(value)
    for data in [*written, *old, ours.getvalue()]:
        (tmp_path / "p").write_bytes(data)
        found = pickles.read(tmp_path / "p")
        np.testing.assert_array_equal(found["random"].normal(size=4), expected)
        for name in ("c", "f", "big"):
            np.testing.assert_array_equal(found[name], value[name])
            assert found[name].flags.writeable
            assert found[name].dtype == value[name].dtype.newbyteorder("=")
        assert found["number"] == 1.5
        assert found["type"] is np.float32
        assert found["counts"]["b"] == 0


def test_copy_regs_objects_are_read(tmp_path):
    """Protocols 0 and 1 make an object by copy_reg._reconstructor."""
    dictionary = Dictionary(DOCUMENTS)
    for protocol in (0, 1):
        data = pickle.dumps(Call(copyreg._reconstructor, Dictionary, object, None), protocol)
        (tmp_path / "p").write_bytes(data.replace(b"copyreg", b"copy_reg"))
        assert isinstance(pickles.read(tmp_path / "p"), Dictionary)
        (tmp_path / "p").write_bytes(pickle.dumps(dictionary, protocol))
        assert vocabulary.load(tmp_path / "p").token2id == dictionary.token2id


# ----------------------------------------------------------------------- written for other versions
ANY_NUMPY = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy", "float32"),
    ("numpy", "float64"),
} | {
    (
        "numpy.random.mtrand",
        "RandomState",
    ),  # NumPy 1.26 and 2 have all of these; numpy._core and a pickled MT19937 only 2
    ("builtins", "bytearray"),
    ("builtins", "hash"),
    ("builtins", "int"),
    ("collections", "defaultdict"),
}


def test_every_file_has_names_that_every_version_has(work):
    files = sorted(path for path in (work / "LDA").iterdir() if path.suffix != ".npy")
    assert (
        len(files) == 3 + 1 + 2 * 4 + 1 + 1
    )  # lda's, the dictionary, four embeddings with their tf-idf, tf-idf, lsi's projection
    for path in files:
        data = path.read_bytes()
        for module, name in names_in(data):
            assert module.startswith("gensim.") or (module, name) in ANY_NUMPY, (
                path.name,
                module,
                name,
            )
        assert (
            max(
                argument
                for opcode, argument, _ in pickletools.genops(data)
                if opcode.name == "PROTO"
            )
            == 4
        )


def test_the_index_of_the_bags_has_them_too(tmp_path):
    from gensim.corpora import MmCorpus

    with pickles.portable():
        MmCorpus.serialize(str(tmp_path / "bow.mm"), [[(0, 1)]])
    assert names_in((tmp_path / "bow.mm.index").read_bytes()) <= ANY_NUMPY
    assert utils.pickle is not pickles._write


@pytest.mark.parametrize("kind", [LdaModel, LsiModel, TfidfModel, Word2Vec, Doc2Vec, FastText])
def test_gensims_own_loader_reads_what_it_needs(work, kind):
    name = {models.LdaModel: artefacts.lda_model(K)}.get(
        kind, artefacts.embedding_model(kind.__name__.lower()[:-5], K)
    )
    if kind in (Word2Vec, Doc2Vec, FastText):
        name = artefacts.embedding_model(kind.__name__.lower(), K)
    model = kind.load(str(work / name))
    if kind is LdaModel:
        model.update([[(0, 3)]])  # its arrays can be written to
        assert model.random_state.get_state()[0] == "MT19937"
    if kind in (Word2Vec, FastText):
        model.train(DOCUMENTS, total_examples=3, epochs=1)
    if kind is Doc2Vec:
        assert model.infer_vector(["piano"]).shape == (K,)


def test_a_model_of_another_class_is_named(work, tmp_path):
    copy = _copied(work, tmp_path)
    (copy / artefacts.DICTIONARY).write_bytes(
        (copy / "LDA" / f"ldamodel{K}.lda.state").read_bytes()
    )
    with pytest.raises(
        UserError, match=r"dictionary.dict holds a LdaState, not a Dictionary of gensim's"
    ):
        TopicModel.load(copy, K)


def test_memory_is_not_bounded_after_loading(work):
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    TopicModel.load(work, K)
    assert resource.getrlimit(resource.RLIMIT_AS) == before
    assert sys.modules["gensim.utils"].unpickle is utils.unpickle
