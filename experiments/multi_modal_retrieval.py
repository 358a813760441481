"""Retrieve Wikipedia texts by image and images by text: the net's topic vectors against the LDA's.

Reads:   Wikipedia/{testset_txt_img_cat.list,categories.list,texts} below --data; LDA/; the images' prob features
Writes:  experiments/results/retrieval.json below --work
Paper:   the table of Wikipedia retrieval (mean average precision for image and for text queries)
Usage:   python experiments/multi_modal_retrieval.py [--data DIR] [--work DIR] [--features FILE] [--topics 40]
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

from texttopicnet import artefacts, average_precision, features, results
from texttopicnet.artefacts import UserError

PAPER_PAIRS = [34, 88, 96, 85, 65, 58, 51, 41, 71, 104]  # pairs a category in the test list of the paper
MADE_BY = "the set's own list (data/Wikipedia/README.md)"


def read_pairs(folder):
    """Read the test list.

    Parameters
    ----------
    folder : Path
        Holds testset_txt_img_cat.list (``text id <tab> image id <tab> category number``, from 1) and categories.list.

    Returns
    -------
    texts, images : list of str
        Ids; pair i is ``texts[i]``, ``images[i]``.
    categories : ndarray of int64, shape (n_pairs,)
        From 0: rows of `names`.
    names : list of str

    Raises
    ------
    UserError
        A malformed row, a repeated id, or a category that holds no such number.
    """
    names = artefacts.existing(folder / "categories.list", MADE_BY).read_text(encoding="utf-8").split()
    path = artefacts.existing(folder / "testset_txt_img_cat.list", MADE_BY)
    texts, images, categories = [], [], []
    for number, row in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        fields = row.split("\t")
        if not row.strip():
            continue
        if len(fields) != 3 or not fields[2].strip().isdigit() or not 1 <= int(fields[2]) <= len(names):
            raise UserError(f"{path}, line {number}: not 'text id <tab> image id <tab> category 1..{len(names)}'")
        texts.append(fields[0])
        images.append(fields[1])
        categories.append(int(fields[2]) - 1)
    for ids in (texts, images):
        if len(set(ids)) != len(ids):
            raise UserError(f"{path}: {max(ids, key=ids.count)} stands there more than once")
    if not texts:
        raise UserError(f"{path} holds no pair")
    return texts, images, np.array(categories, dtype=np.int64), names


def divergences(texts, images):
    """Kullback-Leibler divergence of every image's topics from every text's, KL(text || image), in nats.

    Both are normalised to sum 1, as scipy.stats.entropy does; KL = sum t log t - sum t log i, with 0 log 0 = 0.
    An image's zeros are raised to the smallest normal float32, so that one absent topic costs much, not everything (D7);
    a text in which no topic reached the threshold says nothing and counts as uniform.

    Parameters
    ----------
    texts : ndarray of shape (n_texts, n_topics)
        >= 0.
    images : ndarray of shape (n_images, n_topics)
        >= 0.

    Returns
    -------
    ndarray of float64, shape (n_texts, n_images)
        Small where they agree.  Equal rows in give bit-equal divergences out: ties stay ties.
    """
    texts, images = np.asarray(texts, dtype=np.float64), np.asarray(images, dtype=np.float64)
    if texts.ndim != 2 or images.ndim != 2 or texts.shape[1] != images.shape[1]:
        raise ValueError(f"topic vectors of {texts.shape} and {images.shape} cannot be compared")
    if (texts < 0).any() or (images < 0).any():
        raise ValueError("topic vectors must not be negative")
    texts = np.where(texts.sum(axis=1, keepdims=True) > 0, texts, 1.0)
    texts = texts / texts.sum(axis=1, keepdims=True)
    images = np.maximum(images, np.finfo(np.float32).tiny)
    images = images / images.sum(axis=1, keepdims=True)
    own = np.einsum("tk,tk->t", texts, np.log(np.where(texts > 0, texts, 1.0)))
    # einsum, not `@`: a BLAS rounds a row differently by its place in the matrix, which would break ties
    return own[:, None] - np.einsum("tk,ik->ti", texts, np.log(images))


def rank(scores, query_ids, candidate_ids):
    """Candidates of every query, smallest score first, equal scores in the order of the sorted ids.

    Parameters
    ----------
    scores : ndarray of shape (n_queries, n_candidates)
    query_ids, candidate_ids : list of str

    Returns
    -------
    queries : ndarray of int64, shape (n_queries,)
        Rows of `scores` in the order of the sorted query ids.
    ranking : ndarray of int64, shape (n_queries, n_candidates)
        Columns of `scores`; row i for query ``queries[i]``.
    """
    queries, candidates = np.argsort(query_ids, kind="stable"), np.argsort(candidate_ids, kind="stable")
    order = np.argsort(scores[np.ix_(queries, candidates)], axis=1, kind="stable")
    return queries, candidates[order]


def retrieve(texts, images, text_ids, image_ids, categories):
    """Rank in both directions and score every query.

    Parameters
    ----------
    texts, images : ndarray of shape (n_pairs, n_topics)
    text_ids, image_ids : list of str
    categories : ndarray of int64, shape (n_pairs,)

    Returns
    -------
    dict
        {'image_query' and 'text_query': (queries, ranking, ap)}; `queries` and `ranking` as from `rank`, ap float64
        (n_pairs,) in the order of `queries`.
    """
    scores = divergences(texts, images)
    directions = {"image_query": (scores.T, image_ids, text_ids), "text_query": (scores, text_ids, image_ids)}
    found = {}
    for direction, (matrix, query_ids, candidate_ids) in directions.items():
        queries, ranking = rank(matrix, query_ids, candidate_ids)
        relevant = categories[ranking] == categories[queries][:, None]
        found[direction] = queries, ranking, average_precision.retrieval(relevant)
    return found


def examples(found, text_ids, image_ids, categories, names, n_images=6):
    """The first images for the first text (by id) of each category: a rule, so that nobody picks the pretty ones."""
    queries, ranking, ap = found["text_query"]
    rows = []
    for c, name in enumerate(names):
        of_category = np.flatnonzero(categories[queries] == c)
        if len(of_category):
            i = of_category[0]
            first = [{"id": image_ids[j], "category": names[categories[j]]} for j in ranking[i, :n_images]]
            rows.append({"text": text_ids[queries[i]], "category": name, "ap": float(ap[i]), "images": first})
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=artefacts.DATA)
    parser.add_argument("--work", type=Path, default=artefacts.ROOT)
    parser.add_argument("--features", type=Path, help="default: experiments/features/wikipedia_prob.npz below --work")
    parser.add_argument("--topics", type=int, default=40)
    parser.add_argument("--note", default="", help="what stands beside the number: training corpus, iterations")
    parser.add_argument("--seed", type=int, default=0, help="of the LDA's inference, as in generate_train_labels.py")
    parser.add_argument("--force", action="store_true")
    args = parser.parse_args()
    start = time.perf_counter()

    output = args.work / "experiments" / "results" / "retrieval.json"
    artefacts.refuse_existing(output, args.force)
    folder = args.data / "Wikipedia"
    text_ids, image_ids, categories, names = read_pairs(folder)
    counts = np.bincount(categories, minlength=len(names))
    print(f"Wikipedia retrieval: {len(text_ids)} pairs in {len(names)} categories, {args.topics} topics")

    source = args.features or args.work / "experiments" / "features" / "wikipedia_prob.npz"
    prob = features.load(source, blob="prob")
    if prob.array.shape[1] != args.topics:
        raise UserError(f"{source} holds {prob.array.shape[1]} numbers an image, not {args.topics}: see --topics")
    wanted = [f"{names[c]}/{image}" for c, image in zip(categories, image_ids, strict=True)]
    images = prob.array[prob.rows(wanted, f"{folder / 'testset_txt_img_cat.list'} and {source}")]
    if images.var(axis=0).max() < 1e-7:
        print("warning: the outputs hardly differ between images: the net has collapsed", file=sys.stderr)

    files = [artefacts.existing(folder / "texts" / f"{text}.xml", MADE_BY) for text in text_ids]
    texts = text_topics(files, args.work, args.topics, args.seed)
    found = retrieve(texts, images, text_ids, image_ids, categories)

    values = {direction: float(ap.mean()) for direction, (_, _, ap) in found.items()}
    values["average"] = (values["image_query"] + values["text_query"]) / 2
    values["chance"] = float((average_precision.retrieval_by_chance(counts[categories], len(text_ids))).mean())
    values["categories"] = {
        name: {direction: float(ap[categories[q] == c].mean()) for direction, (q, _, ap) in found.items()}
        for c, name in enumerate(names)
        if counts[c]
    }
    paper_set = counts.tolist() == PAPER_PAIRS
    results.save(
        output,
        results.record(
            experiment="retrieval",
            corpus="Wikipedia (Rasiwasia et al.)" if paper_set else "another set in the layout of the Wikipedia set",
            values=values,
            split={"pairs": len(text_ids), "categories": dict(zip(names, counts.tolist(), strict=True))},
            seed=args.seed,
            inputs={
                "features": source,
                "pairs": folder / "testset_txt_img_cat.list",
                "texts": files,
                "dictionary": args.work / artefacts.DICTIONARY,
                # gensim lays a model's large arrays beside it
                "lda_model": list((args.work / "LDA").glob(Path(artefacts.lda_model(args.topics)).name + "*")),
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
        print(f"{name:>20}: image query {row['image_query']:.4f}, text query {row['text_query']:.4f}")
    print(
        f"mean AP over {len(text_ids)} pairs: image query {values['image_query']:.4f}, text query "
        f"{values['text_query']:.4f}, average {values['average']:.4f}, chance {values['chance']:.4f} -> {output}"
    )


def text_topics(files, work, num_topics, seed):
    """Topic vectors of articles by the LDA model below `work`: ndarray of float32, shape (n_files, num_topics)."""
    from texttopicnet import text  # gensim and NLTK take seconds to import: --help need not wait for them
    from texttopicnet.topics import TopicModel

    model = TopicModel.load(work, num_topics)
    return model.topic_vectors([text.tokenize(text.read_article(f)) for f in files], seed=seed)


if __name__ == "__main__":
    artefacts.run(main)
