"""A part of demo.py: a trained model with its corpus, loaded and checked, and the index of it."""

import sys
import threading
from argparse import Namespace
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from feature_net import activations, load_net

from texttopicnet import artefacts, cores, files, images, text
from texttopicnet.errors import UserError
from texttopicnet.labelled_corpus import LabelledCorpus
from texttopicnet.token_store import TokenStore
from texttopicnet.topic_index import TopicIndex
from texttopicnet.topic_index_files import build
from texttopicnet.topics import TopicModel

if TYPE_CHECKING:
    import caffe

BLOB = "prob"
BATCH = 50
READERS = 4  # threads that decode images
SAMPLE = 16  # articles whose labels are compared with the model's topics
SAME_MODEL = 0.5  # least share in which they must agree, on average; other models have about 0.1
NO_BETTER_THAN_CHANCE = 0.55


class Predictor:
    """The net: images in, topics out.

    Only one thread at a time runs it, because a net has one set of blobs.

    Parameters
    ----------
    net : caffe.Net
        Its blob prob has a row of numbers >= 0 per image.
    """

    def __init__(self, net: "caffe.Net") -> None:
        self._net, self._lock = net, threading.Lock()
        self.size = net.blobs[net.inputs[0]].shape[-1]
        blob = net.blobs[BLOB].shape
        self.num_topics = int(np.prod(blob[1:]))

    def outputs(self, inputs: np.ndarray) -> np.ndarray:
        """The outputs for a batch.

        Parameters
        ----------
        inputs : ndarray of float32, shape (n_images, 3, size, size)

        Returns
        -------
        ndarray of float32, shape (n_images, num_topics)

        Raises
        ------
        UserError
            A number is NaN or infinite.
        """
        with self._lock:
            found = activations(self._net, inputs, [BLOB])[BLOB].copy()
        if not np.isfinite(found).all():
            raise UserError("the net's outputs are not finite numbers: its weights are damaged")
        return found

    def of_image(self, image: np.ndarray) -> np.ndarray:
        """The outputs for one image, uint8 (H, W, 3) in BGR: float32 (num_topics,)."""
        return self.outputs(images.network_input(image, self.size)[None])[0]


class CorpusReader:
    """Computes the index's rows: outputs for a collection's images, NaN for unreadable ones."""

    def __init__(self, predictor: Predictor, collection: Path) -> None:
        self._predictor, self._collection = predictor, collection
        self._pool = ThreadPoolExecutor(min(READERS, cores.usable()))

    def __call__(self, names: Sequence[str]) -> np.ndarray:
        found = np.full((len(names), self._predictor.num_topics), np.nan, np.float32)
        inputs = list(self._pool.map(self._input, names))
        readable = [i for i, x in enumerate(inputs) if x is not None]
        if readable:
            found[readable] = self._predictor.outputs(np.stack([inputs[i] for i in readable]))
        return found

    def _input(self, name: str) -> np.ndarray | None:
        try:
            image = images.read_image(files.member(self._collection, name))
        except UserError:
            return None
        return images.network_input(image, self._predictor.size)


def paths(args: Namespace) -> dict[str, Path]:
    """The files that the page needs, each with the stage that makes it in the error's sentence.

    Raises
    ------
    UserError
        One is missing.
    """
    work, folder = args.work, args.work / "CNN" / args.net
    made_by = {
        "train_dict": (work / artefacts.TRAIN_DICT, "1, scripts/01_generate_train_dict.sh"),
        "dictionary": (work / artefacts.DICTIONARY, "2, scripts/02_learn_LDA_model.sh"),
        "lda": (work / artefacts.lda_model(args.topics), "2, scripts/02_learn_LDA_model.sh"),
        "labels": (
            work / artefacts.training_labels(args.topics),
            "3, scripts/03_generate_train_labels.sh",
        ),
    }
    if args.weights is None:
        made_by["weights"] = (folder / "trained.caffemodel", "5, scripts/05_train_cnn.sh")
    found = {
        name: artefacts.existing(path, f"stage {stage}") for name, (path, stage) in made_by.items()
    }
    if args.weights is not None:
        found["weights"] = artefacts.existing(args.weights, "scripts/05_train_cnn.sh")
    own = folder / "deploy.prototxt"
    given = artefacts.ROOT / "CNN" / args.net / "deploy.prototxt"
    found["net"] = own if own.is_file() else artefacts.existing(given, "CNN/write_prototxts.py")
    found["collection"] = artefacts.downloaded(args.data / args.collection, "data/README.md")
    return found


