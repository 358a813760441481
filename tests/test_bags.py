"""dictionary.dict and bow.mm: pairs that belong together, and damaged or mixed ones."""

import pickle
import shutil

import numpy as np
import pytest
from gensim.corpora import Dictionary, MmCorpus

from texttopicnet import artefacts, bags, bow_file, pickles, vocabulary
from texttopicnet.errors import UserError
from texttopicnet.token_store import TokenStore

DOCUMENTS = [["piano", "violin"], [], ["goal", "piano", "piano"], ["goal", "violin"], []]
BOWS = [
    [(0, 1), (1, 1)],
    [],
    [(0, 2), (2, 1)],
    [(1, 1), (2, 1)],
    [],
]  # ids by the alphabet within a document


def make(work, documents=DOCUMENTS):
    """What learn_LDA_model.py writes of these documents."""
    dictionary = Dictionary(documents)
    vocabulary.mark(dictionary, dictionary)
    (work / "LDA").mkdir(parents=True)
    with pickles.portable():
        MmCorpus.serialize(str(work / artefacts.BOW), map(dictionary.doc2bow, documents))
        dictionary.save(str(work / artefacts.DICTIONARY))
    return dictionary


@pytest.fixture(params=["recorded", "not recorded"])
def work(tmp_path, request):
    work = tmp_path / "work"
    dictionary = make(work)
    if request.param == "recorded":
        with TokenStore(work) as store:
            bags.record(work, store, dictionary)
    return work


def load(work, by_number=True):
    with TokenStore(work) as store:
        return bags.load(work, store, by_number=by_number)


def test_a_pair_that_belongs_together_is_loaded(work):
    dictionary, corpus = load(work)
    assert dictionary.token2id == {"piano": 0, "violin": 1, "goal": 2}
    assert len(corpus) == 5
    assert list(corpus) == BOWS == [corpus[i] for i in range(5)]


@pytest.mark.parametrize(
    "documents",
    [
        [["piano", "violin"]],
        [
            ["violin", "goal"],
            [],
            ["piano", "violin", "violin"],
            ["piano", "goal"],
            [],
        ],  # same words and counts, other ids
        [["organ", "violin"], [], ["goal", "organ"], ["goal"], []],
        [*DOCUMENTS, ["piano"]],
    ],
)
def test_a_dictionary_of_another_corpus_is_refused(work, documents):
    Dictionary(documents).save(str(work / artefacts.DICTIONARY))
    if {*Dictionary(documents).dfs.values()} == {2} and not load_is_recorded(work):
        return  # without a record, words with equal counts cannot be distinguished
    with pytest.raises(
        UserError,
        match=r"dictionary.dict \(\d words\) and .*bow.mm \(3 words\) do not belong together",
    ) as caught:
        load(work)
    assert "--force" not in str(caught.value)
    assert "another --work folder" in str(caught.value)


def load_is_recorded(work):
    with TokenStore(work) as store:
        return store.setting(bags.SETTING) is not None


def test_a_copied_folder_still_belongs_together(work, tmp_path):
    shutil.copytree(work, tmp_path / "copy")
    assert list(load(tmp_path / "copy")[1]) == BOWS


def test_a_pair_that_replaces_the_recorded_one_is_judged_by_its_counts(work, tmp_path):
    make(tmp_path / "other", [["a", "b"], ["b"]])
    for path in (tmp_path / "other" / "LDA").iterdir():
        shutil.copy(path, work / "LDA")
    assert list(load(work)[1]) == [[(0, 1), (1, 1)], [(1, 1)]]


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_cut_bow_is_refused_wherever_it_ends(work, cut):
    path = work / artefacts.BOW
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(UserError, match=r"bow.mm is damaged") as caught:
        load(work)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"no matrix\n",
        b"%%MatrixMarket matrix coordinate real general\nx y z\n",
        b"\xff" * 300,
    ],
)
def test_a_bow_that_is_something_else_is_refused(work, content):
    (work / artefacts.BOW).write_bytes(content)
    with pytest.raises(UserError, match=r"bow.mm"):
        load(work)


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"1 2 1", b"1 1 1"), (b"4 3 1", b"4 9 1"), (b"4 3 1", b"2 3 1"), (b"4 3 1", b"4 x 1")],
)
def test_a_damaged_line_is_refused(work, old, new):
    path = work / artefacts.BOW
    assert old in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(old, new))
    with pytest.raises(UserError, match=r"bow.mm is damaged|do not belong together"):
        load(work)


@pytest.mark.parametrize(
    "index",
    [[97, -1, 103], [98, -1, 110, 121, 133], [97, -1, -1, 121, 133], "97", None, [[97]] * 5],
)
def test_an_index_of_another_bow_is_refused_where_documents_are_read_by_number(work, index):
    path = work / "LDA" / "bow.mm.index"
    path.write_bytes(pickle.dumps(index))
    with pytest.raises(UserError, match=r"bow.mm.index"):
        load(work)
    assert list(load(work, by_number=False)[1]) == BOWS


