"""Text embeddings: unit lengths, one vector per text and seed, the same bytes in every process,
gensim's files.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest
import topic_models
from gensim.corpora import Dictionary

from texttopicnet import artefacts, embedding_ranges, embeddings, topics, training_labels
from texttopicnet.embeddings import training_texts
from texttopicnet.errors import UserError

SUBJECTS = [
    "piano violin melody sonata",
    "football stadium goal referee",
    "cannon soldier battle trench",
]
DOCUMENTS = [
    (subject.split() * (4 + i))[i:] + ["history"] * (i % 2)
    for subject in SUBJECTS
    for i in range(6)
]
LEARNT = embeddings.NAMES[1:]  # all but lda
K = 4


class Stream:
    """Texts that cannot be held or counted: only read, again and again."""

    def __init__(self, texts):
        self.texts = texts
        self.passes = 0

    def __iter__(self):
        self.passes += 1
        return iter(self.texts)


def learn(name, num_topics=K, documents=DOCUMENTS, **arguments):
    dictionary = Dictionary(documents)
    bows = [dictionary.doc2bow(d) for d in documents]
    return embeddings.BY_NAME[name].learn(
        dictionary, bows, Stream(documents), num_topics, **arguments
    )


def learn_lda():
    dictionary = Dictionary(DOCUMENTS)
    bows = [dictionary.doc2bow(d) for d in DOCUMENTS]
    return embeddings.Lda(topics.TopicModel.learn(dictionary, bows, K, workers=1))


@pytest.fixture(scope="module")
def learnt():
    return {"lda": learn_lda()} | {name: learn(name, epochs=30) for name in LEARNT}


@pytest.mark.parametrize("name", embeddings.NAMES)
def test_vectors_have_the_promised_width_and_range(learnt, name):
    vectors = learnt[name].vectors(iter(DOCUMENTS))
    assert vectors.shape == (18, K)
    assert vectors.dtype == np.float32
    list(training_labels.checked(name, enumerate(vectors.tolist()), K, "-"))
    signed = learnt[name].loss == "EuclideanLoss"
    assert signed == (vectors.min() < 0) == (embeddings.BY_NAME[name].signed)
    if signed:
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("name", ["lda", "lsi", "word2vec", "doc2vec", "fasttext"])
def test_texts_of_one_subject_are_near(learnt, name):
    vectors = learnt[name].vectors(DOCUMENTS)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    means = vectors.reshape(3, 6, K).mean(axis=1)
    np.testing.assert_array_equal((vectors @ means.T).argmax(axis=1), np.repeat([0, 1, 2], 6))


@pytest.mark.parametrize("name", embeddings.NAMES)
def test_a_vector_depends_on_text_and_seed_alone(learnt, name):
    embedding, text = learnt[name], DOCUMENTS[7]
    alone = embedding.vectors([text], seed=3)[0]
    np.testing.assert_array_equal(
        embedding.vectors([DOCUMENTS[0], text, DOCUMENTS[2]], seed=3)[1], alone
    )
    np.testing.assert_array_equal(embedding.vectors([text], seed=3)[0], alone)
    assert (embedding.vectors([text], seed=4)[0] == alone).all() == (name not in ("lda", "doc2vec"))


@pytest.mark.parametrize("name", LEARNT)
def test_texts_without_known_words_have_the_vector_0(learnt, name):
    vectors = learnt[name].vectors([[], ["unheard"], DOCUMENTS[0]])
    assert not vectors[:2].any()
    assert vectors[2].any()
    assert learnt[name].vectors([]).shape == (0, K)


@pytest.mark.parametrize("name", embeddings.NAMES)
def test_unknown_words_do_not_count(learnt, name):
    a, b = learnt[name].vectors([DOCUMENTS[3], ["unheard", *DOCUMENTS[3], "xyzzy"]])
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", embeddings.NAMES)
def test_a_saved_model_is_loaded(learnt, name, tmp_path):
    embedding = learnt[name]
    embedding.vectors(DOCUMENTS[:3])  # use does not change what is saved
    (tmp_path / "LDA").mkdir()
    embedding.dictionary.save(str(tmp_path / artefacts.DICTIONARY))
    (embedding.model if name == "lda" else embedding).save(tmp_path)
    assert not list(tmp_path.rglob(".tmp-*"))
    loaded = embeddings.BY_NAME[name].load(tmp_path, K)
    assert (type(loaded), loaded.name, loaded.num_topics, loaded.loss) == (
        type(embedding),
        name,
        K,
        embedding.loss,
    )
    np.testing.assert_array_equal(
        loaded.vectors(DOCUMENTS, seed=2), embedding.vectors(DOCUMENTS, seed=2)
    )


@pytest.mark.parametrize("name", LEARNT)
def test_plain_gensim_reads_the_files(learnt, name, tmp_path):
    learnt[name].save(tmp_path)
    model = embeddings.BY_NAME[name].gensim_class.load(
        str(tmp_path / artefacts.embedding_model(name, K))
    )
    if name == "tfidf":
        assert dict(model[[(0, 1)]]) == {0: 1}
    elif name == "lsi":
        (bow,) = [learnt[name].tfidf[learnt[name].dictionary.doc2bow(DOCUMENTS[8])]]
        found = np.array([weight for _, weight in model[bow]])
        np.testing.assert_allclose(
            found / np.linalg.norm(found), learnt[name].vectors([DOCUMENTS[8]])[0], rtol=1e-5
        )
    else:
        assert model.wv.most_similar("piano", topn=12)[0][0] in model.wv
        assert model.wv["goal"].shape == (K,)


BYTES = """
import sys, hashlib, pathlib
sys.path.insert(0, "tests")
import test_embeddings as t
work = pathlib.Path(sys.argv[1])
for name in t.LEARNT:
    embedding = t.learn(name, epochs=3, seed=5)
    embedding.save(work)
    print(name, hashlib.sha256(embedding.vectors(t.DOCUMENTS, seed=1).tobytes()).hexdigest())
