"""Give every image the topic vector of its article, or another embedding of its text.

Reads:   WORK/LDA/train_dict_ImageCLEF_Wikipedia.json, dictionary.dict, ldamodel<topics>.lda; the
         articles
Writes:  WORK/LDA/training_labels<topics>.json: {image path: [probability of each topic]}, in the
         order of the train dict
Paper:   section 3.2 (the LDA vector is the image's target); arXiv 1807.02110 (other embeddings)
Usage:   python LDA/generate_train_labels.py [--data DIR] [--work DIR] [--topics 40]
         [--embedding lda] [--seed 0] [--workers 2]

With --embedding NAME the labels are training_labels_<name><topics>.json.  The embedding's model,
<name><topics>.model, is learnt first if it does not exist.
"""

import texttopicnet.startup  # noqa: F401  isort: skip

import itertools

import numpy as np
from tqdm import tqdm

from texttopicnet import (
    artefacts,
    atomic_files,
    bags,
    command_line,
    embeddings,
    json_files,
    origin,
    parallel,
    training_labels,
)
from texttopicnet.article_files import store_articles
from texttopicnet.counts import counted, first_of
from texttopicnet.pairs import Pairs
from texttopicnet.token_rows import unpacked
from texttopicnet.token_store import Texts, TokenStore

LEARNT_BY = "python LDA/learn_LDA_model.py"
TOGETHER = 256  # articles that a process gets at once


def vectors_of(model, seed, articles):
    """Vectors of a group of articles, given as packed tokens, and whether each has a word of the
    dictionary.
    """
    articles = [unpacked(article) for article in articles]
    known = model.dictionary.token2id
    return model.vectors(articles, seed), [
        any(map(known.__contains__, article)) for article in articles
    ]


def learnt_model(kind, args, store, texts):
    """The model of an embedding other than LDA; it is learnt first if its file is missing."""
    if not args.force and kind.path(args.work, args.topics).exists():
        return kind.load(args.work, args.topics, args.trust_pickle)
    dictionary, bows = bags.load(args.work, store, args.trust_pickle)
    origin.check_words(dictionary, args.work / artefacts.DICTIONARY, args.work)
    print(f"learning {kind.name} from {len(bows)} documents, seed {args.seed}")
    model = kind.learn(dictionary, bows, texts, args.topics, args.seed)
    model.save(args.work)
    return model


def labels_of(args, pairs, file, width):
    """(image, vector) of every image, from a file of the articles' vectors of `width` numbers."""
    size = 4 * width
    for image, rank in pairs.ranks():
        file.seek(rank * size)
        vector = np.frombuffer(file.read(size), np.float32).tolist()
        training_labels.check(args.embedding, image, vector, args.topics, LEARNT_BY)
        yield image, vector


def main():
    parser = command_line.parser(__doc__)
    command_line.add_options(parser, "--data", "--collection", "--work", "--topics")
    command_line.add_options(parser, "--embedding", choices=embeddings.NAMES)
    command_line.add_options(
        parser, "--seed", help="seed that draws the start of the inference (default: 0)"
    )
    command_line.add_options(parser, "--workers", "--force", "--trust-pickle")
    args = parser.parse_args()

    output = args.work / artefacts.training_labels(args.topics, args.embedding)
    artefacts.refuse_existing(output, args.force)
    pairs = Pairs.load(args.work / artefacts.TRAIN_DICT)

    def names():
        return (article for article, _ in pairs.articles())

    kind = embeddings.BY_NAME[args.embedding]
    is_learnt_here = issubclass(kind, embeddings.LearntEmbedding)
    if not is_learnt_here:  # a missing model is reported before the articles are read
        model = kind.load(args.work, args.topics, args.trust_pickle)
    with TokenStore(args.work) as store, atomic_files.temporary_file(output.parent) as file:
        store_articles(store, names(), args.data / args.collection, args.workers)
        if is_learnt_here:
            model = learnt_model(kind, args, store, Texts(store, names))
        changed = origin.message_if_changed(
            model.record_dictionary, store, pairs, kind.path(args.work, args.topics)
        )
        if changed:
            print(changed)
        articles = counted(pairs.num_articles, "article")
        print(
            f"labelling {counted(len(pairs), 'image')} of {articles} with {model.described()},"
            f" seed {args.seed}"
        )
        model.vectors([[]], args.seed)  # compiles, before the processes are forked
        groups = parallel.in_groups(map(store.packed, names()), TOGETHER)
        unknown = []  # ranks of the articles that have no word of the dictionary
        with tqdm(desc="articles", unit="article", total=pairs.num_articles) as bar:
            for vectors, known in parallel.ordered_map(
                vectors_of, groups, args.workers, model, args.seed
            ):
                file.write(np.ascontiguousarray(vectors, np.float32))
                unknown += (bar.n + np.flatnonzero(~np.array(known))).tolist()
                bar.update(len(vectors))
        labels = labels_of(args, pairs, file, model.num_topics)  # one label per article (D4)
        count = json_files.write(output, labels)
    if unknown:
        first = next(itertools.islice(names(), unknown[0], None))
        what = counted(len(unknown), "article has", "articles have")
        print(
            f"{what} no word of the dictionary{first_of(len(unknown), first)};"
            f" label: {kind.of_unknown_text}"
        )
    print(f"{count} labels, for {model.loss}: {output}")
    return 0


if __name__ == "__main__":
    command_line.run(main)
