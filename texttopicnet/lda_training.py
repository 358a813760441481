"""LDA training by several processes or a Dask cluster: one model a seed, and a killed run goes on.

The training is gensim's: its `LdaModel.update` reads the corpus in chunks, hands them to a
dispatcher as in its distributed mode, and does the M-steps; its `LdaModel.inference` makes the
sufficient statistics.  The dispatcher here gives each piece of a chunk the random numbers that it
would have got in one process, and adds up what comes back in the order of the corpus.  So the model
depends neither on the number of processes nor on which is faster, and is that of a plain
``LdaModel(update_every=...)`` up to the order of floating-point sums.
"""

import collections
import copy
import functools
import hashlib
import itertools
import json
import sys
import time

import gensim
import numpy as np
from gensim.models import LdaModel
from gensim.models.ldamodel import LdaState
from threadpoolctl import ThreadpoolController
from tqdm import tqdm

from texttopicnet import atomic_files, parallel

CHUNK = 2000  # documents, gensim's
PIECE = 250  # documents that a process infers at once; three chunks are work for 24 processes


def learn(
    dictionary,
    corpus,
    num_topics=40,
    passes=1,
    seed=0,
    update_every=3,
    executor=None,
    checkpoint=None,
    seconds=60,
    chunk=CHUNK,
):
    """Train LDA with gensim's defaults (alpha and eta 1/num_topics, online updates).

    Parameters
    ----------
    dictionary : gensim.corpora.Dictionary
    corpus : iterable of bag of words, with a length
        Gone through `passes` times, and its first chunk once more if there is a `checkpoint`.
    num_topics, passes : int
    seed : int
    update_every : int
        Chunks between two M-steps (gensim's name); 3 is what the original's LdaMulticore does with
        3 workers.
    executor : what `parallel.executor` yields, optional
        Where documents are inferred; the model does not depend on it, to the bit.
    checkpoint : Path, optional
        Where the state of the training is written after the first M-step that ends `seconds` after
        the last writing.  A later call with the same arguments goes on from there and gives the
        model of an uninterrupted one, to the bit.  The file is left there: whoever has saved the
        model removes it.
    seconds : float
    chunk : int
        Documents in a chunk.

    Returns
    -------
    gensim.models.LdaModel
        As after gensim's own training.

    Raises
    ------
    UserError
        A process was killed, or the cluster lost.
    """
    lda = LdaModel(
        id2word=dictionary,
        num_topics=num_topics,
        passes=passes,
        random_state=seed,
        chunksize=chunk,
        update_every=update_every,
        eval_every=None,
    )
    checkpoint = checkpoint and _Checkpoint(checkpoint, seconds, lda, corpus, seed)
    start = checkpoint.start if checkpoint else (0, 0)
    documents = _Documents(corpus, start)
    done = start[0] * len(corpus) + start[1]
    with tqdm(desc="topics", unit="document", total=passes * len(corpus), initial=done) as bar:
        training = _Training(lda, documents, executor or parallel.Here(), checkpoint, bar)
        lda.dispatcher, lda.do_mstep = training, training.do_mstep
        with _one_blas_thread():
            lda.update(documents)
    lda.dispatcher = None
    del lda.do_mstep
    return lda


class _Documents:
    """The corpus as gensim reads it; what is before `start`, a pass and documents of it, is empty,
    and not read if a whole pass.

    `at` is the pass and the number of its documents that were read.
    """

    def __init__(self, corpus, start):
        self.corpus, self.start = corpus, start
        self.at = (-1, 0)

    def __len__(self):
        return len(self.corpus)

    def __iter__(self):
        number = self.at[0] + 1
        known = (
            0 if number > self.start[0] else self.start[1] if number == self.start[0] else len(self)
        )
        rest = itertools.islice(self.corpus, known, None) if known < len(self) else ()
        for read, document in enumerate(itertools.chain(itertools.repeat([], known), rest), 1):
            self.at = number, read
            yield document


class _Training:
    """The dispatcher that `LdaModel.update` talks to (`reset`, `putjob`, `getstate`), and its
    M-step.

    Up to the checkpoint that is gone on from, neither does anything: gensim's own loop counts.
    """

    def __init__(self, lda, documents, executor, checkpoint, bar):
        self.lda, self.documents, self.executor, self.checkpoint, self.bar = (
            lda,
            documents,
            executor,
            checkpoint,
            bar,
        )
        self.pending = (
            collections.deque()
        )  # (future, words, number of documents), in the order of the corpus

    def reset(self, state):
        self.state = LdaState(state.eta, state.sstats.shape, state.dtype)

    def putjob(self, chunk):
        if self.documents.at <= self.documents.start:
            return
        for piece in parallel.in_groups(chunk, PIECE):
            ids, counts, ends = _packed(piece)
            words, ids = np.unique(ids, return_inverse=True)
            model = self._model_of(words)
            self.lda.random_state.gamma(
                100.0, 1.0 / 100.0, (len(piece), self.lda.num_topics)
            )  # what inference draws
            self.pending.append(
                (self.executor.submit(_sstats, model, ids, counts, ends), words, len(piece))
            )
            while len(self.pending) > parallel.AHEAD * self.executor.size:
                self._merge()

    def _model_of(self, words):
        """What inference reads of the model: the columns of these words alone, and the random
        state.
        """
        model = copy.copy(self.lda)
        vars(model).update(dict.fromkeys(("state", "id2word", "eta", "dispatcher", "do_mstep")))
        model.expElogbeta = np.take(self.lda.expElogbeta, words, axis=1)
        model.random_state = copy.deepcopy(self.lda.random_state)
        return model

    def _merge(self):
        future, words, count = self.pending.popleft()
        self.state.sstats[:, words] += self.executor.result(future)
        self.state.numdocs += count
        self.bar.update(count)

    def getstate(self):
        while self.pending:
            self._merge()
        return self.state

    def do_mstep(self, rho, other, extra_pass=False):
        at, start = self.documents.at, self.documents.start
        if at == start:
            self.checkpoint.restore(self.lda)
        elif at > start:
            LdaModel.do_mstep(self.lda, rho, other, extra_pass)
            if self.checkpoint:
                self.checkpoint.write_if_due(self.lda, at)


