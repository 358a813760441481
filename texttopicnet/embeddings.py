"""Other embeddings of an article's text than LDA, as targets for the CNN (the journal version's),
all by gensim.

| name | a text's vector | numbers | loss that suits |
|---|---|---|---|
| lda | topic probabilities (`texttopicnet.topics`) | in [0, 1], sum <= 1 | SigmoidCrossEntropyLoss |
| tfidf | tf-idf weights of the words that weigh most in the corpus | in [0, 1], length <= 1 | SigmoidCrossEntropyLoss |
| lsi | latent semantic indexing of the tf-idf weights | signed, length 1 | EuclideanLoss |
| word2vec | mean of its words' vectors (skip-gram, centred), weighted by tf-idf | signed, length 1 | EuclideanLoss |
| fasttext | the same with fastText's word vectors | signed, length 1 | EuclideanLoss |
| doc2vec | inferred paragraph vector (PV-DBOW) | signed, length 1 | EuclideanLoss |

Every one has `num_topics` numbers, so that one net fits all, and knows the words of the one
filtered dictionary.  A text without any of them has the vector 0 (lda: what its prior says).  A
vector depends on text and seed alone, not on other texts.
"""

import threading

import numpy as np
import scipy.sparse
from gensim import matutils
from gensim.models import Doc2Vec, FastText, LsiModel, TfidfModel, Word2Vec
from gensim.models.doc2vec import TaggedDocument, train_document_dbow
from tqdm import tqdm

from texttopicnet import artefacts, atomic_files, origin, parallel, pickles, topics, vocabulary
from texttopicnet.errors import UserError

NAMES = ("lda", "lsi", "tfidf", "word2vec", "doc2vec", "fasttext")
SIGNED = ("lsi", "word2vec", "doc2vec", "fasttext")
KINDS = {
    "tfidf": TfidfModel,
    "lsi": LsiModel,
    "word2vec": Word2Vec,
    "doc2vec": Doc2Vec,
    "fasttext": FastText,
}
# over the texts for word2vec, doc2vec and fasttext; with more, Wikipedia texts were found no better
# (doc2vec: worse)
EPOCHS = 5
LONGEST = 10_000  # words of a text that gensim's training looks at: longer ones come in pieces
# of fastText's n-grams: gensim's 2,000,000 would fill 320 MB for a vocabulary of some 20,000 words
BUCKETS = 200_000


def loss(name):
    """The Caffe loss layer that suits an embedding's numbers."""
    return "EuclideanLoss" if name in SIGNED else "SigmoidCrossEntropyLoss"


class _Texts:
    """Texts as gensim's training wants them: known words only, in pieces that it takes whole, a
    progress bar a pass.
    """

    def __init__(self, texts, dictionary, name, tagged=False):
        self.texts, self.known, self.name, self.tagged = texts, dictionary.token2id, name, tagged
        self.passes, self.error = 0, None

    def __iter__(self):
        self.passes += 1
        try:
            for i, text in enumerate(
                tqdm(
                    self.texts, desc=f"{self.name}, pass {self.passes}", unit="article", leave=False
                )
            ):
                for piece in parallel.in_groups(filter(self.known.__contains__, text), LONGEST):
                    yield TaggedDocument(piece, [i]) if self.tagged else piece
        except Exception as error:
            if threading.current_thread() is threading.main_thread():
                raise
            # gensim reads in a thread of its own, and would wait for ever for one that died
            self.error = error

    def check(self):
        """Raise what went wrong in reading."""
        if self.error:
            raise self.error