def load(args: Namespace) -> tuple[Predictor, TopicModel, TopicIndex]:
    """The net, the topic model and the index, which is built first unless it is there already.

    Parameters
    ----------
    args : argparse.Namespace
        data, collection, work, net, weights, topics, seed, gpu, trust_pickle.

    Raises
    ------
    UserError
        A file is missing or damaged, or two of them are not of the same model.
    """
    found = paths(args)
    text.check_wordnet()
    lda = TopicModel.load(args.work, args.topics, args.trust_pickle)
    predictor = Predictor(load_net(found["net"], found["weights"], [BLOB], args.gpu))
    if predictor.num_topics != args.topics:
        raise UserError(
            f"{found['weights']} is a net of {predictor.num_topics} topics, and {found['lda']} a"
            f" model of {args.topics}: give the --work folder and --topics of one model, or train"
            " the net with stage 5, scripts/05_train_cnn.sh"
        )
    index = index_of(args, found, predictor, lda)
    nearer = index.own_article_is_nearer()
    print(
        f"index: {len(index.images)} images, {len(index.articles)} articles; an image is nearer to"
        f" its own article than to another one in {100 * nearer:.0f} % of the cases"
    )
    if nearer < NO_BETTER_THAN_CHANCE:
        print(
            "warning: that is no better than chance: the net has hardly been trained, or on other"
            f" topics than {found['lda']}",
            file=sys.stderr,
        )
    return predictor, lda, index


def index_of(
    args: Namespace, found: dict[str, Path], predictor: Predictor, lda: TopicModel
) -> TopicIndex:
    """The corpus' index below the work folder; it is built if it is missing or out of date."""
    models = sorted(found["lda"].parent.glob(found["lda"].name + "*"))
    hashed = [found[name] for name in ("net", "weights", "train_dict", "labels")]
    inputs = {
        "collection": str(found["collection"].resolve()),
        "sha256": [artefacts.sha256(path) for path in (*hashed, *models)],
    }
    folder = args.work / artefacts.topic_index(args.net)
    if index := TopicIndex.open(folder, inputs):
        return index
    corpus = LabelledCorpus(args.work, args.topics)
    check_labels(corpus, lda, args, found)
    print(
        f"index: {BLOB} of {found['net']} with {found['weights']} for {corpus.num_images} images"
        f" -> {folder}",
        flush=True,
    )
    reader = CorpusReader(predictor, found["collection"])
    return build(
        folder, inputs, list(corpus.pairs.sorted()), corpus.articles, corpus.vectors, reader, BATCH
    )


def check_labels(
    corpus: LabelledCorpus, lda: TopicModel, args: Namespace, found: dict[str, Path]
) -> None:
    """Refuse labels that are not this model's topics of the articles, by a sample of articles.

    Inference from another start, as the original's, changes a label a little; another model's
    topics have other numbers.
    """
    rows = np.unique(np.linspace(0, len(corpus.articles) - 1, SAMPLE).astype(int))
    labels, tokens = [], []
    with TokenStore(args.work) as store:
        for row in rows:
            name = corpus.articles[row]
            try:
                if name in store:
                    tokens.append(store.tokens(name))
                else:
                    article = files.find_article(found["collection"], name)
                    path = files.member(found["collection"], article)
                    tokens.append(text.tokenize(text.read_article(path)))
            except UserError:
                continue
            labels.append(corpus.vectors[row])
    if not labels:
        raise UserError(
            f"none of the articles of {found['train_dict']} is in {found['collection']}: give the"
            " --data and --collection that stage 1 had"
        )
    topics = lda.topic_vectors(tokens, args.seed)
    shared = np.minimum(topics, labels).sum(axis=1) / np.maximum(topics.sum(axis=1), 1e-9)
    if shared.mean() < SAME_MODEL:
        raise UserError(
            f"{found['labels']} does not have the topics that {found['lda']} finds in the articles:"
            " make it again with stage 3, scripts/03_generate_train_labels.sh --force, and then the"
            " net with stages 4 and 5"
        )
