"""Time the topic vectors of articles against one `get_document_topics` call per article.

Reads:   WORK/LDA/dictionary.dict, ldamodel<topics>.lda, train_dict_ImageCLEF_Wikipedia.json; the
         articles below DATA
Writes:  nothing; prints the seconds of both, their ratio, and how far the vectors differ
Paper:   section 3.2 (the LDA vector is the image's target)
Usage:   python benchmarks/label_articles.py [--data DIR] [--work DIR] [--topics 40] [--rounds 3]
         [--workers 2]

All sides get the same tokens and the same start.  They run in turn, round by round, so that other
work on the machine affects all of them.  The straightforward way is gensim's:
`get_document_topics(dictionary.doc2bow(tokens))`, one article after the other.  BLAS has one
thread, so that one process uses one core.
"""

import time

import numpy as np
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from texttopicnet import artefacts, command_line, json_files, text, topics
from texttopicnet.errors import UserError


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


def timed(function, *arguments):
    start = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - start, result


def main():
    parser = command_line.parser(__doc__)
    command_line.add_options(parser, "--data", "--collection", "--work", "--topics")
    command_line.add_options(parser, "--rounds")
    command_line.add_options(parser, "--workers", help="processes of the third side (default: 2)")
    command_line.add_options(parser, "--seed")
    args = parser.parse_args()
    model = topics.TopicModel.load(args.work, args.topics)
    pairs = json_files.read(args.work / artefacts.TRAIN_DICT, "python LDA/generate_train_dict.py")
    paths = [args.data / args.collection / article for article in sorted(set(pairs.values()))]
    tokens = text.tokenize_files(tqdm(paths, desc="articles", unit="article"), args.workers)
    documents = list(tokens)
    mean = np.mean([len(tokens) for tokens in documents])
    print(
        f"{len(documents)} articles of {mean:.0f} tokens, {model.num_topics} topics,"
        f" {args.rounds} rounds"
    )
    threadpool_limits(1)
    model.topic_vectors(documents[:1])  # compiles
    sides = []
    for i in range(args.rounds):
        theirs, wanted = timed(straightforward, model, documents, args.seed)
        alone, vectors = timed(model.topic_vectors, documents, args.seed)
        shared, again = timed(model.topic_vectors, documents, args.seed, args.workers)
        if not np.array_equal(vectors, again):
            raise UserError("one process and several give different vectors")
        sides.append((theirs, alone, shared))
        print(
            f"round {i}: one call per article {theirs:.2f} s, one process {alone:.2f} s,"
            f" {args.workers} processes {shared:.2f} s"
        )
    others = ((vectors > 0) != (wanted > 0)).any(axis=1).sum()
    print(
        f"vectors differ by {np.abs(vectors - wanted).max():.1e} at most; {others} articles have"
        " other topics above 0"
    )
    theirs, alone, shared = np.median(sides, axis=0) / len(documents) * 1e6
    print(
        f"median per article: one call {theirs:.0f} us, one process {alone:.0f} us (ratio"
        f" {theirs / alone:.1f}), {args.workers} processes {shared:.0f} us (ratio"
        f" {theirs / shared:.1f})"
    )
    return 0


if __name__ == "__main__":
    command_line.run(main)
