"""Time the training of topics: compiled E-steps in several processes against gensim's LdaMulticore.

Reads:   nothing, or with --work WORK/LDA/{dictionary.dict,bow.mm}
Writes:  nothing, or with --out a JSON record; prints articles per second and their ratio
Paper:   section 3.1 (the topic model)
Usage:   python benchmarks/learn_topics.py [--work DIR] [--articles 4000] [--passes 1] [--rounds 3]
         [--workers 2] [--out FILE]

Both sides learn from the same bags of words with the same settings, in turn, round by round, so
that other work on the machine affects both.  LdaMulticore is what the original uses.  A third side
is gensim's LdaModel in one process, whose model ours must be, up to rounding.
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np
from gensim.corpora import Dictionary
from gensim.models import LdaModel, LdaMulticore

from texttopicnet import (
    bags,
    command_line,
    json_files,
    lda_training,
    parallel,
    results,
    token_store,
)

WORDS = 20_000  # of the drawn corpus
TOKENS = 1_500  # per drawn article: 1,112 distinct words on average


def drawn(count, num_topics, seed=0):
    """Dictionary and bags of words drawn from LDA's own model."""
    rng = np.random.default_rng(seed)
    topics = rng.dirichlet(np.full(WORDS, 0.02), num_topics)
    documents = []
    for _ in range(count):
        counts = rng.multinomial(TOKENS, rng.dirichlet(np.full(num_topics, 0.1)) @ topics)
        words = np.flatnonzero(counts)
        documents.append(list(zip(words.tolist(), counts[words].tolist(), strict=True)))
    dictionary = Dictionary()
    dictionary.token2id = {f"word{i}": i for i in range(WORDS)}
    dictionary.num_docs = count
    return dictionary, documents


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, help="a work folder whose articles are learnt from")
    for option, default, text in (
        ("--articles", 4000, "articles to draw, without --work"),
        ("--topics", 40, "topics to learn"),
        ("--passes", 1, "passes over the corpus"),
        ("--rounds", 3, "times that each side learns"),
        ("--workers", 2, "processes of either side"),
    ):
        parser.add_argument(
            option,
            type=command_line.whole(option),
            default=default,
            metavar="N",
            help=f"{text} (default: {default})",
        )
    parser.add_argument("--out", type=Path, metavar="FILE", help="where a record goes, as JSON")
    args = parser.parse_args()
    if args.work:
        with token_store.TokenStore(args.work) as store:
            dictionary, corpus = bags.load(args.work, store)
        corpus = list(corpus)
    else:
        dictionary, corpus = drawn(args.articles, args.topics)
    distinct = float(np.mean([len(document) for document in corpus]))
    print(f"{len(corpus)} articles of {distinct:.0f} distinct words, {args.topics} topics")
    settings = {"num_topics": args.topics, "passes": args.passes}
    gensims = settings | {"id2word": dictionary, "random_state": 0, "eval_every": None}

    def ours():
        with parallel.executor(args.workers) as executor:
            return lda_training.learn(
                dictionary, corpus, seed=0, executor=executor, compiled=True, **settings
            )

    sides = {
        "LdaMulticore": lambda: LdaMulticore(corpus, workers=args.workers, **gensims),
        "LdaModel": lambda: LdaModel(corpus, update_every=3, **gensims),
        "compiled": ours,
    }
    lda_training.learn(dictionary, corpus[:10], args.topics, compiled=True)  # compiles
    seconds = {name: [] for name in sides}
    for i in range(args.rounds):
        for name, learn in sides.items():
            start = time.perf_counter()
            model = learn()
            seconds[name].append(time.perf_counter() - start)
            print(f"round {i}: {name} {seconds[name][-1]:.2f} s", flush=True)
            if name == "LdaModel":
                wanted = model.get_topics()
    difference = float(np.abs(model.get_topics() - wanted).max())
    ratios = np.divide(seconds["LdaMulticore"], seconds["compiled"])
    print(f"probabilities of words differ from LdaModel's by {difference:.1e} at most")
    print(
        f"LdaMulticore / compiled: {np.median(ratios):.2f}"
        f" ({ratios.min():.2f} to {ratios.max():.2f}) with {args.workers} processes each"
    )
    if args.out:
        json_files.write(
            args.out,
            {
                "articles": len(corpus),
                "distinct words": round(distinct, 1),
                **settings,
                "workers": args.workers,
                "seconds": {name: np.round(times, 2).tolist() for name, times in seconds.items()},
                "LdaMulticore / compiled": np.round(np.sort(ratios), 2).tolist(),
                "difference from LdaModel": difference,
                "load": [round(load, 2) for load in os.getloadavg()],
                "commit": results.commit(),
                "versions": results.versions(),
                "hardware": results.hardware(),
            },
        )
        print(args.out)


if __name__ == "__main__":
    command_line.run(main)
