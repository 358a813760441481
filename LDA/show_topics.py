"""Print the top words of every topic, and make a page of the topics, their images and articles.

Reads:   WORK/LDA/dictionary.dict, ldamodel<topics>.lda; for the images also
         training_labels<topics>.json, the train dict, DATA
Writes:  standard output; WORK/LDA/topics.html (one file, pictures included; replaced at every call)
Paper:   figure of topics
Usage:   python LDA/show_topics.py [--data DIR] [--work DIR] [--topics 40] [--words 10] [--images 8]
         [--page FILE]
"""

import texttopicnet.startup  # noqa: F401  isort: skip

import base64
from pathlib import Path

import cv2
import jinja2

from texttopicnet import (
    artefacts,
    atomic_files,
    command_line,
    files,
    images,
    topics,
)
from texttopicnet.counts import counted
from texttopicnet.errors import UserError
from texttopicnet.labelled_corpus import LabelledCorpus, opening
from texttopicnet.token_store import TokenStore

TEMPLATE = Path(__file__).resolve().parent / "topics.html.jinja"
ARTICLES = 4  # per topic
HEIGHT = 104  # pixels of a thumbnail; it is stored at twice the size, for sharp screens
WIDEST = 2.0  # width to height of a thumbnail; wider images are cropped
QUOTE = 180  # characters of an article that are shown


def print_words(model, count):
    for topic in range(model.num_topics):
        words = ", ".join(
            f"{word} {probability:.3f}" for word, probability in model.top_words(topic, count)
        )
        print(f"topic {topic}: {words}")


def thumbnail(collection, name):
    """An image as a small JPEG in base64, cropped if very wide; None if it cannot be shown."""
    try:
        image = images.read_image(files.member(collection, name))
    except UserError:
        return None
    height, width = image.shape[:2]
    if width > WIDEST * height:
        left = int(width - WIDEST * height) // 2
        image = image[:, left : left + int(WIDEST * height)]
    scale = 2 * HEIGHT / height
    size = max(round(image.shape[1] * scale), 1), 2 * HEIGHT
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    return base64.b64encode(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 72])[1]).decode()


def show(corpus, store, topic, collection, count):
    """The images and articles of a topic, for the template."""
    shown, articles = [], []
    for i in corpus.typical(topic):
        name, probability = corpus.articles[i], corpus.vectors[i, topic]
        if len(articles) < ARTICLES:
            title, quote = opening(store, collection, name, QUOTE)
            articles.append(
                {"title": title, "quote": quote, "name": name, "probability": probability}
            )
        if len(shown) < count:  # one image per article, because its others look similar
            for image in corpus.pairs.images(name):
                jpeg = thumbnail(collection, image)
                if jpeg:
                    shown.append({"jpeg": jpeg, "name": image, "probability": probability})
                    break
        if len(articles) == ARTICLES and len(shown) >= count:
            break
    return shown, articles


def rows_of(model, corpus, store, collection, words, images_per_topic):
    """One dict per topic, in the order of their shares of the corpus, the largest first."""
    rows = []
    for topic in range(model.num_topics):
        row = {
            "number": topic,
            "words": model.top_words(topic, words),
            "share": None,
            "images": [],
            "articles": [],
        }
        if corpus:
            row |= {"share": corpus.shares[topic], "first_in": corpus.first_in(topic)}
            row["images"], row["articles"] = show(
                corpus, store, topic, collection, images_per_topic
            )
        rows.append(row)
    return sorted(rows, key=lambda row: -row["share"]) if corpus else rows


def main():
    parser = command_line.parser(__doc__)
    command_line.add_options(parser, "--data", "--collection", "--work", "--topics")
    parser.add_argument(
        "--words",
        type=command_line.whole("--words"),
        default=10,
        metavar="N",
        help="words per topic (default: 10)",
    )
    parser.add_argument(
        "--images",
        type=command_line.whole("--images", 0),
        default=8,
        metavar="N",
        help="images per topic on the page (default: 8)",
    )
    parser.add_argument(
        "--page",
        type=Path,
        metavar="FILE",
        help="where the page goes (default: WORK/LDA/topics.html)",
    )
    command_line.add_options(parser, "--trust-pickle")
    args = parser.parse_args()
    model = topics.TopicModel.load(args.work, args.topics, args.trust_pickle)
    print_words(model, args.words)

    # without labels the page shows words alone
    is_labelled = (args.work / artefacts.training_labels(args.topics)).exists()
    corpus = LabelledCorpus(args.work, args.topics) if is_labelled else None
    with TokenStore(args.work) as store:
        rows = rows_of(model, corpus, store, args.data / args.collection, args.words, args.images)
    template = jinja2.Template(TEMPLATE.read_text(encoding="utf-8"), autoescape=True)
    page = args.page or args.work / artefacts.TOPICS_PAGE
    with atomic_files.written_whole(page) as temporary:
        temporary.write_text(
            template.render(rows=rows, corpus=corpus, model=model, height=HEIGHT, counted=counted),
            encoding="utf-8",
        )
    print(f"page: {page}")
    return 0


if __name__ == "__main__":
    command_line.run(main)
