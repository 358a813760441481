"""Dictionary and LDA as one object: loaded together, one vector per text and seed."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import topic_models
from gensim import utils
from gensim.corpora import Dictionary
from gensim.models import LdaModel
from gensim.test.utils import datapath

from texttopicnet import artefacts, parallel, topics
from texttopicnet.errors import UserError
from texttopicnet.topics import TopicModel

SUBJECTS = ["piano violin melody", "football stadium goal", "cannon soldier battle"]
DOCUMENTS = [(subject.split() * (4 + i))[i:] for subject in SUBJECTS for i in range(4)]


def learn(num_topics=3, seed=1, workers=1, documents=DOCUMENTS):
    dictionary = Dictionary(documents)
    bows = [dictionary.doc2bow(d) for d in documents]
    return TopicModel.learn(dictionary, bows, num_topics, passes=5, workers=workers, seed=seed)


@pytest.fixture
def model():
    return learn()


@pytest.fixture
def one_word_a_topic():
    """Three words, three topics: word i is in topic i alone."""
    dictionary = Dictionary([["piano", "goal", "cannon"]])
    model = TopicModel.learn(dictionary, [[(0, 1)]], 3, workers=1)
    order = [dictionary.token2id[word] for word in ("piano", "goal", "cannon")]
    model.lda.expElogbeta = np.eye(3, dtype=np.float32)[order]
    return model


def test_subjects_become_topics(model):
    vectors = model.topic_vectors(DOCUMENTS)
    assert vectors.shape == (12, 3)
    assert vectors.dtype == np.float32
    groups = vectors.argmax(axis=1).reshape(3, 4)
    assert (groups == groups[:, :1]).all()
    assert len(set(groups[:, 0])) == 3
    assert {word for word, _ in model.top_words(groups[0, 0], 3)} == {"piano", "violin", "melody"}


def test_a_saved_model_is_loaded(model, tmp_path):
    topic_models.save(model, tmp_path)
    loaded = TopicModel.load(tmp_path, 3)
    assert loaded.num_topics == 3
    assert loaded.dictionary.token2id == model.dictionary.token2id
    np.testing.assert_array_equal(loaded.lda.get_topics(), model.lda.get_topics())
    np.testing.assert_array_equal(loaded.topic_vectors(DOCUMENTS), model.topic_vectors(DOCUMENTS))


def test_any_gensim_reads_the_files(model, tmp_path):
    topic_models.save(model, tmp_path)
    assert not list(tmp_path.rglob(".tmp-*"))
    dictionary = Dictionary.load(str(tmp_path / "LDA" / "dictionary.dict"))
    lda = LdaModel.load(str(tmp_path / "LDA" / "ldamodel3.lda"))
    (wanted,) = model.topic_vectors([DOCUMENTS[0]])
    found = dict(lda.get_document_topics(dictionary.doc2bow(DOCUMENTS[0])))
    assert [found.get(topic, 0) for topic in range(3)] == pytest.approx(
        wanted.tolist(), abs=1e-3
    )  # its start is random


def test_vectors_by_hand(one_word_a_topic):
    # a topic with n words of its own has gamma alpha + n, the others alpha; alpha = 1/3
    vectors = one_word_a_topic.topic_vectors(
        [["piano"] * 3, ["goal", "goal", "cannon"], [], ["unknown"]]
    )
    third = 1 / 3
    wanted = [
        [(3 + third) / 4, third / 4, third / 4],
        [third / 4, (2 + third) / 4, (1 + third) / 4],
        [third] * 3,
        [third] * 3,
    ]
    np.testing.assert_allclose(vectors, wanted, atol=1e-5)


def test_topics_below_a_hundredth_are_zero_and_the_rest_unchanged(one_word_a_topic):
    # 32 words: (1/3) / 33 = 0.0101 stays; 33 words: (1/3) / 34 = 0.0098 goes, and nothing is made
    # up for it
    stays, goes = one_word_a_topic.topic_vectors([["piano"] * 32, ["piano"] * 33])
    np.testing.assert_allclose(stays, [(32 + 1 / 3) / 33, 1 / 99, 1 / 99], atol=1e-5)
    np.testing.assert_allclose(goes, [(33 + 1 / 3) / 34, 0, 0], atol=1e-5)
    assert goes[1] == goes[2] == 0
    assert goes.sum() < 0.99


def test_an_empty_article_of_many_topics_is_all_zero():
    # every topic has 1/200
    assert learn(num_topics=200).topic_vectors([[]]).tolist() == [[0.0] * 200]


def test_one_vector_per_text_and_seed(model, monkeypatch):
    mixed = DOCUMENTS[0] + DOCUMENTS[4] + DOCUMENTS[9]
    alone = model.topic_vectors([mixed], seed=5)
    among = model.topic_vectors([*DOCUMENTS, mixed, DOCUMENTS[3], mixed], seed=5)
    assert alone[0].tobytes() == among[12].tobytes() == among[14].tobytes()
    monkeypatch.setattr(topics, "BATCH", 2)
    assert model.topic_vectors([*DOCUMENTS, mixed], seed=5).tobytes() == among[:13].tobytes()


def test_vectors_equal_one_gensim_call_per_article():
    """The same start gives the same vectors as `get_document_topics`, the straightforward way."""
    rng = np.random.default_rng(0)
    words = [f"word{i}" for i in range(60)]
    documents = [
        [words[i] for i in rng.integers(0, 60, n) // rng.integers(1, 5)]
        for n in [0, 1, 3, 20, 100, 700] * 20
    ]
    model = learn(num_topics=12, documents=documents)
    vectors = model.topic_vectors(documents, seed=3)
    assert (vectors == 0).any()
    assert (vectors > 0.5).any()
    for tokens, vector in zip(documents, vectors, strict=True):
        model.lda.random_state = topics.OneStart(3, 12)
        wanted = dict(
            model.lda.get_document_topics(
                model.dictionary.doc2bow(tokens), minimum_probability=0.01
            )
        )
        assert set(np.flatnonzero(vector)) == set(wanted)
        assert vector.tolist() == pytest.approx(
            [wanted.get(topic, 0) for topic in range(12)], abs=1e-5
        )


@pytest.mark.parametrize("workers", [1, 2])
def test_vectors_do_not_depend_on_the_workers(model, monkeypatch, workers):
    wanted = model.topic_vectors(DOCUMENTS, seed=5)
    monkeypatch.setattr(topics, "BATCH", 5)
    assert (
        model.topic_vectors(iter(DOCUMENTS), seed=5, workers=workers).tobytes() == wanted.tobytes()
    )
    assert model.topic_vectors([], 5, workers).shape == (0, 3)


def test_the_seed_draws_the_start(model):
    starts = [topics.OneStart(seed, 3).gamma(100.0, 0.01, (4, 3)) for seed in (0, 0, 1)]
    assert (starts[0] == starts[0][0]).all()  # the same for every article
    np.testing.assert_array_equal(starts[0], starts[1])
    assert (starts[0] != starts[2]).all()


def test_inference_leaves_the_models_random_state(model):
    kept = model.lda.random_state
    before = kept.get_state()[1].tolist()
    model.topic_vectors(DOCUMENTS)
    assert model.lda.random_state is kept
    assert kept.get_state()[1].tolist() == before


def test_documents_may_be_a_generator_and_none(model):
    assert model.topic_vectors(iter(DOCUMENTS)).shape == (12, 3)
    assert model.topic_vectors([]).shape == (0, 3)


def test_one_model_per_seed_with_any_number_of_workers(tmp_path):
    models = {"a": learn(seed=1), "b": learn(seed=1, workers=2), "c": learn(seed=2)}
    for name, model in models.items():
        topic_models.save(model, tmp_path / name)
    a, b, c = (
        [p.read_bytes() for p in sorted((tmp_path / name / "LDA").iterdir())] for name in "abc"
    )
    assert a == b
    assert len(a) == 5
    assert a != c


def test_an_executor_and_a_checkpoint_may_be_given(model, tmp_path):
    bows = [model.dictionary.doc2bow(d) for d in DOCUMENTS]
    with parallel.executor(2) as executor:
        given = {"executor": executor, "checkpoint": tmp_path / "checkpoint", "update_every": 1}
        again = TopicModel.learn(model.dictionary, bows, 3, passes=5, seed=1, **given)
    assert again.lda.get_topics().tobytes() == model.lda.get_topics().tobytes()


def test_a_model_that_has_its_own_words_is_used_with_them(model, tmp_path, capsys):
    """The original saved its dictionary before the filter: more words, under other ids than the
    model's.
    """
    topic_models.save(model, tmp_path)
    unfiltered = Dictionary([["accordion", "and", "zither"], *DOCUMENTS])
    unfiltered.save(str(tmp_path / "LDA" / "dictionary.dict"))
    capsys.readouterr()
    loaded = TopicModel.load(tmp_path, 3)
    assert loaded.dictionary.token2id == model.dictionary.token2id != unfiltered.token2id
    np.testing.assert_array_equal(loaded.topic_vectors(DOCUMENTS), model.topic_vectors(DOCUMENTS))
    printed = capsys.readouterr().err
    assert printed.endswith("the model's own 9 words are used, not the dictionary's 12\n")
    assert printed.count("\n") == 1


def test_a_model_without_words_and_another_dictionary_are_refused(model, tmp_path):
    topic_models.save(model, tmp_path)
    lda = LdaModel.load(str(tmp_path / "LDA" / "ldamodel3.lda"))
    lda.id2word = utils.FakeDict(9)
    lda.save(str(tmp_path / "LDA" / "ldamodel3.lda"))
    np.testing.assert_array_equal(
        TopicModel.load(tmp_path, 3).topic_vectors(DOCUMENTS), model.topic_vectors(DOCUMENTS)
    )
    Dictionary([["piano", "violin"]]).save(str(tmp_path / "LDA" / "dictionary.dict"))
    with pytest.raises(
        UserError,
        match=(
            r"dictionary.dict and .*ldamodel3.lda do not belong together: .* 2 words, the model"
            r" 9"
        ),
    ) as e:
        TopicModel.load(tmp_path, 3)
    assert "--force" not in str(e.value)
    assert "another --work folder" in str(e.value)


@pytest.mark.parametrize("side", ["state", "id2word", "expElogbeta.npy"])
def test_a_missing_side_file_is_one_sentence(model, tmp_path, side):
    topic_models.save(model, tmp_path)
    (tmp_path / "LDA" / f"ldamodel3.lda.{side}").unlink()
    with pytest.raises(
        UserError,
        match=rf"ldamodel3.lda.{side} .*belongs to its model|ldamodel3.lda.{side} does not exist",
    ):
        TopicModel.load(tmp_path, 3)


@pytest.mark.parametrize("side", ["", ".state", ".id2word", ".expElogbeta.npy"])
def test_a_cut_file_is_one_sentence(model, tmp_path, side):
    topic_models.save(model, tmp_path)
    path = tmp_path / "LDA" / f"ldamodel3.lda{side}"
    whole = path.read_bytes()
    for length in (0, 1, 40, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"ldamodel3.lda") as caught:
            TopicModel.load(tmp_path, 3)
        assert "\n" not in str(caught.value)
        assert "--force" not in str(caught.value)


@pytest.mark.parametrize("side", [".state", ".expElogbeta.npy"])
def test_a_side_file_of_another_model_is_refused(model, tmp_path, side):
    topic_models.save(model, tmp_path / "a")
    topic_models.save(learn(documents=[[*d, "accordion"] for d in DOCUMENTS]), tmp_path / "b")
    name = f"LDA/ldamodel3.lda{side}"
    (tmp_path / "a" / name).write_bytes((tmp_path / "b" / name).read_bytes())
    with pytest.raises(
        UserError,
        match="files beside it are of different models, or damaged: its 3 topics of 9 words",
    ):
        TopicModel.load(tmp_path / "a", 3)


def test_a_model_of_another_number_of_topics_is_refused(model, tmp_path):
    topic_models.save(model, tmp_path)
    for path in (tmp_path / "LDA").glob("ldamodel3.lda*"):
        path.rename(path.with_name(path.name.replace("3", "4", 1)))
    with pytest.raises(
        UserError, match=r"ldamodel4.lda is a model of 3 topics, not of 4: see --topics"
    ):
        TopicModel.load(tmp_path, 4)


# ------------------------------------------------------------------------------- gensim's old files
# gensim ships models that its early versions saved: a dozen words, two topics, learnt from
# the nine titles of Deerwester
OLD = {
    "pre_0_13_2_model": 0.01,
    "ldamodel_python_2_7": 0.01,
    "ldamodel_python_3_5": 0.01,
    "lda_3_0_1_model": 0.01,
}


@pytest.mark.parametrize("name", OLD)
def test_models_of_early_versions_are_read(tmp_path, name, capsys):
    """Python 2 wrote the first two; the first has no random state, no dtype, and its words inside
    the model.
    """
    (tmp_path / "LDA").mkdir()
    for path in Path(datapath(name)).parent.glob(f"{name}*"):
        shutil.copy(path, tmp_path / "LDA" / path.name.replace(name, "ldamodel2.lda"))
    Dictionary([["an", "unfiltered", "system"]]).save(str(tmp_path / artefacts.DICTIONARY))
    loaded = TopicModel.load(tmp_path, 2)
    assert "the model's own 12 words are used" in capsys.readouterr().err
    assert {"graph", "trees", "user", "system", "human"} < set(loaded.dictionary.token2id)
    assert loaded.lda.minimum_probability == OLD[name]
    assert loaded.lda.per_word_topics is False
    texts = [["graph", "trees", "minors"] * 3, ["user", "system", "human", "interface"] * 3, []]
    vectors = loaded.topic_vectors(texts)
    np.testing.assert_allclose(vectors.sum(axis=1), 1, atol=1e-5)
    assert vectors[0].argmax() != vectors[1].argmax()
    np.testing.assert_allclose(vectors[2], 0.5, atol=1e-6)  # alpha is 1/2 for each
    loaded.lda.random_state = topics.OneStart(0, 2)
    for tokens, vector in zip(texts, vectors, strict=True):  # as gensim itself infers
        wanted = dict(
            loaded.lda.get_document_topics(
                loaded.dictionary.doc2bow(tokens), minimum_probability=0.01
            )
        )
        assert vector.tolist() == pytest.approx(
            [wanted.get(topic, 0) for topic in range(2)], abs=1e-5
        )
    assert len(loaded.top_words(0, 3)) == 3


BYTES = """
import sys, hashlib, pathlib
sys.path.insert(0, "tests")
import test_topics as t
work = pathlib.Path(sys.argv[1])
t.topic_models.save(t.learn(seed=4), work)
for path in sorted((work / "LDA").iterdir()):
    print(path.name, hashlib.sha256(path.read_bytes()).hexdigest())
