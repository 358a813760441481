"""LDA training by threads, processes or a Dask cluster: one model per seed, and a killed run can be
resumed.

The training is gensim's.  Its `LdaModel.update` reads the corpus in chunks, gives them to a
dispatcher as in its distributed mode, and does the M-steps.  The compiled
`texttopicnet.inference`, or gensim's own `LdaModel.inference` if the caller asks for it, computes
the sufficient statistics.  The dispatcher here gives each piece of a chunk the random numbers that
it would have got in one process, and adds the results in the order of the corpus.  So the model
depends neither on the number of threads or processes nor on their speed.  It is the model of a
plain ``LdaModel(update_every=...)``, up to the order of floating-point sums.

Compiled code works in threads, which need no start, and to which nothing is copied.  gensim's
E-step would block the other threads most of the time, so it works in processes.
"""

from __future__ import annotations

import collections
import contextlib
import copy
import functools
import hashlib
import itertools
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import gensim
import numpy as np
from gensim.corpora import Dictionary
from gensim.models import LdaModel
from gensim.models.ldamodel import LdaState
from threadpoolctl import ThreadpoolController
from tqdm import tqdm

from texttopicnet import inference, lda_kernel, parallel, threads
from texttopicnet.bow_file import Bow, Packed, packed
from texttopicnet.lda_checkpoint import Checkpoint

CHUNK = 2000  # documents, gensim's
PIECE = 250  # documents that a process infers at once; three chunks keep 24 processes busy


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
        Where documents are inferred; the model does not depend on it, to the bit.  Compiled code
        runs in as many threads of this process in place of local processes.
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
    saved, start = None, (0, 0)
    if checkpoint:
        run = _description(lda, corpus, seed, compiled)
        saved = Checkpoint(checkpoint, seconds, lda, run)
        start = saved.start
    if compiled:  # here, so that the processes need not
        inference.gammas(lda, [], np.ones(num_topics))
    documents = _Documents(corpus, start)
    done = start[0] * len(corpus) + start[1]
    with tqdm(desc="topics", unit="document", total=passes * len(corpus), initial=done) as bar:
        _libraries.cache_clear()  # a BLAS may have been loaded since the last training
        used = executor or parallel.Here()
        place = threads.in_place_of(used) if compiled else contextlib.nullcontext(used)
        with _one_blas_thread(), place as used:
            training = _Training(lda, documents, used, saved, bar, compiled)
            lda.dispatcher, lda.do_mstep = training, training.do_mstep
            lda.update(documents)
    lda.dispatcher = None
    del lda.do_mstep
    return lda


class _Documents:
    """The corpus as gensim reads it: the training gets the documents, and gensim empty ones.

    So documents are inferred while others of their chunk are still being read.

    `start` is a pass and a number of its documents: the documents before it are not read.  `at` is
    the current pass and the number of its documents that were read.
    """

    def __init__(self, corpus: Collection[Bow], start: tuple[int, int]) -> None:
        self.corpus, self.start = corpus, start
        self.at = (-1, 0)
        self.take: Callable[[Packed], None] = _ignored

    def __len__(self) -> int:
        return len(self.corpus)

    def __iter__(self) -> Iterator[Bow]:
        number = self.at[0] + 1
        known = (
            0 if number > self.start[0] else self.start[1] if number == self.start[0] else len(self)
        )
        for read in range(1, known + 1):
            self.at = number, read
            yield ()
        rest = itertools.islice(_packed(self.corpus), known, None) if known < len(self) else ()
        for read, document in enumerate(rest, known + 1):
            self.at = number, read
            self.take(document)
            yield ()


def _ignored(_: Packed) -> None:
    """What is done with documents before a training takes them."""


