"""Compare models with more and fewer topics by held-out perplexity and coherence.

Reads:   WORK/LDA/train_dict_ImageCLEF_Wikipedia.json; dictionary.dict, bow.mm and tokens.sqlite of
         learn_LDA_model.py
Writes:  WORK/LDA/choose_topics.json, a result record that is whole after every model, so that a
         stopped run can be resumed; choose_topics.png
Paper:   section 3.1 (40 topics)
Usage:   python LDA/choose_topics.py [--work DIR] [--topics 10 20 40 60 80 100] [--passes 1]
         [--seeds 0 1] [--workers 3]
"""

import texttopicnet.startup  # noqa: F401  isort: skip

import time

import numpy as np
import topic_numbers_plot
from gensim.models import CoherenceModel
from tqdm import tqdm

from texttopicnet import (
    artefacts,
    bags,
    command_line,
    json_files,
    origin,
    parallel,
    results,
    topics,
)
from texttopicnet.counts import counted
from texttopicnet.errors import UserError
from texttopicnet.pairs import Pairs
from texttopicnet.token_store import Texts, TokenStore

TOP_WORDS = 10  # words per topic whose coherence is measured, as by Röder et al.
RECORD, PLOT = "LDA/choose_topics.json", "LDA/choose_topics.png"


def coherences(model, texts, workers=1):
    """c_v coherence of every topic's `TOP_WORDS` most probable words.

    It measures how similar the contexts of those words are, in windows of 110 tokens (Röder, Both
    and Hinneburg, Exploring the space of topic coherence measures, WSDM 2015; gensim's
    CoherenceModel).  Higher is better.

    Parameters
    ----------
    model : topics.TopicModel
    texts : iterable of list of str
        Tokens of articles.
    workers : int
        Processes that count; the result does not depend on their number.

    Returns
    -------
    ndarray of float64, shape (num_topics,)
        From about 0 to 1; NaN if a word of the topic is in none of the texts.
    """
    words = [
        [word for word, _ in model.top_words(topic, TOP_WORDS)] for topic in range(model.num_topics)
    ]
    measure = CoherenceModel(
        topics=words,
        texts=texts,
        dictionary=model.dictionary,
        coherence="c_v",
        topn=TOP_WORDS,
        processes=parallel.usable(workers),
    )
    with np.errstate(divide="ignore", invalid="ignore"):  # for words that are in no text
        return np.array(measure.get_coherence_per_topic())


def split(ranks, num_articles, share, seed):
    """Hold out whole articles, never only some of an article's documents.

    Parameters
    ----------
    ranks : ndarray of int, shape (n_documents,)
        The article of each document: 0 to num_articles - 1.
    share : float
        Share of the articles that is held out.
    seed : int

    Returns
    -------
    learning, held_out : ndarray of int
        Numbers of the documents to learn from, which are all documents of their articles, and of
        the first document of every held-out article.

    Raises
    ------
    UserError
        One of them is empty.
    """
    count = round(share * num_articles)
    if not 0 < count < num_articles:
        raise UserError(
            f"--held-out {share:g} of {counted(num_articles, 'article')} leaves nothing to"
            f" {'learn from' if count else 'measure on'}: give another share"
        )
    is_held_out = np.zeros(num_articles, bool)
    is_held_out[np.random.default_rng(seed).choice(num_articles, count, replace=False)] = True
    first = np.unique(ranks, return_index=True)[1]
    return np.flatnonzero(~is_held_out[ranks]), np.sort(first[is_held_out])


def load_bags(work, store, pairs, trust=False):
    """(dictionary, corpus, article of each document); UserError if they do not belong together."""
    dictionary, corpus = bags.load(work, store, trust, by_number=True)
    origin.check_words(dictionary, work / artefacts.DICTIONARY, work)
    if corpus.num_docs == len(pairs):  # one document per image
        ranks = np.fromiter((rank for _, rank in pairs.ranks()), np.int64)
    elif corpus.num_docs == pairs.num_articles:  # --unique-articles
        ranks = np.arange(corpus.num_docs)
    else:
        raise UserError(
            f"{work / artefacts.BOW} has {counted(corpus.num_docs, 'document')}, but the train dict"
            f" {counted(len(pairs), 'image')} and {counted(pairs.num_articles, 'article')}:"
            f" {bags.REMEDY}"
        )
    return dictionary, corpus, ranks


def sample(store, pairs, count, seed):
    """Token lists of `count` articles drawn at random, or of all if there are fewer."""
    number = pairs.num_articles
    chosen = set(
        np.random.default_rng(seed).choice(number, min(count, number), replace=False).tolist()
    )
    names = [article for rank, (article, _) in enumerate(pairs.articles()) if rank in chosen]
    for name in names:
        if name not in store:
            raise UserError(f"{store.path} lacks the tokens of {name}: fill it with {bags.MADE_BY}")
    return Texts(store, lambda: names)


def measure(model, held_out, texts, workers):
    """The numbers of one model, for the record."""
    found = coherences(model, texts, workers)
    measured = found[~np.isnan(found)]
    if not len(measured):
        raise UserError(
            "every topic has a word that is in none of the articles: give more --coherence-articles"
        )
    return {
        "perplexity": round(model.perplexity(held_out), 2),
        "coherence": round(float(measured.mean()), 4),
        "topics_without_coherence": len(found) - len(measured),
    }


def summary(row):
    """The line that is printed about one model."""
    left_out, without = row["topics_without_coherence"], ""
    if left_out:
        without = f" ({counted(left_out, 'topic')} left out, for words that are in no article)"
    return (
        f"{row['topics']} topics, seed {row['seed']}: perplexity {row['perplexity']:.1f},"
        f" coherence {row['coherence']:.3f}{without}; learnt in {row['learning_seconds']:.0f} s"
    )