"""


def test_same_seed_same_bytes_with_any_hash_seed(printed_with_hash_seed):
    printed = [printed_with_hash_seed(BYTES, seed) for seed in ("1", "2", "3")]
    assert printed[0] == printed[1] == printed[2]
    assert len(printed[0].splitlines()) == 5


def test_missing_files_name_the_command(model, tmp_path):
    with pytest.raises(
        UserError, match=r"dictionary.dict does not exist: .*learn_LDA_model.py --topics 3"
    ):
        TopicModel.load(tmp_path, 3)
    topic_models.save(model, tmp_path)
    with pytest.raises(
        UserError, match=r"ldamodel7.lda does not exist: .*learn_LDA_model.py --topics 7"
    ):
        TopicModel.load(tmp_path, 7)


@pytest.mark.parametrize("name", ["dictionary.dict", "ldamodel3.lda"])
def test_broken_files_are_named(model, tmp_path, name):
    topic_models.save(model, tmp_path)
    (tmp_path / "LDA" / name).write_bytes(b"nothing of gensim's")
    with pytest.raises(UserError, match=f"{name} is damaged or is not a pickle") as caught:
        TopicModel.load(tmp_path, 3)
    assert "\n" not in str(caught.value)


def test_files_have_the_artefacts_names(model, tmp_path):
    topic_models.save(model, tmp_path)
    assert (tmp_path / artefacts.DICTIONARY).is_file()
    assert (tmp_path / artefacts.lda_model(3)).is_file()


def test_perplexity_by_hand(model_of):
    """One topic: the words' probabilities are 1/2, 1/4, 1/8, and the perplexity 2 to the mean
    number of bits.
    """
    model = model_of([[1 / 2, 1 / 4, 1 / 8, 1 / 8]], ["a", "b", "c", "d"])
    documents = [model.dictionary.doc2bow(tokens) for tokens in (["a", "a", "b"], ["c"])]
    assert model.perplexity(documents) == pytest.approx(2 ** ((1 + 1 + 2 + 3) / 4), rel=1e-4)
    assert model.perplexity(documents[1:]) == pytest.approx(8, rel=1e-4)


def test_perplexity_sees_what_a_document_is_about(model_of):
    """Long documents of one topic's two words: 2; of two topics' words: as unsure as between all
    four words.
    """
    sure = model_of([[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]], ["a", "b", "c", "d"])
    documents = [[(0, 500), (1, 500)], [(2, 500), (3, 500)]]
    assert sure.perplexity(documents) == pytest.approx(2, rel=0.02)
    crossed = model_of([[0.5, 0, 0.5, 0], [0, 0.5, 0, 0.5]], ["a", "b", "c", "d"])
    assert crossed.perplexity(documents) == pytest.approx(4, rel=0.02)


def test_unused_topics_do_not_change_perplexity(model_of):
    """Twenty more topics that no document needs make gensim's own number explode, but not ours."""
    words = list("abcdefgh")
    useful = [[0.25] * 4 + [0] * 4, [0] * 4 + [0.25] * 4]
    few, many = model_of(useful, words), model_of(useful + [[0.125] * 8] * 20, words)
    documents = [[(i, 50) for i in range(4)], [(i, 50) for i in range(4, 8)]]
    assert many.perplexity(documents) == pytest.approx(few.perplexity(documents), rel=0.05)
    own = [2 ** -model.lda.log_perplexity(documents) for model in (few, many)]
    assert own[1] > 1.2 * own[0]


def test_perplexity_is_the_same_every_time(model_of):
    model = model_of([[0.7, 0.2, 0.1], [0.1, 0.2, 0.7]], ["a", "b", "c"])
    documents = [[(0, 2), (1, 3), (2, 1)]]
    assert model.perplexity(documents) == model.perplexity(documents)


def test_perplexity_leaves_the_model_as_it_was(model):
    """Its random state is saved along with a model: same seed, same bytes."""
    kept = model.lda.random_state
    before = kept.get_state()[1].copy()
    model.perplexity([[(0, 1)]])
    assert model.lda.random_state is kept
    assert (kept.get_state()[1] == before).all()
