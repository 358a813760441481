"""Retrieve Wikipedia texts by image and images by text: the net's topic vectors against the LDA's.

Reads:   DATA/Wikipedia/{testset_txt_img_cat.list,categories.list,texts}, WORK/LDA/, the images'
         prob features; with --lda own also trainset_txt_img_cat.list
Writes:  WORK/experiments/results/retrieval.json, or retrieval_own.json
Paper:   the table of Wikipedia retrieval (mean average precision for image and for text queries)
Usage:   python experiments/multi_modal_retrieval.py [--data DIR] [--work DIR] [--features FILE]
                                                     [--topics 40] [--lda corpus|own|both]
         python experiments/multi_modal_retrieval.py --topics FILE.npz

The second form evaluates ready vectors and prints JSON: FILE.npz has the arrays text and image
(n_pairs, n_topics), category, text_ids and image_ids (n_pairs,).
"""

import texttopicnet.startup  # noqa: F401  isort: skip

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import own_topics
import retrieval_examples

from texttopicnet import (
    artefacts,
    average_precision,
    command_line,
    features,
    results,
)
from texttopicnet.errors import UserError
from texttopicnet.retrieval import (
    TEST_LIST,
    TRAIN_LIST,
    both_directions,
    corpus_of,
    mean_average_precisions,
    read_pairs,
    text_file,
)

READY = ("text", "image", "category", "text_ids", "image_ids")


def ready_vectors(path: Path) -> tuple[np.ndarray, np.ndarray, list[str], list[str], np.ndarray]:
    """Texts, images, text ids, image ids and categories of a file of ready vectors.

    Raises
    ------
    UserError
        The file cannot be read, lacks an array, or its arrays are not those of pairs.
    """
    artefacts.existing(path, "numpy.savez(FILE, text=..., image=..., category=..., ...)")
    try:
        with np.load(path, allow_pickle=False) as f:
            found = {name: f[name] for name in READY}
        for name in ("text_ids", "image_ids"):
            if found[name].dtype.kind == "S":
                found[name] = found[name].astype(str)
    except features.READ_ERRORS as error:
        why = " ".join(str(error).split()) or type(error).__name__
        if "allow_pickle" in why:
            why = "it is not an .npz file, or has an array of Python objects, which is not loaded"
        raise UserError(
            f"{path} does not hold the arrays {', '.join(READY)} ({why}): save them with"
            " numpy.savez"
        ) from error
    if wrong := why_not_pairs(found):
        raise UserError(f"{path}: {wrong}; --help says what the file must hold")
    text_ids, image_ids = found["text_ids"].tolist(), found["image_ids"].tolist()
    return found["text"], found["image"], text_ids, image_ids, found["category"]


def why_not_pairs(found: dict[str, np.ndarray]) -> str | None:
    """What is wrong with the arrays of a file of ready vectors, or None."""
    text, image = found["text"], found["image"]
    if text.ndim != 2 or text.shape != image.shape or not text.size:
        return f"text {text.shape} and image {image.shape} are not vectors of the same pairs"
    for name in ("text", "image"):
        if found[name].dtype.kind not in "fiu":
            return f"{name} must hold finite numbers, not {found[name].dtype}"
        with np.errstate(over="ignore"):
            wrong = np.flatnonzero(~np.isfinite(found[name].sum(axis=1, dtype=np.float64)))
        if len(wrong):
            return f"{name} must hold finite numbers, and its row {wrong[0]} does not"
        if (found[name] < 0).any():
            return f"{name} holds a negative number, and topic vectors are at least 0"
    for name in ("category", "text_ids", "image_ids"):
        if found[name].shape != (len(text),):
            return f"{name} {found[name].shape} does not have an entry for each of {len(text)} rows"
    category = found["category"]
    numbers = category.dtype.kind in "biuf" and np.isfinite(category).all()
    if not numbers and category.dtype.kind not in "SU":
        return "category must hold finite numbers or names"
    for name in ("text_ids", "image_ids"):
        if found[name].dtype.kind not in "iuU" or len(np.unique(found[name])) != len(text):
            return f"{name} must be names, each of them once"
    return None


def evaluate_ready(path: Path) -> dict:
    """APs of ready vectors, with the names and in the order of the recording of the original."""
    texts, images, text_ids, image_ids, categories = ready_vectors(path)
    print(f"{path}: {len(texts)} pairs, {texts.shape[1]} topics", file=sys.stderr)
    found = both_directions(texts, images, text_ids, image_ids, categories)
    report = {}
    for direction, ids in (("image_query", image_ids), ("text_query", text_ids)):
        report[f"ap_{direction}"] = found[direction].ap.tolist()
        report[f"{direction}_order"] = [ids[q] for q in found[direction].queries]
    means = mean_average_precisions(found)
    return report | {f"map_{name}": value for name, value in means.items()}


