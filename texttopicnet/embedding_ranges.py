"""The range of each embedding's numbers, and the loss layer with which a net learns them.

What only needs this does not wait until gensim is loaded, as `texttopicnet.embeddings` does.
"""

from typing import NamedTuple


class Range(NamedTuple):
    """What is known of an embedding's vectors before there is a model.

    Attributes
    ----------
    signed : bool
        Whether numbers may be below 0.
    loss : str
        The Caffe loss layer that suits such numbers.
    bounded_by : {'sum', 'length'}
        Whether a vector's sum or its length is at most 1.
    """

    signed: bool
    loss: str
    bounded_by: str


_SIGNED = Range(True, "EuclideanLoss", "length")
RANGES = {
    "lda": Range(False, "SigmoidCrossEntropyLoss", "sum"),
    "lsi": _SIGNED,
    "tfidf": Range(False, "SigmoidCrossEntropyLoss", "length"),
    "word2vec": _SIGNED,
    "doc2vec": _SIGNED,
    "fasttext": _SIGNED,
}
NAMES = tuple(RANGES)
