"""Retrieve texts by texts of the same category: what each embedding keeps of a text's subject.

Reads:   SET/{trainset,testset}_txt_img_cat.list, categories.list, texts/; with --articles the files
         in that folder
Writes:  WORK/experiments/results/text/retrieval_<name>.json, after each embedding: a stopped run
         resumes
Paper:   none of its tables; the embeddings are those of the journal version (arXiv 1807.02110)
Usage:   python experiments/text_to_text_retrieval.py [--set DIR] [--articles DIR]
                                                      [--name wikipedia] [--passes 1 5 20 50]
"""

import texttopicnet.startup  # noqa: F401  isort: skip

import argparse
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from gensim.corpora import Dictionary
from sklearn.metrics.pairwise import cosine_similarity
from text_measurements import Kept, rows_of
from threadpoolctl import threadpool_limits

from texttopicnet import (
    artefacts,
    average_precision,
    command_line,
    dictionary_filter,
    embeddings,
    parallel,
    results,
    retrieval,
    text,
    topics,
    vocabulary,
)
from texttopicnet.errors import UserError

# for reference: not reduced to the few numbers that a net predicts
ALL_WORDS = "tfidf of all words"
UNSEEDED = ("tfidf", ALL_WORDS)  # they have no random step: one seed is enough
KL, KL_WHOLE, COSINE = "KL", "KL, whole", "cosine"


class Corpus(NamedTuple):
    """What every embedding learns from and is measured on."""

    dictionary: Dictionary
    bows: list
    articles: list  # token lists to learn from
    texts: list  # token lists, each a query and a candidate
    ids: list
    categories: np.ndarray  # int64, shape (n_texts,)
    num_topics: int


def average_precisions(scores: np.ndarray, ids: list[str], categories: np.ndarray) -> np.ndarray:
    """AP of each text as a query against all others.

    Parameters
    ----------
    scores : ndarray of float64, shape (n_texts, n_texts)
        Row: query, column: candidate; small where they agree.  Finite; the diagonal, a text against
        itself, is ignored.
    ids : list of str
        Of the texts; equal scores are ranked in their order.
    categories : ndarray of int64, shape (n_texts,)
        A candidate of the query's category is relevant; each category has at least two texts.

    Returns
    -------
    ndarray of float64, shape (n_texts,)
    """
    scores = np.array(scores, dtype=np.float64)
    np.fill_diagonal(scores, np.inf)
    queries, ranking = retrieval.rank(scores, ids, ids)
    others = ranking[:, :-1]  # the text itself is last
    relevant = categories[others] == categories[queries][:, None]
    ap = np.empty(len(ids))
    ap[queries] = average_precision.retrieval(relevant)
    return ap


def measure(corpus: Corpus, job: tuple[str, int | None, int]) -> dict[str, np.ndarray]:
    """Learn one embedding and rank by it: {measure: AP of each text}."""
    name, passes, seed = job
    learn_from = corpus.dictionary, corpus.bows
    # one core per process, so that sums do not depend on the number of cores
    with threadpool_limits(1, user_api="blas"):
        if name == "lda":
            model = topics.TopicModel.learn(
                *learn_from, corpus.num_topics, passes=passes, workers=1, seed=seed
            )
            vectors = model.topic_vectors(corpus.texts, seed).astype(np.float64)
            whole = model.distributions(
                [np.array(corpus.dictionary.doc2idx(t), np.int32) for t in corpus.texts], seed
            )
            scores = {
                KL: retrieval.divergences(vectors, vectors),
                KL_WHOLE: retrieval.divergences(whole, whole),
            }
        else:
            learnt = "tfidf" if name == ALL_WORDS else name
            model = embeddings.BY_NAME[learnt].learn(
                *learn_from, corpus.articles, corpus.num_topics, seed
            )
            vectors = (
                model.sparse_vectors(corpus.texts)
                if name == ALL_WORDS
                else model.vectors(corpus.texts, seed)
            )
            scores = {}
        scores[COSINE] = -cosine_similarity(vectors.astype(np.float64))
    return {
        measure: average_precisions(matrix, corpus.ids, corpus.categories)
        for measure, matrix in scores.items()
    }


def text_files(folder: Path, ids: list[str]) -> list[Path]:
    return [retrieval.text_file(folder, i) for i in ids]


def article_files(args: argparse.Namespace) -> list[Path]:
    """The files to learn from: those below --articles, or the set's training texts."""
    if not args.articles:
        return text_files(args.set, retrieval.read_pairs(args.set, retrieval.TRAIN_LIST)[0])
    found = sorted(path for path in args.articles.rglob("*") if path.is_file())
    if not found:
        raise UserError(
            f"{args.articles} holds no articles: give the folder of the texts to learn from"
            " (data/README.md)"
        )
    return found


def prepare(
    articles: list[list[str]],
    texts: list[list[str]],
    ids: list[str],
    categories: np.ndarray,
    args: argparse.Namespace,
) -> Corpus:
    """The dictionary of the articles, filtered as in learn_LDA_model.py, and what goes with it;
    refused where it is too small.
    """
    dictionary = Dictionary(articles)
    dictionary_filter.apply(dictionary, args.no_below, args.no_above)
    if "tfidf" in args.embeddings and len(dictionary) < args.topics:
        raise UserError(
            f"tfidf of {args.topics} numbers needs as many words, and the dictionary has"
            f" {len(dictionary)}: give a lower --topics, or --embeddings without tfidf"
        )
    bows = [dictionary.doc2bow(tokens) for tokens in articles]
    return Corpus(dictionary, bows, articles, texts, ids, categories, args.topics)