class _Training:
    """The dispatcher that `LdaModel.update` calls (`reset`, `putjob`, `getstate`), and its M-step.

    Up to the place from which the training resumes, there are no documents, the M-step does
    nothing, and gensim's own loop keeps counting.
    """

    def __init__(
        self,
        lda: LdaModel,
        documents: _Documents,
        executor: parallel.Executor | threads.Threads,
        checkpoint: Checkpoint | None,
        bar: tqdm,
        compiled: bool,
    ) -> None:
        self.lda, self.documents, self.executor = lda, documents, executor
        self.checkpoint, self.bar, self.compiled = checkpoint, bar, compiled
        self.piece: list[Packed] = []  # documents that are not yet inferred
        # (future, words, number of documents), in the order of the corpus
        self.pending: collections.deque[tuple[Any, np.ndarray, int]] = collections.deque()
        documents.take = self.take

    def reset(self, state: LdaState) -> None:
        self.state = LdaState(state.eta, state.sstats.shape, state.dtype)
        # a word's numbers side by side, so that a piece's words are copied and added quickly
        self.sums = np.zeros(state.sstats.shape[::-1], state.dtype)
        self.rows = np.ascontiguousarray(self.lda.expElogbeta.T)

    def take(self, document: Packed) -> None:
        """A document that gensim has read."""
        self.piece.append(document)
        if len(self.piece) == PIECE:
            self._infer()

    def putjob(self, _: Sequence[Bow]) -> None:
        """The end of a chunk: no piece has documents of two."""
        if self.piece:
            self._infer()

    def _infer(self) -> None:
        ids, counts = map(np.concatenate, zip(*self.piece, strict=True))
        ends = np.cumsum([len(each) for each, _ in self.piece])
        words, ids = lda_kernel.distinct(ids, self.lda.num_terms)
        model = self._model_of(words)
        # the numbers that inference draws
        self.lda.random_state.gamma(100.0, 1.0 / 100.0, (len(ends), self.lda.num_topics))
        future = self.executor.submit(_sstats, model, ids, counts, ends, self.compiled)
        self.pending.append((future, words, len(ends)))
        self.piece = []
        while len(self.pending) > parallel.AHEAD * self.executor.size:
            self._merge()

    def _model_of(self, words: np.ndarray) -> LdaModel:
        """What inference reads of the model: these words' columns and the random state."""
        model = copy.copy(self.lda)
        vars(model).update(dict.fromkeys(("state", "id2word", "eta", "dispatcher", "do_mstep")))
        model.expElogbeta = self.rows[words].T
        model.random_state = copy.deepcopy(self.lda.random_state)
        return model

    def _merge(self) -> None:
        future, words, count = self.pending.popleft()
        rows = np.ascontiguousarray(self.executor.result(future).T)
        lda_kernel.add_rows(self.sums, words, rows)
        self.state.numdocs += count
        self.bar.update(count)

    def getstate(self) -> LdaState:
        while self.pending:
            self._merge()
        self.state.sstats[...] = self.sums.T
        return self.state

    def do_mstep(self, rho: float, other: LdaState, extra_pass: bool = False) -> None:
        at, start = self.documents.at, self.documents.start
        if at == start:
            self.checkpoint.restore(self.lda)
        elif at > start:
            # it also draws random numbers, for the topics that it logs
            LdaModel.do_mstep(self.lda, rho, other, extra_pass)
            if self.checkpoint:
                self.checkpoint.write_if_due(self.lda, at)


def _packed(corpus: Iterable[Bow]) -> Iterator[Packed]:
    """The documents as arrays, read as such if the corpus can do so (`BowFile`)."""
    read = getattr(corpus, "packed", None)
    return read() if read else map(packed, corpus)


def _sstats(
    model: LdaModel, ids: np.ndarray, counts: np.ndarray, ends: np.ndarray, compiled: bool
) -> np.ndarray:
    """Sufficient statistics of packed documents: float32, shape (num_topics, n_words)."""
    # the limit stays: a worker has one core, and the threads of a Dask worker share the limit
    _one_blas_thread()
    if compiled:
        return inference.sufficient_statistics(model, ids, counts, ends)
    model.expElogbeta = np.ascontiguousarray(model.expElogbeta)  # to the bit as in gensim
    return model.inference(inference.documents_of(ids, counts, ends), collect_sstats=True)[1]


@functools.cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()


def _one_blas_thread() -> AbstractContextManager:
    """Limit BLAS to one thread, because a sum that is split over threads rounds differently.

    As a context manager, the limit ends with the block.
    """
    return _libraries().limit(limits=1, user_api="blas")


def _description(
    lda: LdaModel, corpus: Collection[Bow], seed: int, compiled: bool
) -> dict[str, Any]:
    """What two runs must have in common for one to resume from the other's state."""
    dictionary = lda.id2word
    digest = hashlib.sha256(
        json.dumps([dictionary.token2id, dictionary.dfs], sort_keys=True).encode()
    )
    first_chunk = list(itertools.islice(_packed(corpus), lda.chunksize))
    ends = np.cumsum([0, *(len(ids) for ids, _ in first_chunk)])
    for array in (*(ids for ids, _ in first_chunk), *(counts for _, counts in first_chunk), ends):
        digest.update(array)
    return {
        **{
            name: getattr(lda, name)
            for name in ("num_topics", "passes", "chunksize", "update_every")
        },
        "seed": seed,
        "piece": PIECE,
        **({"e_step": "compiled, in blocks"} if compiled else {}),
        "documents": len(corpus),
        "counts": getattr(corpus, "num_nnz", None),
        "words and first chunk": digest.hexdigest(),
        "made_from": getattr(dictionary, "made_from", None),
        "versions": [gensim.__version__, np.__version__],
    }
