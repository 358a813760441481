"""LDA training: gensim's model, the same with any number of processes and after a kill."""

import itertools
import json
import multiprocessing
import os
import signal
import threading
import time

import numpy as np
import pytest
import topic_models
from gensim.corpora import Dictionary
from gensim.models import LdaModel
from threadpoolctl import ThreadpoolController, threadpool_info, threadpool_limits

from texttopicnet import lda_checkpoint, lda_training, parallel
from texttopicnet.errors import UserError
from texttopicnet.topics import TopicModel

CHUNK = 40  # 190 documents: 5 chunks, updates after the 2nd, the 4th and at the pass's end
ARGUMENTS = {"num_topics": 5, "passes": 3, "seed": 4, "update_every": 2, "chunk": CHUNK}


def corpus_of(count=190):
    rng = np.random.default_rng(0)
    documents = [
        [f"word{i}" for i in 12 * (n % 5) + rng.integers(0, 20, rng.integers(0, 60))]
        for n in range(count)
    ]
    dictionary = Dictionary(documents)
    return dictionary, [dictionary.doc2bow(document) for document in documents]


@pytest.fixture(scope="module")
def corpus():
    return corpus_of()


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(lda_training, "PIECE", 15)


def learn(corpus, workers=1, **changes):
    with parallel.executor(workers) as executor:
        return lda_training.learn(*corpus, executor=executor, **ARGUMENTS | changes)


@pytest.fixture(scope="module")
def uninterrupted(corpus):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lda_training, "PIECE", 15)
        return learn(corpus)


def gensims(corpus, passes=3, seed=4, num_topics=5):
    dictionary, bows = corpus
    return LdaModel(
        bows,
        id2word=dictionary,
        num_topics=num_topics,
        passes=passes,
        random_state=seed,
        chunksize=CHUNK,
        update_every=2,
        eval_every=None,
    )


def assert_same(lda, other, folder):
    """Every byte of the files except gensim's log of times."""
    files = []
    for name, model in {"lda": lda, "other": other}.items():
        topic_models.save(TopicModel(model.id2word, model), folder / name)
        files.append({path.name: path.read_bytes() for path in (folder / name / "LDA").iterdir()})
    assert files[0] == files[1]
    assert "ldamodel5.lda.state" in files[0]


class Watched:
    """A corpus that counts how many of its documents are read, and calls `at` after `number` of
    them.
    """

    def __init__(self, corpus, number=None, at=None):
        self.corpus, self.number, self.at, self.read = corpus, number, at, 0

    def __len__(self):
        return len(self.corpus)

    def __iter__(self):
        for document in self.corpus:
            self.read += 1
            if self.read == self.number:
                self.at()
            yield document


