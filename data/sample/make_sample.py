"""Make the sample data sets: illustrated articles, a VOC-layout set and a retrieval set.

Reads:   nothing; texts and pictures are drawn (articles.py, scenes.py)
Writes:  OUT/ImageCLEF_Wikipedia/{images,metadata,text}, OUT/Wikipedia/, OUT/VOCdevkit/VOC2007/
         with Annotations/ (the boxes of the objects)
Paper:   takes the place of the data sets of section 4; no number of the paper comes from it
Usage:   python data/sample/make_sample.py [--out data/sample] [--seed 0] [--articles 500] [--force]

An article is about one theme and borrows words from a second one; its images show the first.  The
blemishes of the real collection are here too: PNGs, small images, grey and CMYK JPEGs, broken XML,
missing and foreign articles, `_text/`.
"""

import io
from collections.abc import Callable
from pathlib import Path
from xml.sax.saxutils import escape

import cv2
import numpy as np
import scipy.io
from articles import THEMES, article, sentences
from PIL import Image
from scenes import OBJECTS, Object, draw_scene
from tqdm import tqdm

from texttopicnet import artefacts, atomic_files, command_line

METADATA = """<?xml version="1.0" encoding="UTF-8" ?>
<image id="{id}" file="{file}">
  <name>{name}</name>
  <text xml:lang="en"><description /><comment /><caption{english}>{caption}</caption></text>
  <text xml:lang="de"><description /><comment /><caption{german} /></text>
  <comment>(drawn by make_sample.py)</comment>
  <license>MIT</license>
</image>
"""


ANNOTATION = """<annotation>
  <folder>VOC2007</folder>
  <filename>{image}.jpg</filename>
  <size><width>{width}</width><height>{height}</height><depth>3</depth></size>
{objects}</annotation>
"""
OBJECT = """  <object>
    <name>{name}</name>
    <difficult>{difficult}</difficult>
    <bndbox><xmin>{0}</xmin><ymin>{1}</ymin><xmax>{2}</xmax><ymax>{3}</ymax></bndbox>
  </object>
"""


def write_jpeg(path: Path, image: np.ndarray) -> None:
    cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, 90])


def write_grey(path: Path, image: np.ndarray) -> None:
    write_jpeg(path, cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))


def write_cmyk(path: Path, image: np.ndarray) -> None:
    held = io.BytesIO()
    Image.fromarray(image[:, :, ::-1]).convert("CMYK").save(held, "JPEG", quality=90)
    path.write_bytes(held.getvalue())


WRITERS: dict[str, Callable[[Path, np.ndarray], object]] = {  # by blemish; write_jpeg for others
    "png": lambda path, image: cv2.imwrite(str(path), image),
    "small": lambda path, image: write_jpeg(path, cv2.resize(image, (200, 180))),
    "grey": write_grey,
    "cmyk": write_cmyk,
    "unreadable": lambda path, _: path.write_bytes(b"\xff\xd8 this is no picture"),
    "no image": lambda *_: None,
}
BLEMISHES = (
    "png",
    "small",
    "grey",
    "cmyk",
    "two dots",
    "unreadable",
    "no image",
    "broken XML",
    "foreign",
    "no article",
    "_text",
)


def put_image(collection: Path, number: int, image: np.ndarray, blemish: str) -> str:
    """Write the image of a metadata file; returns its path below the collection."""
    name = f"{number}.v1" if blemish == "two dots" else str(number)
    ending = "png" if blemish == "png" else "jpg"
    file = collection / "images" / str(number % 10) / f"{name}.{ending}"
    file.parent.mkdir(parents=True, exist_ok=True)
    WRITERS.get(blemish, write_jpeg)(file, image)
    return file.relative_to(collection).as_posix()


def metadata_of(number: int, file: str, theme: str, article_path: str, blemish: str) -> str:
    """The XML of an image, as in ImageCLEF's collection."""
    where = f"_{article_path}" if blemish == "_text" else article_path
    if blemish == "no article":
        where += "0000"
    named, is_foreign = f' article="{escape(where)}"', blemish == "foreign"
    xml = METADATA.format(
        id=number,
        file=file,
        name=f"{theme} {number}",
        caption="" if is_foreign else f"A picture of {theme}",
        english="" if is_foreign else named,
        german=named if is_foreign else "",
    )
    return xml[: xml.index("<caption")] if blemish == "broken XML" else xml