for path in sorted((work / "LDA").iterdir()):
    print(path.name, hashlib.sha256(path.read_bytes()).hexdigest())
"""


def test_same_seed_same_bytes_with_any_hash_seed(printed_with_hash_seed):
    printed = [printed_with_hash_seed(BYTES, seed) for seed in ("1", "2")]
    assert printed[0] == printed[1]
    assert len(printed[0].splitlines()) >= 2 * len(LEARNT)


@pytest.mark.parametrize("name", ["word2vec", "doc2vec", "fasttext"])
def test_another_seed_gives_another_model(learnt, name):
    other = learn(name, epochs=30, seed=1)
    assert (other.vectors(DOCUMENTS) != learnt[name].vectors(DOCUMENTS)).any()


# ---------------------------------------------------------------------------------- numbers by hand
# "common" is in both texts: idf log2(2/2) = 0; "rare" and "odd" are in one of two: idf 1
TWO = [["common", "rare", "rare"], ["common", "odd"]]


def test_sparse_vectors_by_hand():
    embedding = learn("tfidf", 2, TWO)
    column = embedding.dictionary.token2id
    rows = embedding.sparse_vectors([*TWO, ["rare", "odd", "odd", "common"], ["unheard"]]).toarray()
    assert rows.shape == (4, 3)
    assert not rows[:, column["common"]].any()
    assert not rows[3].any()
    np.testing.assert_allclose(rows[:3, column["rare"]], [1, 0, 0.2**0.5])
    np.testing.assert_allclose(rows[:3, column["odd"]], [0, 1, 0.8**0.5])


def test_tfidf_takes_the_words_that_weigh_most():
    documents = (
        [["rare", "x"]] + [["usual"]] * 2 + [["x"]] * 2
    )  # idf over 5 texts: rare log2 5, usual log2 2.5, x log2 5/3
    embedding = learn("tfidf", 2, documents)
    words = [embedding.dictionary[i] for i in embedding.model.chosen]
    assert words == [
        "x",
        "usual",
    ]  # weights of the texts' vectors, summed: x 2.30, usual 2, rare 0.95
    (vector,) = embedding.vectors([["usual", "rare"]])
    usual, rare = np.log2([2.5, 5])
    np.testing.assert_allclose(
        vector, [0, usual / np.hypot(usual, rare)], rtol=1e-6
    )  # the weights of the whole vector


def test_word_vectors_are_averaged_with_tfidf_weights():
    embedding = learn("word2vec", 3, TWO)
    rare, odd, common = (embedding.model.wv[word] for word in ("rare", "odd", "common"))
    mean = (rare + odd + common) / 3
    (vector,) = embedding.vectors([["rare", "odd", "odd", "common"]])
    wanted = (rare - mean) + 2 * (odd - mean)  # idf 1, 1 and 0
    np.testing.assert_allclose(vector, wanted / np.linalg.norm(wanted), rtol=1e-5)


def test_lsi_of_a_low_rank_is_filled_with_zeros():
    vectors = learn("lsi", 5, TWO).vectors(TWO)
    assert not vectors[:, 2:].any()
    np.testing.assert_allclose(
        np.abs(vectors[:, :2]), np.abs(vectors[:, :2]).round(), atol=1e-6
    )  # two texts, two axes


# --------------------------------------------------------------------------------------- the corpus
@pytest.mark.parametrize("name", ["word2vec", "doc2vec", "fasttext"])
def test_texts_are_streamed(name):
    dictionary = Dictionary(DOCUMENTS)
    texts = Stream([["unheard", *d] for d in DOCUMENTS])
    embedding = embeddings.BY_NAME[name].learn(dictionary, [], texts, K, epochs=2)
    assert texts.passes == 3  # the vocabulary, and twice to learn
    assert set(embedding.model.wv.key_to_index) == set(dictionary.token2id)


@pytest.mark.parametrize("name", ["word2vec", "fasttext", "doc2vec"])
@pytest.mark.parametrize("at", [1, 2])
def test_an_error_in_reading_comes_through(name, at):
    """gensim reads for its vocabulary, then in a thread per epoch, and would wait forever for a
    thread that died.
    """

    class Failing:
        passes = 0

        def __iter__(self):
            self.passes += 1
            yield from DOCUMENTS[:3]
            if self.passes == at:
                raise UserError("the disk is gone")
            yield from DOCUMENTS[3:]

    dictionary = Dictionary(DOCUMENTS)
    with pytest.raises(UserError, match="the disk is gone"):
        embeddings.BY_NAME[name].learn(
            dictionary, [dictionary.doc2bow(d) for d in DOCUMENTS], Failing(), 4
        )


def test_long_texts_come_in_pieces(monkeypatch):
    monkeypatch.setattr(training_texts, "LONGEST", 4)
    dictionary = Dictionary([["a", "b"]])
    texts = training_texts.TrainingTexts(
        [["a", "x", "b", "a", "a", "b"], [], ["b"]], dictionary, "-", tagged=True
    )
    for _ in range(2):
        assert [(t.words, t.tags) for t in texts] == [
            (["a", "b", "a", "a"], [0]),
            (["b"], [0]),
            (["b"], [2]),
        ]


def test_gensim_takes_pieces_of_that_length_whole():
    documents = [["a"] * (training_texts.LONGEST - 1) + ["b"]]
    dictionary = Dictionary(documents)
    seen = [len(piece) for piece in training_texts.TrainingTexts(documents, dictionary, "-")]
    assert seen == [training_texts.LONGEST]
    from gensim.models.word2vec_inner import MAX_WORDS_IN_BATCH

    assert training_texts.LONGEST <= MAX_WORDS_IN_BATCH


def test_a_long_texts_end_counts_in_doc2vec(learnt, monkeypatch):
    monkeypatch.setattr(training_texts, "LONGEST", 12)
    a, b = learnt["doc2vec"].vectors([["piano"] * 12 + ["goal"] * 40, ["piano"] * 12])
    assert (a != b).any()


# ----------------------------------------------------------------------------------------- refusals
@pytest.mark.parametrize("name", LEARNT)
def test_a_missing_model_names_the_command(name, tmp_path):
    with pytest.raises(
        UserError,
        match=f"{name}4.model does not exist: .*LDA/generate_train_labels.py --embedding {name}",
    ):
        embeddings.BY_NAME[name].load(tmp_path, K)


@pytest.mark.parametrize("name", LEARNT)
def test_a_model_of_another_dictionary_is_refused_with_both_sizes(learnt, name, tmp_path):
    learnt[name].save(tmp_path)
    Dictionary([["piano", "goal"]]).save(str(tmp_path / artefacts.DICTIONARY))
    with pytest.raises(
        UserError,
        match=(
            rf"dictionary.dict \(2 words\) and .*{name}4.model.* \(learnt with 13\) do not"
            r" belong"
        ),
    ):
        embeddings.BY_NAME[name].load(tmp_path, K)


@pytest.mark.parametrize("name", LEARNT)
def test_a_broken_file_is_one_sentence(learnt, name, tmp_path):
    learnt[name].save(tmp_path)
    learnt[name].dictionary.save(str(tmp_path / artefacts.DICTIONARY))
    (tmp_path / artefacts.embedding_model(name, K)).write_bytes(b"broken")
    with pytest.raises(UserError, match=f"{name}4.model is damaged or is not a pickle"):
        embeddings.BY_NAME[name].load(tmp_path, K)


@pytest.mark.parametrize("name", LEARNT)
def test_models_of_another_kind_width_or_dictionary_are_refused(learnt, name, tmp_path):
    """Renamed or mixed files would give wrong numbers, or none."""
    embedding, path = learnt[name], tmp_path / artefacts.embedding_model(name, K)
    embedding.save(tmp_path)
    embedding.dictionary.save(str(tmp_path / artefacts.DICTIONARY))
    for file in list(path.parent.glob(f"{name}4.model*")):
        shutil.copy(file, file.with_name(file.name.replace("4", "6", 1)))
    with pytest.raises(
        UserError,
        match=f"{name}6.model and the files beside it are not a {name} model of 6 numbers",
    ):
        embeddings.BY_NAME[name].load(tmp_path, 6)
    other = learn(
        name, documents=[[word.upper() for word in d] for d in DOCUMENTS], epochs=1
    )  # other words, same counts
    other.save(tmp_path / "other")
    if name != "tfidf":
        shutil.copy(tmp_path / "other" / artefacts.embedding_model(name, K), path)
        with pytest.raises(
            UserError,
            match=f"{name}4.model and the files beside it .*learnt with another dictionary",
        ):
            embeddings.BY_NAME[name].load(tmp_path, K)
        embedding.save(tmp_path)
        path.with_name(f"{name}4.model.tfidf").unlink()
        with pytest.raises(UserError, match=rf"{name}4.model.tfidf cannot be read .*No such file"):
            embeddings.BY_NAME[name].load(tmp_path, K)
    kind = "lsi" if name != "lsi" else "word2vec"
    learnt[kind].save(tmp_path)
    shutil.copy(tmp_path / artefacts.embedding_model(kind, K), path)
    with pytest.raises(UserError, match=f"{name}4.model") as caught:
        embeddings.BY_NAME[name].load(tmp_path, K)
    assert "\n" not in str(caught.value)
    assert "--force" not in str(caught.value)


@pytest.mark.parametrize("name", LEARNT)
def test_corpora_of_one_or_two_words_work_or_are_one_sentence(name):
    for documents in ([["a"]], [[], ["a"]], [["a", "b"], ["b", "c"], []], [["a"]] * 3):
        vectors = learn(name, 1, documents, epochs=1).vectors(documents)
        assert np.isfinite(vectors).all()
        assert vectors.shape == (len(documents), 1)
    for documents in ([], [[]]):
        with pytest.raises(
            UserError, match=f"the dictionary has 0 words, too few for 1 numbers of {name}"
        ):
            learn(name, 1, documents)


@pytest.mark.parametrize(("name", "words"), [("tfidf", 3), ("lsi", 0), ("word2vec", 0)])
def test_too_few_words_are_refused(name, words):
    with pytest.raises(
        UserError, match=f"dictionary has {words} words, too few for 4 numbers of {name}"
    ):
        learn(name, 4, [["a", "b", "c"][:words]])


def test_lda_is_the_topic_model(learnt, tmp_path):
    topic_models.save(learnt["lda"].model, tmp_path)
    wanted = topics.TopicModel.load(tmp_path, K).topic_vectors(DOCUMENTS, seed=2)
    np.testing.assert_array_equal(
        embeddings.Lda.load(tmp_path, K).vectors(DOCUMENTS, seed=2), wanted
    )


# -------------------------------------------------------------------------------------- registry
def test_every_embedding_has_a_class_and_one_line_in_the_registry():
    assert embeddings.NAMES == embedding_ranges.NAMES
    assert embeddings.NAMES == ("lda", "lsi", "tfidf", "word2vec", "doc2vec", "fasttext")
    found = {
        name: (
            kind.loss,
            kind.signed,
            kind.bounded_by,
            issubclass(kind, embeddings.LearntEmbedding),
        )
        for name, kind in embeddings.BY_NAME.items()
    }
    signed = ("EuclideanLoss", True, "length", True)
    assert found == {
        "lda": ("SigmoidCrossEntropyLoss", False, "sum", False),
        "lsi": signed,
        "tfidf": ("SigmoidCrossEntropyLoss", False, "length", True),
        "word2vec": signed,
        "doc2vec": signed,
        "fasttext": signed,
    }
    for name, kind in embeddings.BY_NAME.items():
        file = f"ldamodel{K}.lda" if name == "lda" else f"{name}{K}.model"
        assert kind.path(Path("work"), K) == Path("work") / "LDA" / file
