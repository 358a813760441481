"""Time the topic vectors of articles against one `get_document_topics` call per article.

Reads:   nothing, or with --work WORK/LDA/dictionary.dict, ldamodel<topics>.lda,
         train_dict_ImageCLEF_Wikipedia.json, and the articles below DATA
Writes:  a record, if --out names one; prints the time per article and the ratio
Paper:   section 3.2 (the LDA vector is the image's target)
Usage:   python benchmarks/label_articles.py [--quick] [--sizes 250 1000 4000] [--rounds 3]
         [--work DIR [--data DIR]] [--topics 40] [--workers 2] [--out FILE]

All sides get the same tokens and the same start.  The straightforward way is gensim's:
`get_document_topics(dictionary.doc2bow(tokens))`, one article after the other.  BLAS has one
thread, so that one process uses one core.
"""

from pathlib import Path

import measuring
import numpy as np
from drawn_articles import draw_bags
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from texttopicnet import artefacts, command_line, json_files, text, topics
from texttopicnet.errors import UserError

FULL = {"sizes": [250, 1000, 4000], "rounds": 3, "topics": 40, "workers": 2}
QUICK = FULL | {"sizes": [100, 400], "rounds": 2}
LEARNT_FROM = 2000  # drawn articles


def straightforward(model, documents, seed):
    """One call per article, each with the start that `topic_vectors` draws."""
    vectors = np.zeros((len(documents), model.num_topics), np.float32)
    kept = model.lda.random_state
    model.lda.random_state = topics.OneStart(seed, model.num_topics)
    for vector, tokens in zip(vectors, documents, strict=True):
        bow = model.dictionary.doc2bow(tokens)
        for topic, probability in model.lda.get_document_topics(
            bow, minimum_probability=topics.MINIMUM_PROBABILITY
        ):
            vector[topic] = probability
    model.lda.random_state = kept
    return vectors


def drawn(sizes, num_topics, learnt_from=LEARNT_FROM):
    """A model of drawn articles, and lists of other articles' tokens."""
    dictionary, bows = draw_bags(learnt_from + max(sizes), num_topics)
    model = topics.TopicModel.learn(dictionary, bows[:learnt_from], num_topics, workers=1)
    documents = [
        [dictionary[i] for i, count in bow for _ in range(count)] for bow in bows[learnt_from:]
    ]
    return model, [documents[:size] for size in sizes]


def real(args, settings):
    """The model of a work folder, and one list of its articles' tokens."""
    model = topics.TopicModel.load(args.work, settings["topics"])
    pairs = json_files.read(args.work / artefacts.TRAIN_DICT, "python LDA/generate_train_dict.py")
    paths = [args.data / args.collection / article for article in sorted(set(pairs.values()))]
    progress = tqdm(paths, desc="articles", unit="article")
    return model, [list(text.tokenize_files(progress, settings["workers"]))]


def compare(model, documents, settings):
    """The row of one list of articles."""
    what, workers = f"labels of {len(documents)} articles", settings["workers"]
    mean = np.mean([len(tokens) for tokens in documents])
    print(f"{what}, {mean:.0f} tokens each, {model.num_topics} topics")
    vectors = {}
    several = f"{workers} processes"
    sides = {
        "one call each": lambda: vectors.update(wanted=straightforward(model, documents, 0)),
        "one process": lambda: vectors.update(one=model.topic_vectors(documents, 0)),
        several: lambda: vectors.update(several=model.topic_vectors(documents, 0, workers)),
    }
    seconds = measuring.in_turn(sides, settings["rounds"], what=what)
    if not np.array_equal(vectors["one"], vectors["several"]):
        raise UserError("one process and several give different vectors: the times mean nothing")
    factor = 1000 / len(documents)
    return measuring.comparison(
        what,
        seconds,
        "one process",
        "one call each",
        "ms per article",
        factor,
        size=len(documents),
        tokens=round(float(mean), 1),
        largest_difference=float(np.abs(vectors["one"] - vectors["wanted"]).max()),
    )


def measure(settings, model, lists):
    """The record: a row per list of articles."""
    with measuring.watched() as seen, threadpool_limits(1):
        model.topic_vectors(lists[0][:1])  # compiles
        rows = [compare(model, documents, settings) for documents in lists]
    values = {"largest difference": max(row["largest_difference"] for row in rows)}
    return measuring.record("labels", settings, rows, seen, values)


def main():
    parser = measuring.parser(__doc__, "articles")
    command_line.add_options(parser, "--data", "--collection")
    parser.add_argument(
        "--work",
        type=Path,
        metavar="DIR",
        help="a work folder whose articles are labelled, in place of drawn ones",
    )
    command_line.add_options(parser, "--topics", default=None)
    command_line.add_options(
        parser, "--workers", default=None, help="processes of the third side (default: 2)"
    )
    args = parser.parse_args()
    settings = measuring.settings(args, FULL, QUICK)
    given = real(args, settings) if args.work else drawn(settings["sizes"], settings["topics"])
    measuring.report(measure(settings, *given), args.out)


if __name__ == "__main__":
    command_line.run(main)