def _unit(rows):
    """Rows at length 1; those of zeros stay."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)


class Lda:
    """`topics.TopicModel` with the interface of the other embeddings."""

    name, loss = "lda", loss("lda")

    def __init__(self, model):
        self.model = model
        self.dictionary = model.dictionary
        self.num_topics = model.num_topics

    def vectors(self, documents, seed=0):
        return self.model.topic_vectors(documents, seed)

    def save(self, work):
        self.model.save(work)


class Embedding:
    """tf-idf weights times a matrix: a row for every word of the dictionary.

    Parameters
    ----------
    name : str
    tfidf : gensim.models.TfidfModel
        With the dictionary as its `id2word`.
    model : gensim model
        The embedding's own; for "tfidf" `tfidf` itself, with the ids of the chosen words as
        attribute `chosen`.
    num_topics : int
        Width of the vectors.
    """

    def __init__(self, name, tfidf, model, num_topics):
        self.name, self.tfidf, self.model, self.num_topics = name, tfidf, model, num_topics
        self.loss = loss(name)
        self.dictionary = tfidf.id2word
        self.matrix = self._matrix()

    def _matrix(self):
        """The word matrix, shape (n_words, num_topics); a word that the model has not has zeros."""
        shape = len(self.dictionary), self.num_topics
        if self.name == "tfidf":
            return scipy.sparse.csr_matrix(
                (np.ones(shape[1]), (self.model.chosen, range(shape[1]))), shape
            ).toarray()
        matrix = np.zeros(shape)
        if self.name == "lsi":
            u = self.model.projection.u[
                :, : shape[1]
            ]  # fewer columns where the corpus has a lower rank
            matrix[:, : u.shape[1]] = u
        else:
            there = [
                i
                for word, i in self.dictionary.token2id.items()
                if word in self.model.wv.key_to_index
            ]
            rows = self.model.wv[[self.dictionary[i] for i in there]].astype(float)
            # word vectors share a direction that says nothing of a text: their mean goes (Mu and
            # Viswanath, ICLR 2018)
            matrix[there] = rows - rows.mean(axis=0)
        return matrix

    def sparse_vectors(self, documents):
        """The whole tf-idf vectors, to compare the embeddings with.

        Parameters
        ----------
        documents : iterable of list of str

        Returns
        -------
        scipy.sparse.csr_matrix, shape (n_documents, n_words)
            Rows of length 1, or 0 for a text without a known word.
        """
        weights = (self.tfidf[self.dictionary.doc2bow(tokens)] for tokens in documents)
        return matutils.corpus2csc(weights, num_terms=len(self.dictionary)).T

    def vectors(self, documents, seed=0):
        """Vectors of tokenized articles.

        Parameters
        ----------
        documents : iterable of list of str
            All are held at once: pass them in groups.
        seed : int
            Draws what is random in an inference (lda, doc2vec).

        Returns
        -------
        ndarray of float32, shape (n_documents, num_topics)
            See the table above for their numbers.
        """
        rows = (
            self.sparse_vectors(documents) @ self.matrix
        )  # row by row, unlike a dense product of BLAS
        return (rows if self.name == "tfidf" else _unit(rows)).astype(np.float32)

    def save(self, work):
        """Write `<name><K>.model` and side files, all of them gensim's, below the work folder (the
        dictionary is there).
        """
        with atomic_files.written_whole(
            work / artefacts.embedding_model(self.name, self.num_topics)
        ) as path:
            for part in (
                self.tfidf,
                self.model,
                *(getattr(self.model, a, None) for a in ("projection", "wv", "dv")),
            ):
                if part is not None:
                    vocabulary.mark(part, self.dictionary)
            pickles.save(self.model, path)
            if self.model is not self.tfidf:
                pickles.save(self.tfidf, f"{path}.tfidf")


class ParagraphVectors(Embedding):
    """doc2vec: the vector of a new text is learnt, with the words' held fast."""

    def _matrix(self):
        return None

    def vectors(self, documents, seed=0):
        kept = self.model.random
        try:
            rows = [self._infer(tokens, seed) for tokens in documents]
        finally:
            self.model.random = kept
        return _unit(np.array(rows, np.float32).reshape(-1, self.num_topics))

    def _infer(self, tokens, seed):
        """Doc2Vec.infer_vector, but from a start that depends on the seed alone.

        gensim draws it from a hash of the text that changes with every process, and the negative
        samples from wherever the model's random state stands.
        """
        known = [word for word in tokens if word in self.model.wv.key_to_index]
        vector = np.zeros((1, self.num_topics), np.float32)
        if not known:
            return vector[0]
        model, work, lock = (
            self.model,
            np.zeros(self.num_topics, np.float32),
            np.ones(1, np.float32),
        )
        model.random = np.random.RandomState(seed)
        vector[0] = (model.random.random_sample(self.num_topics) - 0.5) / self.num_topics
        for alpha in np.linspace(model.alpha, model.min_alpha, model.epochs):
            for piece in parallel.in_groups(known, LONGEST):
                train_document_dbow(
                    model,
                    piece,
                    [0],
                    alpha,
                    work,
                    learn_words=False,
                    learn_hidden=False,
                    doctag_vectors=vector,
                    doctags_lockf=lock,
                )
        return vector[0]


def _embedding(name, tfidf, model, num_topics):
    return (ParagraphVectors if name == "doc2vec" else Embedding)(name, tfidf, model, num_topics)