def topics_or_file(text: str) -> int | Path:
    """The value of --topics: a number of topics, or a file of ready vectors."""
    if text.endswith(".npz"):
        return Path(text)
    try:
        return command_line.whole("--topics")(text)
    except UserError as error:
        raise UserError(f"{error}, or ready vectors in a file that ends in .npz") from None


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


def parse() -> argparse.Namespace:
    """The command line; `num_topics` is --topics where that is a number."""
    parser = command_line.parser(__doc__)
    command_line.add_options(parser, "--data", "--work")
    parser.add_argument(
        "--features",
        type=Path,
        metavar="FILE",
        help="features of blob prob (default: WORK/experiments/features/wikipedia_prob.npz)",
    )
    command_line.add_options(
        parser,
        "--topics",
        type=topics_or_file,
        metavar="N or FILE.npz",
        help="number of topics (default: 40), or ready vectors to evaluate",
    )
    parser.add_argument(
        "--lda",
        choices=("corpus", "own", "both"),
        default="corpus",
        help="topics of the training corpus, of the retrieval set's own training texts, or one"
        " after the other (default: corpus)",
    )
    parser.add_argument(
        "--net-lda",
        choices=("corpus", "own"),
        default="corpus",
        help="with --lda own: whose topics the net has learnt; those of the corpus are translated"
        " (default: corpus)",
    )
    command_line.add_options(
        parser, "--passes", default=20, help="with --lda own: passes of its LDA (default: 20)"
    )
    command_line.add_options(parser, "--no-below", "--no-above", "--note")
    command_line.add_options(
        parser,
        "--seed",
        help="seed of LDA's inference, as in generate_train_labels.py (default: 0)",
    )
    command_line.add_options(parser, "--force", "--trust-pickle")
    args = parser.parse_args()
    args.num_topics = args.topics
    return args


def main() -> None:
    args = parse()
    if isinstance(args.topics, Path):
        print(json.dumps(evaluate_ready(args.topics)))
        return
    for lda in ("corpus", "own") if args.lda == "both" else (args.lda,):
        evaluate(args, lda)


def evaluate(args: argparse.Namespace, lda: str) -> None:
    """Rank by the topics of the corpus or of the set's own LDA, and write the record."""
    start = time.perf_counter()
    own = lda == "own"

    output = args.work / (artefacts.OWN_RETRIEVAL_RECORD if own else artefacts.RETRIEVAL_RECORD)
    artefacts.refuse_existing(output, args.force)
    folder = args.data / "Wikipedia"
    text_ids, image_ids, categories, names = read_pairs(folder)
    counts = np.bincount(categories, minlength=len(names))
    print(
        f"Wikipedia retrieval: {len(text_ids)} pairs in {len(names)} categories,"
        f" {args.topics} topics of the {'set itself' if own else 'corpus'}"
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
    variance = [float(v) for v in (images.var(axis=0).min(), images.var(axis=0).max())]

    files = [text_file(folder, text) for text in text_ids]
    inputs = {"features": source, "pairs": folder / TEST_LIST, "texts": files}
    if own:
        texts, images, learnt_from = own_topics.vectors(folder, files, images, args)
        inputs |= {"training_pairs": folder / TRAIN_LIST, "training_texts": learnt_from}
    else:
        texts = text_topics(files, args.work, args.topics, args.seed, args.trust_pickle)
    if not own or args.net_lda == "corpus":
        models = (args.work / "LDA").glob(Path(artefacts.lda_model(args.topics)).name + "*")
        # gensim stores a model's large arrays beside it
        inputs |= {"dictionary": args.work / artefacts.DICTIONARY, "lda_model": list(models)}
    found = both_directions(texts, images, text_ids, image_ids, categories)

    values = mean_average_precisions(found)
    values["chance"] = float(
        (average_precision.retrieval_by_chance(counts[categories], len(text_ids))).mean()
    )
    values["categories"] = {
        name: {
            direction: float(ap[categories[queries] == c].mean())
            for direction, (queries, ap) in found.items()
        }
        for c, name in enumerate(names)
        if counts[c]
    }
    corpus, paper_set = corpus_of(counts)
    labels = [names[c] for c in categories]
    shown = retrieval_examples.examples(found, texts, images, text_ids, image_ids, labels)
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
            inputs=inputs,
            seconds=time.perf_counter() - start,
            note=args.note,
            paper_set=paper_set,
            topics=args.topics,
            lda=lda,
            net_lda=args.net_lda,
            image_variance=variance,
            weights_sha256=prob.weights_sha256,
            examples={} if own else shown,
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