def test_a_chunk_as_one_piece_is_gensims_model_to_the_bit(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(lda_training, "PIECE", CHUNK)
    assert_same(learn(corpus, compiled=False), gensims(corpus), tmp_path)


def test_more_topics_than_gensim_logs(corpus, monkeypatch):
    """gensim's M-step draws random numbers to choose the 5 topics that it logs."""
    monkeypatch.setattr(lda_training, "PIECE", CHUNK)
    lda, wanted = learn(corpus, num_topics=7, compiled=False), gensims(corpus, num_topics=7)
    np.testing.assert_array_equal(lda.get_topics(), wanted.get_topics())
    lda = learn(corpus, num_topics=7)
    np.testing.assert_allclose(lda.get_topics(), wanted.get_topics(), atol=1e-5)


@pytest.mark.parametrize("piece", [15, CHUNK])
@pytest.mark.parametrize("compiled", [False, True])
def test_it_is_gensims_model_up_to_rounding(corpus, monkeypatch, piece, compiled):
    monkeypatch.setattr(lda_training, "PIECE", piece)
    lda, wanted = learn(corpus, compiled=compiled), gensims(corpus)
    np.testing.assert_allclose(lda.state.sstats, wanted.state.sstats, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(lda.get_topics(), wanted.get_topics(), atol=1e-5)
    assert lda.num_updates == wanted.num_updates == 190
    assert lda.state.numdocs == 190
    np.testing.assert_array_equal(
        lda.random_state.get_state()[1], wanted.random_state.get_state()[1]
    )
    assert lda.get_topics().max() > 0.04  # something was learnt of 68 words


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_twenty_passes_in_compiled_code_are_gensims_model(corpus, seed):
    lda = learn(corpus, passes=20, seed=seed).get_topics()
    np.testing.assert_allclose(lda, gensims(corpus, passes=20, seed=seed).get_topics(), atol=1e-5)


def test_the_default_is_compiled_code(corpus, uninterrupted):
    """The two differ in rounding, and so in some bytes."""
    compiled, gensims_step = (learn(corpus, compiled=each) for each in (True, False))
    topics = uninterrupted.get_topics().tobytes()
    assert topics == compiled.get_topics().tobytes()
    assert topics != gensims_step.get_topics().tobytes()


def test_a_checkpoint_of_the_other_code_is_not_resumed(corpus, tmp_path, capsys):
    given = {"checkpoint": tmp_path / "checkpoint", "seconds": 0}
    learn(corpus, compiled=False, **given)
    capsys.readouterr()
    learn(corpus, **given)
    assert "other settings: learning from the beginning" in capsys.readouterr().err


@pytest.mark.parametrize("compiled", [False, True])
def test_the_model_does_not_depend_on_the_processes(corpus, tmp_path, compiled):
    alone = learn(corpus, compiled=compiled)
    assert_same(learn(corpus, workers=2, compiled=compiled), alone, tmp_path)


def test_the_returned_model_is_gensims_and_can_continue_learning(corpus, uninterrupted, tmp_path):
    uninterrupted.save(str(tmp_path / "lda"))
    lda = LdaModel.load(str(tmp_path / "lda"))
    assert type(uninterrupted) is type(lda) is LdaModel
    before = lda.get_topics()
    lda.update(corpus[1][:20])
    assert (lda.get_topics() != before).any()


class Counting(parallel.Here):
    """An executor of two processes that works when a result is requested, and notes what is
    waiting.
    """

    size = 2

    def __init__(self):
        self.waiting, self.most, self.threads = 0, 0, set()

    def submit(self, function, *arguments):
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        return function, arguments

    def result(self, future):
        self.waiting -= 1
        function, arguments = future
        self.threads |= {
            library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"
        }
        return function(*arguments)


def test_each_training_looks_for_blas_again(corpus, monkeypatch):
    """A library that is loaded between two trainings is limited in the second one, too."""
    lda_training._libraries()
    looked = []
    monkeypatch.setattr(
        lda_training, "ThreadpoolController", lambda: looked.append(1) or ThreadpoolController()
    )
    learn(corpus, passes=1)
    assert looked == [1]


def test_few_pieces_wait_and_blas_has_one_thread(corpus, monkeypatch):
    monkeypatch.setattr(lda_training, "PIECE", 4)
    executor = Counting()
    with threadpool_limits(limits=2, user_api="blas"):
        lda = lda_training.learn(
            *corpus, executor=executor, **ARGUMENTS | {"update_every": 50, "passes": 1}
        )
        after = {
            library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"
        }
    assert executor.most == parallel.AHEAD * 2 + 1
    assert executor.waiting == 0
    assert executor.threads == {1}
    assert after == {2}
    assert lda.num_updates == 190


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("killed_at", "read"),
    [
        (50, 3 * 190),  # before the first update: there is nothing to resume from
        (81, 3 * 190),  # after it: its 80 documents are read again, but not inferred
        (190 + 130, 2 * 190),
        (2 * 190 + 1, 190),
        (3 * 190, 190),
    ],
)
def test_after_a_kill_the_second_run_gives_the_same_bytes(
    corpus, uninterrupted, tmp_path, capsys, killed_at, read, workers
):
    dictionary, bows = corpus
    checkpoint = tmp_path / "checkpoint"
    given = {"workers": workers, "checkpoint": checkpoint, "seconds": 0}
    first_chunk = CHUNK  # read to tell one corpus from another
    killed = Watched(bows, first_chunk + killed_at, kill)
    process = multiprocessing.get_context("fork").Process(
        target=learn, args=((dictionary, killed),), kwargs=given
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    capsys.readouterr()
    again = Watched(bows)
    lda = learn((dictionary, again), **given)
    assert again.read == first_chunk + read
    assert ("resuming after document" in capsys.readouterr().err) == (killed_at > 80)
    assert checkpoint.is_file()  # until the model is saved
    assert_same(lda, uninterrupted, tmp_path)


def test_after_the_last_update_nothing_is_learnt_again(
    corpus, uninterrupted, tmp_path, monkeypatch
):
    given = {"checkpoint": tmp_path / "checkpoint", "seconds": 0}
    assert_same(learn(corpus, **given), uninterrupted, tmp_path / "first")
    monkeypatch.setattr(lda_training, "_sstats", None)
    assert_same(learn(corpus, **given), uninterrupted, tmp_path / "second")


def test_a_killed_worker_is_one_sentence_and_the_run_can_be_resumed(corpus, tmp_path, capsys):
    """gensim's E-step works in processes, because it holds Python's lock."""
    dictionary, bows = corpus
    given = {"workers": 2, "compiled": False, "checkpoint": tmp_path / "checkpoint", "seconds": 0}
    before = set(multiprocessing.active_children())  # joblib's workers of earlier tests

    def kill_worker():
        worker = min(set(multiprocessing.active_children()) - before, key=lambda p: p.pid)
        worker.kill()
        worker.join()
        while set(multiprocessing.active_children()) - before:  # the broken pool ends the others
            time.sleep(0.01)

    killed = Watched(bows, CHUNK + 190 + 100, kill_worker)
    with pytest.raises(UserError, match=r"a worker process was killed .*: start again"):
        learn((dictionary, killed), **given)
    assert_same(learn(corpus, **given), learn(corpus, compiled=False), tmp_path)
    assert "checkpoint: resuming after document " in capsys.readouterr().err


def test_compiled_code_works_in_threads_of_this_process(corpus, uninterrupted, monkeypatch):
    """As many as there are workers, and no more once the training is over."""
    sstats, seen = lda_training._sstats, set()

    def note(*arguments):
        seen.add((os.getpid(), threading.current_thread() is threading.main_thread()))
        return sstats(*arguments)

    monkeypatch.setattr(lda_training, "_sstats", note)
    before, children = threading.active_count(), multiprocessing.active_children()
    lda = learn(corpus, workers=2)
    assert seen == {(os.getpid(), False)}
    assert threading.active_count() == before
    assert multiprocessing.active_children() == children
    assert lda.get_topics().tobytes() == uninterrupted.get_topics().tobytes()


@pytest.mark.parametrize("workers", [1, 2])
def test_documents_are_inferred_while_others_of_their_chunk_are_read(corpus, monkeypatch, workers):
    """Pieces of 15 documents end where chunks of 40 do."""
    submitted = []
    infer = lda_training._Training._infer

    def note(training):
        submitted.append((training.documents.at[1], len(training.piece)))
        infer(training)

    monkeypatch.setattr(lda_training._Training, "_infer", note)
    learn(corpus, workers=workers, passes=1)
    assert submitted[:4] == [(15, 15), (30, 15), (40, 10), (55, 15)]
    assert submitted[-2:] == [(175, 15), (190, 15)]


def test_an_error_in_a_thread_and_ctrl_c_end_the_threads(corpus, monkeypatch):
    before = threading.active_count()

    def fail(*_):
        raise ZeroDivisionError("in the thread")

    def interrupt():
        raise KeyboardInterrupt

    dictionary, bows = corpus
    with pytest.raises(KeyboardInterrupt):
        learn((dictionary, Watched(bows, 100, interrupt)), workers=2)
    assert threading.active_count() == before
    monkeypatch.setattr(lda_training, "_sstats", fail)
    with pytest.raises(ZeroDivisionError, match="in the thread"):
        learn(corpus, workers=2)
    assert threading.active_count() == before


def test_a_checkpoint_is_written_when_the_seconds_are_over(corpus, tmp_path, monkeypatch):
    clock = itertools.count(step=25)  # one look per update
    monkeypatch.setattr(lda_checkpoint.time, "monotonic", lambda: next(clock))
    written = []
    monkeypatch.setattr(
        lda_checkpoint.np, "savez", lambda file, **arrays: written.append(arrays["about"])
    )
    learn(corpus, checkpoint=tmp_path / "checkpoint", seconds=60)
    # looks at 25, 50, 75 (written at 100), 125, 150, 175 (written at 200), 225, 250, 275
    assert ['"at": [0, 190]' in about for about in written] == [True, False, False]
    assert ['"at": [1, 190]' in about for about in written] == [False, True, False]


@pytest.mark.parametrize(
    "changes", [{"seed": 5}, {"passes": 2}, {"num_topics": 6}, {"update_every": 1}, {"chunk": 30}]
)
def test_a_checkpoint_of_other_settings_is_reported_and_ignored(corpus, tmp_path, capsys, changes):
    given = {"checkpoint": tmp_path / "checkpoint", "seconds": 0}
    learn(corpus, **given)
    lda = learn(corpus, **given, **changes)
    assert (
        "checkpoint is of another corpus or other settings: learning from the beginning"
        in capsys.readouterr().err
    )
    assert lda.get_topics().tobytes() == learn(corpus, **changes).get_topics().tobytes()


@pytest.mark.parametrize(
    "other",
    [
        lambda dictionary, bows: (dictionary, bows[1:]),
        lambda dictionary, bows: (dictionary, [bows[1], bows[0], *bows[2:]]),
        lambda dictionary, bows: (
            Dictionary([["other", *(w for w in dictionary.token2id if w != "word0")]]),
            bows,
        ),
    ],
)
def test_a_checkpoint_of_another_corpus_is_reported_and_ignored(corpus, tmp_path, capsys, other):
    given = {"checkpoint": tmp_path / "checkpoint", "seconds": 0}
    learn(corpus, **given)
    learn(other(*corpus), **given)
    assert "checkpoint is of another corpus or other settings" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04 cut off"])
def test_a_broken_checkpoint_is_reported_and_ignored(
    corpus, uninterrupted, tmp_path, capsys, content
):
    (tmp_path / "checkpoint").write_bytes(content)
    lda = learn(corpus, checkpoint=tmp_path / "checkpoint")
    assert "checkpoint is not a checkpoint (" in capsys.readouterr().err
    assert_same(lda, uninterrupted, tmp_path)


def spoilt(**changes):
    """Changes to a checkpoint's arrays and to its description."""

    def spoil(arrays):
        about = json.loads(str(arrays["about"]))
        for name, value in changes.items():
            holder = arrays if name in arrays else about
            holder.pop(name) if value is None else holder.update({name: value})
        return arrays | {"about": json.dumps(about)}

    return spoil


@pytest.mark.parametrize(
    "spoil",
    [
        spoilt(sstats=None),
        spoilt(sstats=np.zeros((5, 3), np.float32)),
        spoilt(sstats=np.full((5, 200), np.nan, np.float32)),
        spoilt(random_key=np.zeros(3, np.uint32)),
        spoilt(random=[10**6, 0, 0.0]),
        spoilt(random=None),
        spoilt(at=[-1, 0]),
        spoilt(at=None),
        spoilt(run=None),
        spoilt(num_updates=None),
        lambda arrays: arrays | {"about": "[]"},
        lambda arrays: arrays | {"about": "no JSON"},
        lambda arrays: arrays | {"sstats": np.array([{}], object)},  # a pickle
    ],
)
def test_a_checkpoint_that_does_not_fit_is_reported_and_ignored(
    corpus, uninterrupted, tmp_path, capsys, spoil
):
    path = tmp_path / "checkpoint"
    learn(corpus, checkpoint=path, seconds=0)
    with np.load(path) as file:
        arrays = spoil(dict(file))
    with open(path, "wb") as file:
        np.savez(file, **arrays)
    capsys.readouterr()
    lda = learn(corpus, checkpoint=path)
    assert "checkpoint is not a checkpoint (" in capsys.readouterr().err
    assert_same(lda, uninterrupted, tmp_path)


def test_progress_counts_documents_of_all_passes(corpus, tmp_path, capsys):
    learn(corpus, checkpoint=tmp_path / "checkpoint", seconds=0)
    assert "570/570" in capsys.readouterr().err
