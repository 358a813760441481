"""LDA training by several processes or a Dask cluster: one model per seed, and a killed run can be
resumed.

The training is gensim's.  Its `LdaModel.update` reads the corpus in chunks, gives them to a
dispatcher as in its distributed mode, and does the M-steps.  The compiled
`texttopicnet.inference`, or gensim's own `LdaModel.inference` if the caller asks for it, computes
the sufficient statistics.  The dispatcher here gives each piece of a chunk the random numbers that
it would have got in one process, and adds the results in the order of the corpus.  So the model
depends neither on the number of processes nor on their speed.  It is the model of a plain
``LdaModel(update_every=...)``, up to the order of floating-point sums.
"""

from __future__ import annotations

import collections
import copy
import functools
import hashlib
import itertools
import json
import sys
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from operator import itemgetter
from pathlib import Path
from typing import Any

import gensim
import numpy as np
from gensim.corpora import Dictionary
from gensim.models import LdaModel
from gensim.models.ldamodel import LdaState
from threadpoolctl import ThreadpoolController
from tqdm import tqdm

from texttopicnet import atomic_files, inference, parallel

FROM_THE_BEGINNING = "learning from the beginning"
CHUNK = 2000  # documents, gensim's
PIECE = 250  # documents that a process infers at once; three chunks keep 24 processes busy
Bow = Sequence[tuple[int, float]]


def learn(
    dictionary: Dictionary,
    corpus: Collection[Bow],
    num_topics: int = 40,
    passes: int = 1,
    seed: int = 0,
    update_every: int = 3,
    executor: parallel.Executor | None = None,
    checkpoint: Path | None = None,
    seconds: float = 60,
    chunk: int = CHUNK,
    compiled: bool = True,
) -> LdaModel:
    """Train LDA with gensim's defaults (alpha and eta 1/num_topics, online updates).

    Parameters
    ----------
    dictionary : gensim.corpora.Dictionary
    corpus : iterable of bag of words, with a length
        Read `passes` times, and its first chunk once more if there is a `checkpoint`.
    num_topics, passes : int
    seed : int
    update_every : int
        Chunks between two M-steps (gensim's name); 3 for the 3 workers of the original's
        LdaMulticore.
    executor : what `parallel.executor` yields, optional
        Where documents are inferred; the model does not depend on it, to the bit.
    checkpoint : Path, optional
        The file of the training's state, written after the first M-step that ends `seconds` after
        the last writing.  A later call with the same arguments resumes from it and gives the model
        of an uninterrupted one, to the bit.  The file stays: remove it once the model is saved.
    seconds : float
    chunk : int
        Documents in a chunk.
    compiled : bool
        Infer in compiled code; False for gensim's own E-step, which gives the same model up to
        rounding and takes several times as long.

    Returns
    -------
    gensim.models.LdaModel
        In the state in which gensim's own training leaves it.

    Raises
    ------
    UserError
        A process was killed, or the connection to the cluster was lost.
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
    checkpoint = checkpoint and _Checkpoint(checkpoint, seconds, lda, corpus, seed, compiled)
    start = checkpoint.start if checkpoint else (0, 0)
    if compiled:  # here, so that the processes need not
        inference.gammas(lda, [], np.ones(num_topics))
    documents = _Documents(corpus, start)
    done = start[0] * len(corpus) + start[1]
    with tqdm(desc="topics", unit="document", total=passes * len(corpus), initial=done) as bar:
        training = _Training(lda, documents, executor or parallel.Here(), checkpoint, bar, compiled)
        lda.dispatcher, lda.do_mstep = training, training.do_mstep
        _libraries.cache_clear()  # a BLAS may have been loaded since the last training
        with _one_blas_thread():
            lda.update(documents)
    lda.dispatcher = None
    del lda.do_mstep
    return lda


class _Documents:
    """The corpus as gensim reads it, with empty documents before `start`.

    `start` is a pass and a number of its documents; passes before it are not read at all.  `at` is
    the current pass and the number of its documents that were read.
    """

    def __init__(self, corpus: Collection[Bow], start: tuple[int, int]) -> None:
        self.corpus, self.start = corpus, start
        self.at = (-1, 0)

    def __len__(self) -> int:
        return len(self.corpus)

    def __iter__(self) -> Iterator[Bow]:
        number = self.at[0] + 1
        known = (
            0 if number > self.start[0] else self.start[1] if number == self.start[0] else len(self)
        )
        rest = itertools.islice(self.corpus, known, None) if known < len(self) else ()
        for read, document in enumerate(itertools.chain(itertools.repeat([], known), rest), 1):
            self.at = number, read
            yield document


class _Training:
    """The dispatcher that `LdaModel.update` calls (`reset`, `putjob`, `getstate`), and its M-step.

    Up to the place from which the training resumes, both do nothing, while gensim's own loop keeps
    counting.
    """

    def __init__(
        self,
        lda: LdaModel,
        documents: _Documents,
        executor: parallel.Executor,
        checkpoint: _Checkpoint | None,
        bar: tqdm,
        compiled: bool,
    ) -> None:
        self.lda, self.documents, self.executor = lda, documents, executor
        self.checkpoint, self.bar, self.compiled = checkpoint, bar, compiled
        # (future, words, number of documents), in the order of the corpus
        self.pending: collections.deque[tuple[Any, np.ndarray, int]] = collections.deque()

    def reset(self, state: LdaState) -> None:
        self.state = LdaState(state.eta, state.sstats.shape, state.dtype)

    def putjob(self, chunk: Iterable[Bow]) -> None:
        if self.documents.at <= self.documents.start:
            return
        for piece in parallel.in_groups(chunk, PIECE):
            ids, counts, ends = _packed(piece)
            words, ids = self._distinct(ids)
            model = self._model_of(words)
            # the numbers that inference draws
            self.lda.random_state.gamma(100.0, 1.0 / 100.0, (len(piece), self.lda.num_topics))
            future = self.executor.submit(_sstats, model, ids, counts, ends, self.compiled)
            self.pending.append((future, words, len(piece)))
            while len(self.pending) > parallel.AHEAD * self.executor.size:
                self._merge()

    def _distinct(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`np.unique(ids, return_inverse=True)`, without a sort."""
        place = np.zeros(self.lda.num_terms, np.int32)
        place[ids] = 1
        words = np.flatnonzero(place)
        place[words] = np.arange(len(words))
        return words, place[ids]

    def _model_of(self, words: np.ndarray) -> LdaModel:
        """What inference reads of the model: these words' columns and the random state."""
        model = copy.copy(self.lda)
        vars(model).update(dict.fromkeys(("state", "id2word", "eta", "dispatcher", "do_mstep")))
        model.expElogbeta = np.take(self.lda.expElogbeta, words, axis=1)
        model.random_state = copy.deepcopy(self.lda.random_state)
        return model

    def _merge(self) -> None:
        future, words, count = self.pending.popleft()
        self.state.sstats[:, words] += self.executor.result(future)
        self.state.numdocs += count
        self.bar.update(count)

    def getstate(self) -> LdaState:
        while self.pending:
            self._merge()
        return self.state

    def do_mstep(self, rho: float, other: LdaState, extra_pass: bool = False) -> None:
        at, start = self.documents.at, self.documents.start
        if at == start:
            self.checkpoint.restore(self.lda)
        elif at > start:
            LdaModel.do_mstep(self.lda, rho, other, extra_pass)
            if self.checkpoint:
                self.checkpoint.write_if_due(self.lda, at)


