"""Embeddings of an article's text: targets for the CNN.  LDA is the paper's, the others are the
journal version's (arXiv 1807.02110); gensim computes all of them.

| name | a text's vector | its numbers |
|---|---|---|
| lda | topic probabilities (`texttopicnet.topics`) | in [0, 1], sum <= 1 |
| lsi | latent semantic indexing of the tf-idf weights | signed, length 1 |
| tfidf | tf-idf weights of the words that weigh most in the corpus | in [0, 1], length <= 1 |
| word2vec | tf-idf weighted mean of its words' vectors (skip-gram, centred) | signed, length 1 |
| doc2vec | inferred paragraph vector (PV-DBOW) | signed, length 1 |
| fasttext | as word2vec, with fastText's word vectors | signed, length 1 |

A net learns numbers in [0, 1] with SigmoidCrossEntropyLoss, signed ones with EuclideanLoss.

Each has a class of its own with one interface (`base.Embedding`), and one line in `BY_NAME`.  All
vectors have `num_topics` numbers, so that one net fits all, and all embeddings use the words of one
filtered dictionary.  A text without any of these words has the vector 0 (lda: the topics of an
empty article).  A vector depends only on its text and the seed, not on other texts.
"""

from texttopicnet.embeddings.base import Embedding, LearntEmbedding
from texttopicnet.embeddings.doc2vec import Doc2Vec
from texttopicnet.embeddings.lda import Lda
from texttopicnet.embeddings.lsi import Lsi
from texttopicnet.embeddings.tfidf import Tfidf
from texttopicnet.embeddings.word_vectors import FastText, Word2Vec

BY_NAME: dict[str, type[Embedding]] = {
    kind.name: kind for kind in (Lda, Lsi, Tfidf, Word2Vec, Doc2Vec, FastText)
}
NAMES = tuple(BY_NAME)

__all__ = [
    "BY_NAME",
    "NAMES",
    "Doc2Vec",
    "Embedding",
    "FastText",
    "Lda",
    "LearntEmbedding",
    "Lsi",
    "Tfidf",
    "Word2Vec",
]