def main() -> None:
    parser = command_line.parser(__doc__)
    parser.add_argument(
        "--set",
        type=Path,
        default=artefacts.DATA / "Wikipedia",
        metavar="DIR",
        help="folder of the retrieval set (default: data/Wikipedia)",
    )
    parser.add_argument(
        "--articles",
        type=Path,
        metavar="DIR",
        help="learn from all files below this folder, not from the set's training texts",
    )
    parser.add_argument(
        "--name", default="wikipedia", help="name of the record's file (default: wikipedia)"
    )
    command_line.add_options(parser, "--work", "--topics")
    command_line.add_options(
        parser,
        "--passes",
        nargs="+",
        default=[1, 5, 20, 50],
        help="passes of LDA, one model each (default: 1 5 20 50)",
    )
    command_line.add_options(parser, "--seeds", default=[0, 1, 2])
    parser.add_argument(
        "--embeddings",
        nargs="+",
        choices=[*embeddings.NAMES, ALL_WORDS],
        default=[*embeddings.NAMES, ALL_WORDS],
        help="which to measure (default: all)",
    )
    command_line.add_options(parser, "--no-below", default=dictionary_filter.NO_BELOW)
    command_line.add_options(parser, "--no-above", default=dictionary_filter.NO_ABOVE)
    command_line.add_options(
        parser,
        "--workers",
        help="embeddings learnt at one time; the result does not depend on it (default: 2)",
    )
    command_line.add_options(parser, "--note", "--force")
    args = parser.parse_args()
    start = time.perf_counter()

    output = args.work / artefacts.RESULTS / "text" / f"retrieval_{args.name}.json"
    kept_path = output.with_name(f"{output.name}.partial")
    if not kept_path.exists():
        artefacts.refuse_existing(output, args.force)
    ids, _, categories, names = retrieval.read_pairs(args.set)
    counts = np.bincount(categories, minlength=len(names))
    if (counts == 1).any():
        alone = names[list(counts).index(1)]
        raise UserError(
            f"{args.set / retrieval.TEST_LIST}: {alone} has only one text, and so no other to find:"
            " leave it out"
        )
    texts, articles = text_files(args.set, ids), article_files(args)
    print(
        f"text-to-text retrieval: {len(ids)} texts in {len(names)} categories, embeddings learnt"
        f" from {len(articles)} articles"
    )

    tokens = list(text.tokenize_files([*articles, *texts], args.workers))
    corpus = prepare(tokens[: len(articles)], tokens[len(articles) :], ids, categories, args)
    jobs = [
        (name, passes, seed)
        for name in dict.fromkeys(args.embeddings)
        for passes in (dict.fromkeys(args.passes) if name == "lda" else [None])
        for seed in (args.seeds[:1] if name in UNSEEDED else dict.fromkeys(args.seeds))
    ]
    name_of_set, paper_set = retrieval.corpus_of(counts)
    chance = float(
        average_precision.retrieval_by_chance(counts[categories] - 1, len(ids) - 1).mean()
    )
    record = results.record(
        experiment="text_to_text_retrieval",
        corpus=name_of_set,
        values={"chance": chance, "rows": []},
        split={
            "learnt from": len(articles),
            "texts": len(ids),
            "categories": dict(zip(names, counts.tolist(), strict=True)),
        },
        seed=args.seeds,
        inputs={"pairs": args.set / retrieval.TEST_LIST, "texts": texts, "articles": articles},
        seconds=0,
        note=args.note,
        paper_set=paper_set,
        name=args.name,
        topics=args.topics,
        words=len(corpus.dictionary),
        tokens={"article": mean_length(corpus.articles), "text": mean_length(corpus.texts)},
    )
    same = {field: record[field] for field in ("inputs", "split", "topics", "words", "versions")}
    kept = Kept(kept_path, same | {"words of": vocabulary.digest(corpus.dictionary)}, args.force)
    missing = [job for job in jobs if job not in kept.measured]
    if len(missing) < len(jobs):
        print(
            f"{kept_path}: {len(jobs) - len(missing)} of {len(jobs)} embeddings and seeds have been"
            " measured already"
        )
    for job, found in zip(
        missing, parallel.ordered_map(measure, missing, args.workers, corpus), strict=True
    ):
        record["seconds"] = round(kept.seconds + time.perf_counter() - start, 1)
        kept.add(job, found, record["seconds"])
        save(output, record, kept, jobs, categories, names)
        means = ", ".join(f"{m} {ap.mean():.4f}" for m, ap in found.items())
        print(
            f"{job[0]}{f', passes {job[1]}' if job[1] else ''}, seed {job[2]}: mean AP by {means}",
            flush=True,
        )
    save(output, record, kept, jobs, categories, names)
    kept_path.unlink(missing_ok=True)
    print(f"mean AP by chance {chance:.4f} -> {output}")


def save(
    output: Path,
    record: dict,
    kept: Kept,
    jobs: list[tuple],
    categories: np.ndarray,
    names: list[str],
) -> None:
    """Write the record of the jobs that have been measured."""
    measured = [(job, kept.measured[job]) for job in jobs if job in kept.measured]
    record["values"]["rows"] = rows_of(measured, categories, names)
    results.save(output, record)


def mean_length(documents: list[list[str]]) -> float:
    return float(np.mean([len(tokens) for tokens in documents]))


if __name__ == "__main__":
    command_line.run(main)
