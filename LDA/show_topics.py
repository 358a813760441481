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
import itertools
import re
from pathlib import Path

import cv2
import jinja2
import numpy as np

from texttopicnet import (
    artefacts,
    atomic_files,
    command_line,
    files,
    images,
    json_files,
    markup,
    text,
    topics,
    training_labels,
)
from texttopicnet.counts import counted
from texttopicnet.errors import UserError
from texttopicnet.pairs import Pairs
from texttopicnet.token_store import TokenStore

TEMPLATE = Path(__file__).resolve().parent / "topics.html.jinja"
ARTICLES = 4  # per topic
HEIGHT = 104  # pixels of a thumbnail; it is stored at twice the size, for sharp screens
WIDEST = 2.0  # width to height of a thumbnail; wider images are cropped
QUOTE = 180  # characters of an article that are shown
NO_TEXT = re.compile(r"={2,}|'{2,}|\s+")


def print_words(model, count):
    for topic in range(model.num_topics):
        words = ", ".join(
            f"{word} {probability:.3f}" for word, probability in model.top_words(topic, count)
        )
        print(f"topic {topic}: {words}")


class Corpus:
    """The articles and images with their labels.

    Attributes
    ----------
    articles : tuple of str
        Names of the articles.
    vectors : ndarray of float32, shape (n_articles, num_topics)
        Their topic vectors.
    shares : ndarray of float64, shape (num_topics,)
        The topics' shares of the corpus; they sum to 1.
    """

    def __init__(self, work, num_topics):
        made_by = f"python LDA/generate_train_labels.py --topics {num_topics}"
        path = work / artefacts.training_labels(num_topics)
        self.pairs = Pairs.load(work / artefacts.TRAIN_DICT)
        self.articles, copies = zip(*self.pairs.articles(), strict=True)
        self.num_images = len(self.pairs)
        self.vectors = np.zeros((len(self.articles), num_topics), np.float32)
        labels = json_files.stream(path, made_by)
        for (image, rank), (labelled, vector) in itertools.zip_longest(
            self.pairs.ranks(), labels, fillvalue=(None, None)
        ):
            if image != labelled:
                raise UserError(
                    f"{path} {self.difference(path, made_by)}; move it away, then make it with"
                    f" {made_by}"
                )
            training_labels.check("lda", image, vector, num_topics, made_by)
            self.vectors[rank] = vector
        # one document per image, as in learning
        shares = self.vectors.T @ np.array(copies, np.float64)
        self.shares = shares / shares.sum()

    def difference(self, path, made_by):
        """How the labelled images differ from the train dict's."""
        labelled = {image for image, _ in json_files.stream(path, made_by)}
        images = {image for image, _ in self.pairs}
        if labelled == images:
            return "has the train dict's images in another order, or has one of them twice"
        only = ", ".join(
            f"{len(some)} only in the {what}, such as {min(some)}"
            for some, what in ((labelled - images, "labels"), (images - labelled, "train dict"))
            if some
        )
        return f"has other images than the train dict: {only}"

    def typical(self, topic):
        """Indices of the articles that have a topic, those with the highest probability first."""
        order = np.argsort(-self.vectors[:, topic], kind="stable")
        return [i for i in order if self.vectors[i, topic] > 0]

    def first_in(self, topic):
        """The number of articles in which the topic is the largest."""
        return int((self.vectors.argmax(axis=1) == topic).sum())


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


def opening(store, collection, name):
    """First line and following text of an article without its markup, or the file's name and '' if
    it cannot be read.
    """
    path = collection / name
    title, quote = store.opening(name)
    if title:
        return title, shortened(NO_TEXT.sub(" ", quote).strip())
    try:
        path = files.member(collection, files.find_article(collection, name))
        clean = markup.filter_wiki(text.read_article(path)[: 50 * QUOTE])
    except UserError:
        return path.name, ""
    lines = [
        line for line in (NO_TEXT.sub(" ", line).strip() for line in clean.split("\n")) if line
    ]
    if not lines:
        return path.name, ""
    if len(lines[0]) > 80:  # not a title
        return path.name, shortened(" ".join(lines))
    return lines[0], shortened(" ".join(lines[1:]))


def shortened(quote):
    return quote if len(quote) <= QUOTE else quote[:QUOTE].rsplit(" ", 1)[0] + " …"


def show(corpus, store, topic, collection, count):
    """The images and articles of a topic, for the template."""
    shown, articles = [], []
    for i in corpus.typical(topic):
        name, probability = corpus.articles[i], corpus.vectors[i, topic]
        if len(articles) < ARTICLES:
            title, quote = opening(store, collection, name)
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
    corpus = Corpus(args.work, args.topics) if is_labelled else None
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