def make_collection(folder: Path, rng: np.random.Generator, n_articles: int) -> None:
    """Articles with one to three images each, in the layout of the ImageCLEF 2010 Wikipedia
    collection.
    """
    themes, number = list(THEMES), 0
    for n in tqdm(range(1, n_articles + 1), desc="articles", unit="article"):
        theme = themes[n % len(themes)]
        other = themes[rng.integers(len(themes))]
        path = folder / "text" / "en" / str(n % 10) / str(n)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(article(theme, rng, other), encoding="utf-8")
        for _ in range(rng.integers(1, 4)):
            number += 1
            blemish = BLEMISHES[rng.integers(len(BLEMISHES))] if rng.random() < 0.08 else ""
            file = put_image(folder, number, draw_scene(theme, rng)[0], blemish)
            metadata = folder / "metadata" / str(number % 10) / f"{number}.xml"
            metadata.parent.mkdir(parents=True, exist_ok=True)
            where = path.relative_to(folder).as_posix()
            xml = metadata_of(number, file, theme, where, blemish)
            metadata.write_text(xml, encoding="utf-8")


def make_retrieval(folder: Path, rng: np.random.Generator, pairs_per_theme: int) -> None:
    """Text-image pairs by theme, in the layout of the Wikipedia set of Rasiwasia et al.; none of
    the texts is an article's.
    """
    rows = []
    (folder / "texts").mkdir(parents=True)
    for c, theme in enumerate(THEMES, start=1):
        (folder / "images" / theme).mkdir(parents=True)
        for _ in range(pairs_per_theme):
            text, image = (rng.bytes(16).hex() for _ in range(2))
            other = list(THEMES)[rng.integers(len(THEMES))]
            body = escape("\n".join(sentences(theme, rng, 2, other)))
            (folder / "texts" / f"{text}.xml").write_text(
                f"<document><text>\n{body}\n</text></document>\n", encoding="utf-8"
            )
            write_jpeg(folder / "images" / theme / f"{image}.jpg", draw_scene(theme, rng)[0])
            rows.append(f"{text}\t{image}\t{c}\n")
    (folder / "categories.list").write_text("".join(f"{theme}\n" for theme in THEMES))
    (folder / "testset_txt_img_cat.list").write_text(
        "".join(rows[i] for i in rng.permutation(len(rows)))
    )