def test_the_index_is_the_one_gensim_wrote(work):
    assert load(work)[1].index.tolist() == [97, -1, 109, 121, 133]
    for at in range(5):
        stale = [97, -1, 109, 121, 133]
        stale[at] += 12
        (work / "LDA" / "bow.mm.index").write_bytes(pickle.dumps(stale))
        with pytest.raises(UserError, match=r"bow.mm.index is not the index of"):
            load(work)


@pytest.mark.parametrize("name", ["dictionary.dict", "bow.mm", "bow.mm.index"])
def test_missing_artefacts_name_their_command(work, name):
    (work / "LDA" / name).unlink()
    with pytest.raises(
        UserError,
        match=(
            f"{name} does not exist: make it with python LDA/learn_LDA_model.py, in another --work"
        ),
    ):
        load(work)


def test_an_index_cannot_run_code(work, tmp_path):
    class Planted:
        def __reduce__(self):
            return open, (str(tmp_path / "ran"), "w")

    (work / "LDA" / "bow.mm.index").write_bytes(pickle.dumps(Planted()))
    with pytest.raises(UserError, match=r"bow.mm.index was not loaded: it asks for _?io.open"):
        load(work, by_number=False)
    assert not (tmp_path / "ran").exists()


def pairs(corpus):
    return [list(zip(ids.tolist(), counts.tolist(), strict=True)) for ids, counts in corpus]


@pytest.mark.parametrize("at_once", [1, 7, 12, 30, 1000])
def test_packed_documents_are_gensims(work, monkeypatch, at_once):
    """Documents that end at, before and after the end of a block."""
    monkeypatch.setattr(bow_file, "AT_ONCE", at_once)
    corpus = bags.open_corpus(work / artefacts.BOW)
    documents = list(corpus.packed())
    assert pairs(documents) == BOWS
    assert {(ids.dtype, counts.dtype) for ids, counts in documents} == {
        (np.dtype("int32"), np.dtype("float32"))
    }


HEAD = "%%MatrixMarket matrix coordinate real general\n"


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        ("4 3 0\n", [[], [], [], []]),
        ("% a comment\n4 3 2\n2 1 2\n3 3 16777216\n", [[], [(0, 2)], [(2, 2**24)], []]),
        ("3 3 3\n1 1 1\n1 2 0.5\n3 3 2.0\n", [[(0, 1), (1, 0.5)], [], [(2, 2)]]),
        ("2 3 2\n1 1 1\n2 3  4\n", [[(0, 1)], [(2, 4)]]),
        ("2 3 2\n1 1 1e2\n2 3 4\r\n", [[(0, 100)], [(2, 4)]]),
    ],
)
@pytest.mark.parametrize("at_once", [4, 1000])
def test_packed_documents_of_other_files(tmp_path, monkeypatch, lines, wanted, at_once):
    """Empty documents at both ends, and numbers that gensim must read."""
    monkeypatch.setattr(bow_file, "AT_ONCE", at_once)
    (tmp_path / "bow.mm").write_text(HEAD + lines)
    corpus = bow_file.BowFile(str(tmp_path / "bow.mm"))
    assert pairs(corpus.packed()) == list(corpus) == wanted


def test_packed_documents_need_the_order_of_the_documents(tmp_path):
    """gensim's own error."""
    (tmp_path / "bow.mm").write_text(HEAD + "3 3 2\n3 1 1\n2 1 1\n")
    corpus = bow_file.BowFile(str(tmp_path / "bow.mm"))
    with pytest.raises(AssertionError, match="ascending order"):
        list(corpus.packed())


def test_document_frequencies_by_hand(work):
    corpus = bags.open_corpus(work / artefacts.BOW)
    assert bags.document_frequencies(corpus, "bow.mm") == {0: 2, 1: 2, 2: 2}
    assert np.asarray(corpus.index).tolist() == [97, -1, 109, 121, 133]


@pytest.mark.parametrize(
    "changes",
    [
        {"token2id": {"piano": 0, "violin": 1}, "dfs": {5: 1}},
        {"token2id": {"piano": 0, "violin": 2}},
        {"token2id": {"piano": 0, "violin": "1"}},
        {"token2id": {b"piano": 0}},
        {"token2id": ["piano"]},
        {"dfs": [1, 2, 3]},
        {"dfs": {0: None}},
        {"num_docs": "five"},
    ],
)
def test_a_damaged_dictionary_is_refused(work, changes):
    dictionary = Dictionary.load(str(work / artefacts.DICTIONARY))
    vars(dictionary).update(changes)
    dictionary.save(str(work / artefacts.DICTIONARY))
    with pytest.raises(UserError, match=r"dictionary.dict is damaged"):
        load(work)


def test_a_dictionary_gets_what_early_versions_did_not_save(work):
    dictionary = Dictionary.load(str(work / artefacts.DICTIONARY))
    del dictionary.cfs
    dictionary.id2token = {0: "wrong"}
    dictionary.save(str(work / artefacts.DICTIONARY))
    loaded, _ = load(work)
    assert loaded.cfs == {}
    assert [loaded[i] for i in range(3)] == ["piano", "violin", "goal"]
