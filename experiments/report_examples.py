"""A part of make_tables.py: the figures of pictures and texts (topics and retrieval)."""

import html
import math
import re
import textwrap
from pathlib import Path

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from report_drawing import BLUE, GREY, MUTED, NARROW, WIDE, Drawn, Item, LeftOut, Row

from texttopicnet import artefacts, features, files, images
from texttopicnet.errors import UserError

TAG, MARKS = re.compile(r"<[^>]*>|={2,}"), re.compile(r"\[\[|\]\]|'{2,}")
ENDINGS = (".jpg", ".jpeg", ".png")
SIDE = 112  # pixels of a picture's square
WORDS, PICTURES = 8, 6  # per topic
TOPICS, FIRST_TOPICS = 60, 12  # on the page, and in the picture
TEXTS = 3  # per image
QUOTE = 200  # characters of a text
MARGIN, HEAD = 8.0, 214.0  # of a drawing, in hundredths of an inch
DIRECTIONS = {
    "image_query": (
        "retrieval_texts_for_image",
        "Texts found for an image",
        "the first three texts for it",
    ),
    "text_query": (
        "retrieval_images_for_text",
        "Images found for a text",
        "the first six images for it",
    ),
}
RULE = (
    "The queries are chosen by a rule, not by hand: all are sorted by their AP, and the best, the"
    " one at each quartile and the worst are shown, with {}."
)
RETRIEVAL_BY = "python experiments/multi_modal_retrieval.py"


def picture(folder: Path, name: str) -> bytes:
    """A square JPEG of an image's middle.

    Parameters
    ----------
    folder : Path
        The images' folder.
    name : str
        The image's path below it, without its ending, as in a features file.

    Raises
    ------
    UserError
        The image is missing, cannot be read, or its name leads out of the folder.
    """
    endings = (end for end in ENDINGS if (folder / f"{name}{end}").exists())
    image = images.read_image(files.member(folder, f"{name}{next(endings, ENDINGS[0])}"))
    height, width = image.shape[:2]
    side = min(height, width)
    y, x = (height - side) // 2, (width - side) // 2
    small = cv2.resize(
        image[y : y + side, x : x + side], (SIDE, SIDE), interpolation=cv2.INTER_AREA
    )
    return cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()


def quote(folder: Path, text: str) -> str:
    """The beginning of a text of the retrieval set, without its markup."""
    raw = files.read_member(folder, f"texts/{text}.xml").decode("utf-8", "replace")
    words = " ".join(html.unescape(MARKS.sub("", TAG.sub(" ", raw))).split())
    return words if len(words) <= QUOTE else words[:QUOTE].rsplit(" ", 1)[0] + " …"


def most_of(vectors: np.ndarray, ids: list[str], count: int = PICTURES) -> np.ndarray:
    """The rows with the highest value of each topic, the highest first, ties by id.

    Parameters
    ----------
    vectors : ndarray of float, shape (n_images, n_topics)
    ids : list of str
    count : int

    Returns
    -------
    ndarray of int64, shape (n_topics, min(count, n_images))
    """
    by_id = np.argsort(np.array(ids), kind="stable")
    order = np.argsort(-vectors[by_id], axis=0, kind="stable")[:count]
    return by_id[order].T


def topics(
    work: Path, data: Path, num_topics: int, trust: bool, records: list[dict]
) -> Drawn | LeftOut:
    """The images for which the net gives the highest value of each topic, with the topic's words.

    Parameters
    ----------
    work, data : Path
    num_topics : int
    trust : bool
        See `TopicModel.load`.
    records : list of dict
        The record of the retrieval, which has the same features.
    """
    from texttopicnet.topics import TopicModel  # imports gensim, which takes a second

    name, title = "topics", "Topics: words, and the images with most of each"
    folder = data / "Wikipedia" / "images"
    try:
        model = TopicModel.load(work, num_topics, trust)
        found = features.load(work / artefacts.RETRIEVAL_FEATURES, blob="prob")
        if found.array.shape[1] != num_topics:
            raise UserError(
                f"{work / artefacts.RETRIEVAL_FEATURES} holds {found.array.shape[1]} numbers per"
                f" image, and the model has {num_topics} topics: give the right --topics"
            )
        best = most_of(found.array, found.ids)
        largest = np.argsort(-found.array.mean(axis=0), kind="stable")[:TOPICS]
        shown: dict[int, bytes] = {}
        for i in np.unique(best[largest]).tolist():
            shown[i] = picture(folder, found.ids[i])
    except UserError as error:
        return LeftOut(name, title, f"{error}.")
    rows = [
        Row(
            f"Topic {topic}",
            ", ".join(word for word, _ in model.top_words(int(topic), WORDS)),
            [Item(f"{found.array[i, topic]:.2f}", shown[i]) for i in best[topic].tolist()],
        )
        for topic in largest.tolist()
    ]
    caption = (
        f"A row per topic: its {WORDS} most probable words, and the {best.shape[1]} of the"
        f" {len(found.ids):,} images of the retrieval set for which the net's output of this topic"
        " is highest (the number below). Topics are in the order of their mean output."
    )
    alt = f"The words of {len(rows)} topics, each with the images that have most of it."
    return Drawn(
        name,
        title,
        caption,
        alt,
        lambda narrow: drawing(rows[:FIRST_TOPICS], narrow),
        records,
        rows,
    )


