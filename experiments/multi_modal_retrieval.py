"""Retrieve Wikipedia texts by image and images by text: the net's topic vectors against the LDA's.

Reads:   DATA/Wikipedia/{testset_txt_img_cat.list,categories.list,texts}, WORK/LDA/, the images'
         prob features
Writes:  WORK/experiments/results/retrieval.json
Paper:   the table of Wikipedia retrieval (mean average precision for image and for text queries)
Usage:   python experiments/multi_modal_retrieval.py [--data DIR] [--work DIR] [--features FILE]
                                                     [--topics 40]
"""

import texttopicnet.startup  # noqa: F401  isort: skip

import sys
import time
from pathlib import Path

import numpy as np

from texttopicnet import artefacts, average_precision, command_line, features, results
from texttopicnet.errors import UserError
from texttopicnet.retrieval import TEST_LIST, corpus_of, divergences, rank, read_pairs, text_file


def retrieve(
    texts: np.ndarray,
    images: np.ndarray,
    text_ids: list[str],
    image_ids: list[str],
    categories: np.ndarray,
) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Rank in both directions and score every query.

    Parameters
    ----------
    texts, images : ndarray of shape (n_pairs, n_topics)
    text_ids, image_ids : list of str
    categories : ndarray of int64, shape (n_pairs,)

    Returns
    -------
    dict
        {'image_query' and 'text_query': (queries, ranking, ap)}; `queries` and `ranking` as from
        `rank`, ap float64 (n_pairs,) in the order of `queries`.
    """
    scores = divergences(texts, images)
    directions = {
        "image_query": (scores.T, image_ids, text_ids),
        "text_query": (scores, text_ids, image_ids),
    }
    found = {}
    for direction, (matrix, query_ids, candidate_ids) in directions.items():
        queries, ranking = rank(matrix, query_ids, candidate_ids)
        relevant = categories[ranking] == categories[queries][:, None]
        found[direction] = queries, ranking, average_precision.retrieval(relevant)
    return found


def examples(
    found: dict,
    text_ids: list[str],
    image_ids: list[str],
    categories: np.ndarray,
    names: list[str],
    n_images: int = 6,
) -> list[dict]:
    """The first images for the first text (by id) of each category: a rule, so that no example is
    chosen by hand.
    """
    queries, ranking, ap = found["text_query"]
    rows = []
    for c, name in enumerate(names):
        of_category = np.flatnonzero(categories[queries] == c)
        if len(of_category):
            i = of_category[0]
            first = [
                {"id": image_ids[j], "category": names[categories[j]]}
                for j in ranking[i, :n_images]
            ]
            rows.append(
                {
                    "text": text_ids[queries[i]],
                    "category": name,
                    "ap": float(ap[i]),
                    "images": first,
                }
            )
    return rows


def text_topics(
    files: list[Path], work: Path, num_topics: int, seed: int, trust: bool = False
) -> np.ndarray:
    """Topic vectors of articles by the LDA model below `work`.

    Returns
    -------
    ndarray of float32, shape (n_files, num_topics)
    """
    # gensim and NLTK take seconds to import, which --help need not wait for
    from texttopicnet import text
    from texttopicnet.topics import TopicModel

    model = TopicModel.load(work, num_topics, trust)
    return model.topic_vectors([text.tokenize(text.read_article(f)) for f in files], seed=seed)


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.add_options(parser, "--data", "--work")
    parser.add_argument(
        "--features",
        type=Path,
        metavar="FILE",
        help="features of blob prob (default: WORK/experiments/features/wikipedia_prob.npz)",
    )
    command_line.add_options(parser, "--topics", "--note")
    command_line.add_options(
        parser,
        "--seed",
        help="seed of LDA's inference, as in generate_train_labels.py (default: 0)",
    )
    command_line.add_options(parser, "--force", "--trust-pickle")
    args = parser.parse_args()
    start = time.perf_counter()

    output = args.work / artefacts.RETRIEVAL_RECORD
    artefacts.refuse_existing(output, args.force)
    folder = args.data / "Wikipedia"
    text_ids, image_ids, categories, names = read_pairs(folder)
    counts = np.bincount(categories, minlength=len(names))
    print(
        f"Wikipedia retrieval: {len(text_ids)} pairs in {len(names)} categories,"
        f" {args.topics} topics"
    )

    source = args.features or args.work / artefacts.RETRIEVAL_FEATURES
    prob = features.load(source, blob="prob")
    if prob.array.shape[1] != args.topics:
        raise UserError(
            f"{source} holds {prob.array.shape[1]} numbers per image, not {args.topics}: give the"
            " right --topics"
        )
    image_names = [f"{names[c]}/{image}" for c, image in zip(categories, image_ids, strict=True)]
    images = prob.array[prob.rows(image_names, f"{folder / TEST_LIST} and {source}")]
    if images.var(axis=0).max() < 1e-7:
        print(
            "warning: the outputs hardly differ between images: the net has collapsed",
            file=sys.stderr,
        )

    files = [text_file(folder, text) for text in text_ids]
    texts = text_topics(files, args.work, args.topics, args.seed, args.trust_pickle)
    found = retrieve(texts, images, text_ids, image_ids, categories)

    values = {direction: float(ap.mean()) for direction, (_, _, ap) in found.items()}
    values["average"] = (values["image_query"] + values["text_query"]) / 2
    values["chance"] = float(
        (average_precision.retrieval_by_chance(counts[categories], len(text_ids))).mean()
    )
    values["categories"] = {
        name: {
            direction: float(ap[categories[q] == c].mean())
            for direction, (q, _, ap) in found.items()
        }
        for c, name in enumerate(names)
        if counts[c]
    }
    corpus, paper_set = corpus_of(counts)
    results.save(
        output,
        results.record(
            experiment="retrieval",
            corpus=corpus,
            values=values,
            split={
                "pairs": len(text_ids),
                "categories": dict(zip(names, counts.tolist(), strict=True)),
            },
            seed=args.seed,
            inputs={
                "features": source,
                "pairs": folder / TEST_LIST,
                "texts": files,
                "dictionary": args.work / artefacts.DICTIONARY,
                # gensim stores a model's large arrays beside it
                "lda_model": list(
                    (args.work / "LDA").glob(Path(artefacts.lda_model(args.topics)).name + "*")
                ),
            },
            seconds=time.perf_counter() - start,
            note=args.note,
            paper_set=paper_set,
            topics=args.topics,
            image_variance=[float(v) for v in (images.var(axis=0).min(), images.var(axis=0).max())],
            weights_sha256=prob.weights_sha256,
            examples=examples(found, text_ids, image_ids, categories, names),
        ),
    )
    for name, row in values["categories"].items():
        print(
            f"{name:>20}: image query {row['image_query']:.4f}, text query {row['text_query']:.4f}"
        )
    print(
        f"mean AP over {len(text_ids)} pairs: image query {values['image_query']:.4f},"
        f" text query {values['text_query']:.4f}, average {values['average']:.4f},"
        f" chance {values['chance']:.4f} -> {output}"
    )


if __name__ == "__main__":
    command_line.run(main)