def learn(name, dictionary, bows, texts, num_topics=40, seed=0, epochs=EPOCHS):
    """Learn an embedding from a corpus, without holding it in memory (doc2vec alone keeps a vector
    of each text).

    Parameters
    ----------
    name : str
        One of NAMES.
    dictionary : gensim.corpora.Dictionary
        After `filter_extremes`; its counts give the idf.
    bows : iterable of bag of words, with a length
        Gone through once by lsi and tfidf, and by lda; the others do not look at them.
    texts : iterable of list of str
        Tokens of each article; gone through 1 + `epochs` times by word2vec, fasttext and doc2vec.
    num_topics : int
        Width of the vectors.
    seed : int
        Same seed, same bytes: gensim's several threads would come in an order that depends on
        timing, so there is one.
    epochs : int

    Returns
    -------
    Lda or Embedding

    Raises
    ------
    UserError
        The dictionary has no word, or fewer than tfidf has to choose.
    """
    if len(dictionary) < (num_topics if name == "tfidf" else 1):
        raise UserError(
            f"the dictionary has {len(dictionary)} words, too few for {num_topics} numbers of {name}: learn it from more"
            " articles, or with a lower --no-below of python LDA/learn_LDA_model.py"
        )
    if name == "lda":
        return Lda(topics.TopicModel.learn(dictionary, bows, num_topics, workers=1, seed=seed))
    vocabulary.mark(dictionary, dictionary)
    tfidf = TfidfModel(dictionary=dictionary, normalize=matutils.unitvec)
    if name in ("tfidf", "lsi"):
        weights = (tfidf[bow] for bow in tqdm(bows, desc=name, unit="article"))
    if name == "tfidf":
        sums = np.zeros(len(dictionary))
        for vector in weights:
            for word, weight in vector:
                sums[word] += weight
        model, tfidf.chosen = tfidf, np.argsort(-sums, kind="stable")[:num_topics].tolist()
    elif name == "lsi":
        with np.errstate(
            invalid="ignore"
        ):  # all weights are 0 where every word is in every document
            model = LsiModel(weights, num_topics, id2word=dictionary, random_seed=seed)
    else:
        common = {
            "vector_size": num_topics,
            "min_count": 1,
            "seed": seed,
            "workers": 1,
            "epochs": epochs,
        }
        stream = _Texts(texts, dictionary, name, tagged=name == "doc2vec")
        if name == "word2vec":
            model = Word2Vec(stream, sg=1, **common)
        elif name == "fasttext":
            model = FastText(stream, sg=1, bucket=BUCKETS, **common)
            del model.wv.buckets_word  # recomputed after loading
        else:
            model = Doc2Vec(stream, dm=0, **common)
        stream.check()
        model.total_train_time = 0  # as the diary: not of the model
    return _embedding(name, tfidf, model, num_topics)


def load(name, work, num_topics=40, trust=False):
    """Load what `save` wrote.

    Parameters
    ----------
    name : str
    work : Path
    num_topics : int
    trust : bool
        Run code that may be in the files (`pickles.read`).

    Raises
    ------
    UserError
        A file is missing, damaged or of another width, was made with other stop words, or the model
        was learnt with another dictionary than the work folder's.
    """
    if name == "lda":
        return Lda(topics.TopicModel.load(work, num_topics, trust))
    made_by = f"python LDA/generate_train_labels.py --embedding {name} --topics {num_topics}"
    path = artefacts.existing(work / artefacts.embedding_model(name, num_topics), made_by)
    dictionary_path = artefacts.existing(
        work / artefacts.DICTIONARY, "python LDA/learn_LDA_model.py"
    )
    dictionary = vocabulary.load(dictionary_path, trust)
    model = pickles.load(KINDS[name], path, trust)
    tfidf_path = path if name == "tfidf" else path.with_name(f"{path.name}.tfidf")
    tfidf = model if name == "tfidf" else pickles.load(TfidfModel, tfidf_path, trust)
    own = getattr(tfidf, "id2word", None)
    for used, file in ((dictionary, dictionary_path), (own, path)):
        origin.check_words(used, file, work)
    words = getattr(own, "token2id", {})
    if words != dictionary.token2id:
        raise UserError(
            f"{dictionary_path} ({len(dictionary)} words) and {tfidf_path} (learnt with {len(words)}) do not belong together:"
            f" {pickles.MOVE}, then make the model with {made_by}"
        )
    try:
        width = _width(name, model)
        if getattr(model, vocabulary.MARK, vocabulary.digest(dictionary)) != vocabulary.digest(
            dictionary
        ):
            raise ValueError("it was learnt with another dictionary")
        if width != num_topics:
            raise ValueError(f"its vectors have {width} numbers")
        embedding = _embedding(name, tfidf, model, num_topics)
        embedding.vectors([[], list(dictionary.token2id)[:10]])
    except (
        Exception
    ) as error:  # parts of different models fit in no way that could be told beforehand
        raise UserError(
            f"{path} and the files beside it are not a {name} model of {num_topics} numbers for {dictionary_path} ({error}):"
            f" {pickles.MOVE}, then make it with {made_by}"
        ) from error
    return embedding


def _width(name, model):
    """How many numbers a model's vectors have."""
    if name == "tfidf":
        return len(model.chosen)
    if name == "lsi":
        return model.num_topics
    tables = [model.wv.vectors] + (
        [model.syn1neg] if name == "doc2vec" else []
    )  # that compiled code reads unchecked
    if any(
        t.shape != (len(model.wv.key_to_index), model.vector_size) or t.dtype != np.float32
        for t in tables
    ):
        raise ValueError("its words and their vectors differ in number")
    return model.vector_size