def add(record, row, seconds):
    """Put a model into the record."""
    record["models"] = sorted(
        [*record["models"], row], key=lambda row: (row["topics"], row["seed"])
    )
    record["values"] = {
        name: topic_numbers_plot.by_topics(record["models"], name)
        for name in ("perplexity", "coherence")
    }
    record["seconds"] = round(record["seconds"] + seconds, 1)


def resume(record, path):
    """Put an earlier run's models and seconds into the record; UserError if they were measured
    differently.
    """
    if not path.exists():
        return
    found = json_files.read(path, "python LDA/choose_topics.py --force")
    for field in ("experiment", "seed", "split", "settings", "inputs"):
        if found.get(field) != record[field]:
            raise UserError(
                f"{path} was measured with other settings or artefacts ({field}:"
                f" {found.get(field)}): give"
                " --force to replace it"
            )
    record |= {name: found[name] for name in ("models", "values", "seconds")}


def new_record(args, pairs, learning, held_out, texts):
    """The record, without models."""
    words = int(sum(count for document in held_out for _, count in document))
    if not words:
        raise UserError(
            f"the {len(held_out)} held-out articles have no word of the dictionary: give a larger"
            " --held-out"
        )
    names = {
        "train_dict": artefacts.TRAIN_DICT,
        "dictionary": artefacts.DICTIONARY,
        "bow": artefacts.BOW,
    }
    return results.record(
        experiment="choose_topics",
        corpus=f"{pairs.num_articles} articles of {len(pairs)} images",
        values={},
        split={
            "learning_documents": len(learning),
            "held_out_articles": len(held_out),
            "held_out_words": words,
            "coherence_articles": len(texts.names()),
        },
        seed=args.split_seed,
        inputs={name: args.work / path for name, path in names.items()},
        seconds=0,
        note="values are means over the models of each number of topics, one model per seed",
        settings={"passes": args.passes, "update_every": args.update_every, "top_words": TOP_WORDS},
        models=[],
    )


def main():
    parser = command_line.parser(__doc__)
    command_line.add_options(parser, "--work")
    command_line.add_options(
        parser,
        "--topics",
        type=command_line.whole("--topics", 2),
        nargs="+",
        default=[10, 20, 40, 60, 80, 100],
        help="numbers of topics to compare (default: 10 20 40 60 80 100)",
    )
    command_line.add_options(parser, "--passes")
    command_line.add_options(parser, "--update-every", default=topics.UPDATE_EVERY)
    command_line.add_options(parser, "--seeds", default=[0, 1])
    command_line.add_options(parser, "--workers", default=3)
    parser.add_argument(
        "--held-out",
        type=command_line.share("--held-out"),
        default=0.1,
        metavar="SHARE",
        help="share of the articles on which perplexity is measured (default: %(default)s)",
    )
    parser.add_argument(
        "--coherence-articles",
        type=command_line.whole("--coherence-articles"),
        default=2000,
        metavar="N",
        help="articles on which coherence is measured (default: %(default)s)",
    )
    parser.add_argument(
        "--split-seed",
        type=command_line.seed("--split-seed"),
        default=0,
        metavar="N",
        help="seed that draws both, the same for all models (default: %(default)s)",
    )
    command_line.add_options(parser, "--force", "--trust-pickle")
    args = parser.parse_args()

    record_path = args.work / RECORD
    pairs = Pairs.load(args.work / artefacts.TRAIN_DICT)
    artefacts.existing(args.work / artefacts.TOKENS, bags.MADE_BY)
    with TokenStore(args.work) as store:
        dictionary, corpus, ranks = load_bags(args.work, store, pairs, args.trust_pickle)
        learning, held_out = (
            corpus[numbers]
            for numbers in split(ranks, pairs.num_articles, args.held_out, args.split_seed)
        )
        texts = sample(store, pairs, args.coherence_articles, args.split_seed)
        record = new_record(args, pairs, learning, held_out, texts)
        if not args.force:
            resume(record, record_path)
        numbers, seeds = sorted(set(args.topics)), sorted(set(args.seeds))
        done = {(row["topics"], row["seed"]) for row in record["models"]}
        missing = [(k, seed) for seed in seeds for k in numbers if (k, seed) not in done]
        total = len(numbers) * len(seeds)
        print(
            f"models of {', '.join(map(str, numbers))} topics, seeds {', '.join(map(str, seeds))},"
            f" passes {args.passes}: learning from {counted(len(learning), 'document')},"
            f" perplexity on {len(held_out)} other articles, coherence on"
            f" {counted(len(texts.names()), 'article')};"
            f" {total - len(missing)} of {total} models exist already"
        )
        bar = tqdm(missing, unit="model", disable=not missing)
        for k, seed in bar:
            bar.set_description(f"{k} topics, seed {seed}")
            start = time.perf_counter()
            model = topics.TopicModel.learn(
                dictionary, learning, k, args.passes, args.workers, seed, args.update_every
            )
            row = {
                "topics": k,
                "seed": seed,
                "learning_seconds": round(time.perf_counter() - start, 1),
            }
            row |= measure(model, held_out, texts, args.workers)
            add(record, row, time.perf_counter() - start)
            results.save(record_path, record)
            tqdm.write(summary(row))
    topic_numbers_plot.draw(record, args.work / PLOT)
    print(f"record: {record_path}; plot: {args.work / PLOT}")
    return 0


if __name__ == "__main__":
    command_line.run(main)
