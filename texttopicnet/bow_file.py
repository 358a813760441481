"""bow.mm read as arrays, several times as fast as gensim reads it as lists of pairs."""

import itertools
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import BinaryIO

import numpy as np
from gensim.corpora import MmCorpus

from texttopicnet.lda_kernel import compiled

AT_ONCE = 1 << 22  # bytes
Bow = Sequence[tuple[int, float]]
Packed = tuple[np.ndarray, np.ndarray]


def packed(document: Bow) -> Packed:
    """A bag of words as (ids, counts): int32 and float32, a fraction of the bytes of a list of
    pairs.
    """
    ids, counts = (
        np.fromiter(map(itemgetter(i), document), dtype, len(document))
        for i, dtype in enumerate((np.int32, np.float32))
    )
    return ids, counts


class BowFile(MmCorpus):
    """gensim's corpus in Matrix Market format, which can also be read packed."""

    def packed(self) -> Iterator[Packed]:
        """`packed` of every document, in order.

        Where a line is not three whole numbers, as learn_LDA_model.py writes them, gensim reads on.
        """
        given = 0  # documents
        waiting = [np.empty(0, dtype) for dtype in (np.int64, np.int32, np.float32)]
        with open(self.input, "rb") as file:
            self.skip_headers(file)
            for lines in _whole_lines(file):
                size, last = lines.count(b"\n"), int(waiting[0][-1]) if len(waiting[0]) else 1
                read = [np.empty(size, array.dtype) for array in waiting]
                if not _parse(np.frombuffer(lines, np.uint8), *read, last, self.num_terms):
                    yield from map(packed, itertools.islice(self, given, None))
                    return
                numbers, ids, counts = map(np.concatenate, zip(waiting, read, strict=True))
                firsts = np.flatnonzero(np.diff(numbers, prepend=0)).tolist()
                for first, end in itertools.pairwise(firsts):
                    yield from itertools.repeat(packed([]), numbers[first] - 1 - given)
                    given = int(numbers[first])
                    yield ids[first:end], counts[first:end]
                # the last document may go on
                waiting = [array[firsts[-1] :] for array in (numbers, ids, counts)]
        numbers, ids, counts = waiting
        if len(numbers):
            yield from itertools.repeat(packed([]), numbers[0] - 1 - given)
            given = int(numbers[0])
            yield ids, counts
        yield from itertools.repeat(packed([]), self.num_docs - given)


def _whole_lines(file: BinaryIO) -> Iterator[bytes]:
    """The rest of a file in blocks of whole lines, all of them with an end."""
    cut = b""
    while block := file.read(AT_ONCE):
        lines, end, cut = (cut + block).rpartition(b"\n")
        if end:
            yield lines + end
    if cut:
        yield cut + b"\n"


@compiled(nogil=True)
def _parse(
    text: np.ndarray,
    numbers: np.ndarray,
    ids: np.ndarray,
    counts: np.ndarray,
    last: int,
    num_terms: int,
) -> bool:
    """Read lines of a document's number, a word's and a count; False if they are anything else, or
    not in the order of the documents from `last` on, or have a word's number above `num_terms`.
    """
    at = 0
    for line in range(len(numbers)):
        for field in range(3):
            value, first = 0, at
            while 48 <= text[at] <= 57:  # digits; every line has an end
                value = 10 * value + text[at] - 48
                at += 1
            if not 1 <= at - first <= 15 or text[at] != (10 if field == 2 else 32):
                return False
            at += 1
            if field == 0:
                if value < last:
                    return False
                last = numbers[line] = value
            elif field == 1:
                if not 1 <= value <= num_terms:
                    return False
                ids[line] = value - 1
            else:
                counts[line] = value
    return True