def raw_features(text: str, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What stands for the real set's features: 128 colours of the image, 10 themes of the text.

    Returns
    -------
    image : ndarray of float64, shape (128,)
        Histogram of 4 x 4 x 8 colours (B, G, R), of sum 1.
    text : ndarray of float64, shape (10,)
        Share of each theme's words, smoothed; of sum 1.
    """
    colours = cv2.calcHist([image], [0, 1, 2], None, [4, 4, 8], [0, 256] * 3).ravel()
    words = text.lower().split()
    own = [set(names.split()) for names in THEMES.values()]
    counts = [1 + sum(word.strip(".,") in names for word in words) for names in own]
    return colours.astype(np.float64) / colours.sum(), np.array(counts) / sum(counts)


def make_training_pairs(folder: Path, rng: np.random.Generator, pairs_per_theme: int) -> None:
    """Add a training list with texts, and features of both lists, to the retrieval set.

    The images are drawn for their features alone, and not kept.
    """
    rows, features = [], {"tr": [], "te": []}
    themes = list(THEMES)
    for c, theme in enumerate(THEMES, start=1):
        for _ in range(pairs_per_theme):
            text, image = (rng.bytes(16).hex() for _ in range(2))
            body = "\n".join(sentences(theme, rng, 2, themes[rng.integers(len(themes))]))
            (folder / "texts" / f"{text}.xml").write_text(
                f"<document><text>\n{escape(body)}\n</text></document>\n", encoding="utf-8"
            )
            features["tr"].append(raw_features(body, draw_scene(theme, rng)[0]))
            rows.append(f"{text}\t{image}\t{c}\n")
    (folder / "trainset_txt_img_cat.list").write_text("".join(rows))
    for row in (folder / "testset_txt_img_cat.list").read_text().splitlines():
        text, image, c = row.split("\t")
        path = folder / "images" / themes[int(c) - 1] / f"{image}.jpg"
        body = (folder / "texts" / f"{text}.xml").read_text(encoding="utf-8")
        features["te"].append(raw_features(body, cv2.imread(str(path))))
    sides = {}
    for split, found in features.items():
        images, texts = zip(*found, strict=True)
        sides |= {f"I_{split}": np.array(images), f"T_{split}": np.array(texts)}
    # MATLAB's header has the date: written here, the same seed gives the same bytes
    held = io.BytesIO()
    scipy.io.savemat(held, sides)
    header = b"MATLAB 5.0 MAT-file, made by make_sample.py".ljust(116)
    (folder / "raw_features.mat").write_bytes(header + held.getvalue()[116:])


def annotation_of(
    image: str, pixels: np.ndarray, objects: list[Object], labels: dict[str, int]
) -> str:
    """The XML of a VOC image: its objects' boxes, inclusive and from 1, cut at the image's edges.

    All objects of a class whose label is 0 are difficult, which is what the label means.
    """
    height, width = pixels.shape[:2]
    rows = []
    for name, (x1, y1, x2, y2) in objects:
        box = max(x1, 0) + 1, max(y1, 0) + 1, min(x2, width - 1) + 1, min(y2, height - 1) + 1
        rows.append(OBJECT.format(*box, name=name, difficult=int(labels[name] == 0)))
    return ANNOTATION.format(image=image, width=width, height=height, objects="".join(rows))


def make_voc(folder: Path, rng: np.random.Generator, n_images: int) -> None:
    """Scenes with labelled objects, in VOC2007's layout: a quarter each for train and val, half for
    test.
    """
    year = folder / "VOC2007"
    for name in ("JPEGImages", "Annotations"):
        (year / name).mkdir(parents=True)
    main = year / "ImageSets" / "Main"
    main.mkdir(parents=True)
    themes, labels = list(THEMES), {}
    for n in tqdm(range(1, n_images + 1), desc="VOC images", unit="image"):
        image, objects = draw_scene(themes[rng.integers(len(themes))], rng)
        write_jpeg(year / "JPEGImages" / f"{n:06d}.jpg", image)
        drawn = {name for name, _ in objects}
        labels[f"{n:06d}"] = {
            name: (0 if rng.random() < 0.04 else 1) if name in drawn else -1 for name in OBJECTS
        }
        annotation = year / "Annotations" / f"{n:06d}.xml"
        annotation.write_text(annotation_of(f"{n:06d}", image, objects, labels[f"{n:06d}"]))
    ids = [list(labels)[i] for i in rng.permutation(n_images)]
    quarter = n_images // 4
    splits = {"train": ids[:quarter], "val": ids[quarter : 2 * quarter], "test": ids[2 * quarter :]}
    splits["trainval"] = splits["train"] + splits["val"]
    for split, members in splits.items():
        (main / f"{split}.txt").write_text("".join(f"{i}\n" for i in sorted(members)))
        for name in OBJECTS:
            (main / f"{name}_{split}.txt").write_text(
                "".join(f"{i} {labels[i][name]:2d}\n" for i in sorted(members))
            )


def main() -> int:
    parser = command_line.parser(__doc__)
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(__file__).resolve().parent,
        metavar="DIR",
        help="folder for the data sets (default: data/sample)",
    )
    command_line.add_options(parser, "--seed")
    parser.add_argument(
        "--articles",
        type=command_line.whole("--articles"),
        default=500,
        metavar="N",
        help="articles in the collection (default: 500)",
    )
    parser.add_argument(
        "--pairs",
        type=command_line.whole("--pairs"),
        default=16,
        metavar="N",
        help="pairs per theme in the retrieval set (default: 16)",
    )
    parser.add_argument(
        "--voc-images",
        type=command_line.whole("--voc-images"),
        default=400,
        metavar="N",
        help="images in the VOC-layout set (default: 400)",
    )
    command_line.add_options(parser, "--force")
    args = parser.parse_args()

    outputs = [args.out / name for name in ("ImageCLEF_Wikipedia", "Wikipedia", "VOCdevkit")]
    for output in outputs:
        artefacts.refuse_existing(output, args.force)
    print(
        f"drawing {args.articles} articles, {args.pairs * len(THEMES)} pairs and"
        f" {args.voc_images} VOC images, seed {args.seed}"
    )
    with atomic_files.written_whole(*outputs) as (collection, retrieval, voc):
        streams = np.random.default_rng(args.seed).spawn(4)
        make_collection(collection, streams[0], args.articles)
        make_retrieval(retrieval, streams[1], args.pairs)
        make_voc(voc, streams[2], args.voc_images)
        make_training_pairs(retrieval, streams[3], args.pairs)
    print(f"sample data sets: {', '.join(map(str, outputs))}")
    return 0


if __name__ == "__main__":
    command_line.run(main)