def _packed(documents: Sequence[Bow]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bags of words as (ids, counts, ends): a fraction of the bytes of lists of tuples."""
    ends = np.cumsum([len(document) for document in documents])
    ids, counts = (
        np.fromiter(map(itemgetter(i), itertools.chain.from_iterable(documents)), dtype, ends[-1])
        for i, dtype in enumerate((np.int32, np.float32))
    )
    return ids, counts, ends


def _sstats(
    model: LdaModel, ids: np.ndarray, counts: np.ndarray, ends: np.ndarray, compiled: bool
) -> np.ndarray:
    """Sufficient statistics of packed documents: float32, shape (num_topics, n_words)."""
    # the limit stays: a worker has one core, and the threads of a Dask worker share the limit
    _one_blas_thread()
    if compiled:
        return inference.sufficient_statistics(model, ids, counts, ends)
    return model.inference(inference.documents_of(ids, counts, ends), collect_sstats=True)[1]


@functools.cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()


def _one_blas_thread() -> AbstractContextManager:
    """Limit BLAS to one thread, because a sum that is split over threads rounds differently.

    As a context manager, the limit ends with the block.
    """
    return _libraries().limit(limits=1, user_api="blas")


class _Checkpoint:
    """The file of a training's state.

    `start` is the pass and the number of its documents after which it was written; (0, 0) if there
    is no checkpoint of this run.
    """

    def __init__(
        self,
        path: Path,
        seconds: float,
        lda: LdaModel,
        corpus: Collection[Bow],
        seed: int,
        compiled: bool,
    ) -> None:
        self.path, self.seconds, self.written = path, seconds, time.monotonic()
        self.run = _description(lda, corpus, seed, compiled)
        self.start, self.saved = (0, 0), None
        try:
            with np.load(path, allow_pickle=False) as file:
                saved = dict(file)
            about = json.loads(str(saved["about"]))
            if about["run"] != self.run:
                _report(f"{path} is of another corpus or other settings: {FROM_THE_BEGINNING}")
                return
            self.start, self.saved = tuple(about["at"]), (saved, about)
            trial = copy.copy(lda)  # a state that does not fit fails here, not during the training
            trial.state = copy.deepcopy(lda.state)
            trial.random_state = copy.deepcopy(lda.random_state)
            self.restore(trial)
        except FileNotFoundError:
            return
        except Exception as error:  # a damaged archive fails in many ways
            self.start, self.saved = (0, 0), None
            _report(f"{path} is not a checkpoint ({error}): {FROM_THE_BEGINNING}")
            return
        _report(f"{path}: resuming after document {self.start[1]} of pass {self.start[0] + 1}")

    def restore(self, lda: LdaModel) -> None:
        """Put the saved state into a model; ValueError and others if it does not fit."""
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

    def write_if_due(self, lda: LdaModel, at: tuple[int, int]) -> None:
        """Write the state if `seconds` have passed since the last writing."""
        if time.monotonic() - self.written < self.seconds:
            return
        _, random_key, *random = lda.random_state.get_state()
        about = {"run": self.run, "at": at, "num_updates": lda.num_updates, "random": random}
        with atomic_files.written_whole(self.path) as temporary, open(temporary, "wb") as file:
            np.savez(file, about=json.dumps(about), sstats=lda.state.sstats, random_key=random_key)
        self.written = time.monotonic()


def _report(sentence: str) -> None:
    print(sentence, file=sys.stderr)


def _description(
    lda: LdaModel, corpus: Collection[Bow], seed: int, compiled: bool
) -> dict[str, Any]:
    """What two runs must have in common for one to resume from the other's state."""
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
        **({"e_step": "compiled"} if compiled else {}),
        "documents": len(corpus),
        "counts": getattr(corpus, "num_nnz", None),
        "words and first chunk": digest.hexdigest(),
        "made_from": getattr(dictionary, "made_from", None),
        "versions": [gensim.__version__, np.__version__],
    }
