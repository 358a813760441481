"""Time the training of topics: compiled E-steps in threads against gensim's LdaMulticore.

Reads:   nothing, or with --work WORK/LDA/{dictionary.dict,bow.mm}
Writes:  a record, if --out names one; prints seconds and their ratio
Paper:   section 3.1 (the topic model)
Usage:   python benchmarks/learn_topics.py [--quick] [--sizes 2000 6000] [--rounds 3] [--work DIR]
         [--topics 40] [--passes 1] [--workers 2] [--out FILE]

Both sides learn from the same bags of words with the same settings, in as many threads (ours) or
processes (LdaMulticore, which the original uses).  gensim's LdaModel learns once in one process:
ours must be its model, up to rounding.
"""

from pathlib import Path

import measuring
import numpy as np
from drawn_articles import draw_bags
from gensim.models import LdaModel, LdaMulticore

from texttopicnet import bags, command_line, lda_training, parallel, token_store

FULL = {"sizes": [2000, 6000], "rounds": 3, "topics": 40, "passes": 1, "workers": 2}
QUICK = FULL | {"sizes": [1000], "rounds": 2}


def real(work):
    """Dictionary and bags of words of a work folder."""
    with token_store.TokenStore(work) as store:
        dictionary, corpus = bags.load(work, store)
    return dictionary, list(corpus)


def compare(dictionary, corpus, settings):
    """The row of one corpus."""
    distinct = float(np.mean([len(document) for document in corpus]))
    what = f"topics of {len(corpus)} articles"
    print(f"{what}, {distinct:.0f} distinct words each, {settings['topics']} topics")
    common = {"num_topics": settings["topics"], "passes": settings["passes"]}
    gensims = common | {"id2word": dictionary, "random_state": 0, "eval_every": None}
    models = {}

    def ours():
        with parallel.executor(settings["workers"]) as executor:
            models["ours"] = lda_training.learn(
                dictionary, corpus, seed=0, executor=executor, **common
            )

    sides = {
        "LdaMulticore": lambda: LdaMulticore(corpus, workers=settings["workers"], **gensims),
        "compiled": ours,
    }
    lda_training.learn(dictionary, corpus[:10], settings["topics"])  # compiles
    seconds = measuring.in_turn(sides, settings["rounds"], what=what)
    wanted = LdaModel(corpus, update_every=3, **gensims).get_topics()
    difference = float(np.abs(models["ours"].get_topics() - wanted).max())
    factor = 1000 / len(corpus) / settings["passes"]
    return measuring.comparison(
        what,
        seconds,
        "compiled",
        "LdaMulticore",
        "ms per article and pass",
        factor,
        size=len(corpus),
        distinct_words=round(distinct, 1),
        difference_from_LdaModel=difference,
    )


def measure(settings, work=None):
    """The record: a row per size, or one of the corpus of a work folder."""
    with measuring.watched() as seen:
        if work:
            rows = [compare(*real(work), settings)]
        else:
            corpora = (draw_bags(size, settings["topics"]) for size in settings["sizes"])
            rows = [compare(*corpus, settings) for corpus in corpora]
    differences = [row["difference_from_LdaModel"] for row in rows]
    values = {"largest difference of a word's probability from LdaModel's": max(differences)}
    return measuring.record("topics", settings, rows, seen, values)


def main():
    parser = measuring.parser(__doc__, "articles")
    parser.add_argument(
        "--work",
        type=Path,
        metavar="DIR",
        help="a work folder whose articles are learnt from, in place of drawn ones",
    )
    command_line.add_options(parser, "--topics", "--passes", "--workers", default=None)
    args = parser.parse_args()
    measuring.report(measure(measuring.settings(args, FULL, QUICK), args.work), args.out)


if __name__ == "__main__":
    command_line.run(main)