def retrieval(record: dict | None, data: Path, direction: str) -> Drawn | LeftOut:
    """What was found for the queries that the record's examples name.

    Parameters
    ----------
    record : dict or None
        Of multi_modal_retrieval.py, in topics of the corpus.
    data : Path
    direction : {'image_query', 'text_query'}
    """
    name, title, shown = DIRECTIONS[direction]
    if record is None:
        return LeftOut(
            name, title, f"There is no record of the retrieval: {RETRIEVAL_BY} makes it."
        )
    examples = record.get("examples")
    if not isinstance(examples, dict) or direction not in examples:
        why = "The record of the retrieval is of an earlier version and has no such examples"
        return LeftOut(name, title, f"{why}: {RETRIEVAL_BY} --force adds them.")
    rows, folder = [], data / "Wikipedia"
    of_image = direction == "image_query"

    def image_of(entry: dict) -> bytes:
        return picture(folder / "images", f"{entry['category']}/{entry['id']}")

    try:
        for query in examples[direction]:
            items = []
            for answer in query["found"][: TEXTS if of_image else None]:
                right = answer["category"] == query["category"]
                content = (
                    {"text": quote(folder, answer["id"])}
                    if of_image
                    else {"jpeg": image_of(answer)}
                )
                items.append(Item(answer["category"], right=right, **content))
            text = "" if of_image else quote(folder, query["id"])
            place = query["place"][0].upper() + query["place"][1:]
            head = f"{place}: {query['category']}, AP {100 * query['ap']:.1f}"
            rows.append(Row(head, text, items, image_of(query) if of_image else b""))
    except UserError as error:
        return LeftOut(name, title, f"{error}.")
    caption = RULE.format(shown) + " ✓ means the query's category. AP counts all candidates."
    alt = f"{len(rows)} queries, from the best to the worst, each with what was found first."
    return Drawn(name, title, caption, alt, lambda narrow: drawing(rows, narrow), [record], rows)


def drawing(rows: list[Row], narrow: bool) -> Figure:
    """Rows of pictures or texts as a figure: what a row belongs to, and its items beside it or, on
    a narrow screen, below it.

    The unit of both axes is a hundredth of an inch; y goes down.
    """
    width = 100 * (NARROW if narrow else WIDE)
    figure = Figure(figsize=(width / 100, 1))
    axes = figure.add_axes((0, 0, 1, 1))
    y = 8.0
    for row in rows:
        y = draw_row(axes, row, y, width, narrow) + 14
    figure.set_size_inches(width / 100, y / 100)
    axes.set(xlim=(0, width), ylim=(y, 0), aspect="auto")
    axes.set_axis_off()
    return figure


def draw_row(axes: Axes, row: Row, y: float, width: float, narrow: bool) -> float:
    """Draw a row from y on; returns where it ends."""
    x, size = MARGIN, (width - 4 * MARGIN) / 3
    below = y
    for line in textwrap.wrap(row.title, 52 if narrow else 30):
        axes.text(x, below, line, va="top", weight="bold", fontsize=8.5)
        below += 15
    for line in textwrap.wrap(row.text, 62 if narrow else 34):
        axes.text(x, below, line, va="top", fontsize=7.5)
        below += 12.5
    if row.jpeg:
        place(axes, row.jpeg, x, below + 3, 92)
        below += 95
    if narrow:
        y = below + 5
    else:
        x += HEAD
        size = (width - x - PICTURES * MARGIN) / PICTURES
    for item in (item for item in row.items if not item.jpeg):
        axes.text(x, y, marked(item), va="top", fontsize=7.5, weight="bold", color=colour(item))
        y += 13
        for line in textwrap.wrap(item.text, 62 if narrow else 108):
            axes.text(x, y, line, va="top", fontsize=7.5)
            y += 12
        y += 5
    columns = 3 if narrow else PICTURES
    pictures = [item for item in row.items if item.jpeg]
    for i, item in enumerate(pictures):
        left, top = x + i % columns * (size + MARGIN), y + i // columns * (size + 20)
        place(axes, item.jpeg, left, top, size)
        if item.right is not None:
            line = (
                {"linewidth": 2, "edgecolor": BLUE}
                if item.right
                else {"linewidth": 1, "edgecolor": GREY}
            )
            axes.add_patch(Rectangle((left, top), size, size, facecolor="none", **line))
        axes.text(left, top + size + 3, marked(item), va="top", fontsize=7.5, color=colour(item))
    y += math.ceil(len(pictures) / columns) * (size + 20)
    return max(y, below)


def place(axes, jpeg: bytes, x: float, y: float, size: float) -> None:
    """Put a picture into a drawing."""
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    axes.imshow(image, extent=(x, x + size, y + size, y), interpolation="none", aspect="auto")


def marked(item: Item) -> str:
    """An item's caption, with a mark if it is a right or wrong answer."""
    return {True: "✓ ", False: "✗ ", None: ""}[item.right] + item.caption


def colour(item: Item) -> str:
    """Of an item's caption: blue for a right answer."""
    return BLUE if item.right else MUTED