def _packed(documents):
    """Bags of words as (ids, counts, ends): a fraction of the bytes of lists of tuples."""
    ends = np.cumsum([len(document) for document in documents])
    numbers = itertools.chain.from_iterable(itertools.chain.from_iterable(documents))
    table = np.fromiter(numbers, np.float64, 2 * ends[-1]).reshape(-1, 2)
    return table[:, 0].astype(np.int32), table[:, 1].astype(np.float32), ends


def _sstats(model, ids, counts, ends):
    """Sufficient statistics of packed documents, float32 of shape (num_topics, words of the model)."""
    # for good: a worker is one core's, and threads of a Dask worker share the limit
    _one_blas_thread()
    words = list(zip(ids.tolist(), counts.tolist(), strict=True))
    documents = [words[first:end] for first, end in itertools.pairwise([0, *ends.tolist()])]
    return model.inference(documents, collect_sstats=True)[1]


@functools.cache
def _libraries():
    return ThreadpoolController()


def _one_blas_thread():
    """Sets the limit; as a context manager, takes it back.  A sum that is split over threads would
    be another sum.
    """
    return _libraries().limit(limits=1, user_api="blas")


class _Checkpoint:
    """The file; `start` is the pass and the number of its documents that it stands for, (0, 0) if
    there is none of this run.
    """

    def __init__(self, path, seconds, lda, corpus, seed):
        self.path, self.seconds, self.written = path, seconds, time.monotonic()
        self.run = _description(lda, corpus, seed)
        self.start, self.saved = (0, 0), None
        try:
            with np.load(path, allow_pickle=False) as file:
                saved = dict(file)
            about = json.loads(str(saved["about"]))
            if about["run"] != self.run:
                print(
                    f"{path} is of another corpus or other settings: learning from the beginning",
                    file=sys.stderr,
                )
                return
            self.start, self.saved = tuple(about["at"]), (saved, about)
            trial = copy.copy(
                lda
            )  # what does not fit fails here, not in the middle of the training
            trial.state, trial.random_state = (
                copy.deepcopy(lda.state),
                copy.deepcopy(lda.random_state),
            )
            self.restore(trial)
        except FileNotFoundError:
            return
        except Exception as error:  # a damaged archive fails in many ways
            self.start, self.saved = (0, 0), None
            print(
                f"{path} is not a checkpoint ({error}): learning from the beginning",
                file=sys.stderr,
            )
            return
        print(
            f"{path}: resuming after document {self.start[1]} of pass {self.start[0] + 1}",
            file=sys.stderr,
        )

    def restore(self, lda):
        """Put what was saved into a model; ValueError and others where it does not fit."""
        saved, about = self.saved
        sstats, (number, documents) = saved["sstats"], self.start
        position, *_ = about["random"]
        if (
            not 0 <= position <= 624
            or sstats.shape != lda.state.sstats.shape
            or not np.isfinite(sstats).all()
            or min(number, documents) < 0
        ):
            raise ValueError("its numbers do not fit the model")
        lda.state.sstats[...] = saved["sstats"]
        lda.sync_state()
        lda.num_updates = about["num_updates"]
        lda.random_state.set_state(("MT19937", saved["random_key"], *about["random"]))

    def write_if_due(self, lda, at):
        if time.monotonic() - self.written < self.seconds:
            return
        _, random_key, *random = lda.random_state.get_state()
        about = {"run": self.run, "at": at, "num_updates": lda.num_updates, "random": random}
        with atomic_files.written_whole(self.path) as temporary, open(temporary, "wb") as file:
            np.savez(file, about=json.dumps(about), sstats=lda.state.sstats, random_key=random_key)
        self.written = time.monotonic()


def _description(lda, corpus, seed):
    """What two runs must have in common so that one can go on with the other's state."""
    dictionary = lda.id2word
    digest = hashlib.sha256(
        json.dumps([dictionary.token2id, dictionary.dfs], sort_keys=True).encode()
    )
    for array in _packed([[], *itertools.islice(corpus, lda.chunksize)]):
        digest.update(array)
    return {
        **{
            name: getattr(lda, name)
            for name in ("num_topics", "passes", "chunksize", "update_every")
        },
        "seed": seed,
        "piece": PIECE,
        "documents": len(corpus),
        "counts": getattr(corpus, "num_nnz", None),
        "words and first chunk": digest.hexdigest(),
        "made_from": getattr(dictionary, "made_from", None),
        "versions": [gensim.__version__, np.__version__],
    }
