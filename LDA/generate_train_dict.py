"""Pair every usable image of ImageCLEF Wikipedia, or of a dump, with the article it illustrates.

Reads:   DATA/ImageCLEF_Wikipedia/metadata/*/*.xml, images/ and text/; or --dump, --images and the
         images that these list
Writes:  WORK/LDA/train_dict_ImageCLEF_Wikipedia.json: {image path: article path or page id};
         with --dump also LDA/tokens.sqlite
Paper:   section 4.1 (JPEG, an English article, sides of at least 256 pixels); arXiv 1807.02110
         (a dump's articles of at least 50 words)
Usage:   python LDA/generate_train_dict.py [--data DIR] [--work DIR] [--dump FILE --images FILE]
         [--workers 2] [--force]
"""

import texttopicnet.startup  # noqa: F401  isort: skip

import contextlib
import itertools
from pathlib import Path

import cv2
from lxml import etree
from tqdm import tqdm

from texttopicnet import (
    artefacts,
    command_line,
    dump,
    dump_pages,
    entities,
    files,
    images,
    json_files,
    parallel,
    token_rows,
)
from texttopicnet.counts import Tally, counted
from texttopicnet.errors import UserError
from texttopicnet.pairs import Pairs
from texttopicnet.token_store import TokenStore

SMALLEST_SIDE = 256
FILES_TOGETHER = 64  # metadata files or images that a process gets at once
REFUSED = "XML declares entities"
LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"


class LeftOut(Exception):
    """An image that is not used, and why."""


def read_metadata(path):
    """(image file, article file) that the metadata name, relative to the collection.

    Streams through the XML and stops at the first English caption that names an article.
    """
    try:
        with files.opened(path) as file:
            return parsed_metadata(file)
    except etree.XMLSyntaxError as error:
        raise LeftOut(REFUSED if entities.expanded(error) else "broken XML") from error
    except (OSError, UserError) as error:
        raise LeftOut(
            f"metadata file cannot be read: {getattr(error, 'reason', None) or error}"
        ) from error


def parsed_metadata(file):
    """`read_metadata` of an open file."""
    image, root = None, None
    for event, element in etree.iterparse(file, events=("start", "end"), **entities.OPTIONS):
        if root is None:
            root = element
            if entities.declared(root):
                raise LeftOut(REFUSED)
        if event == "start" and element.tag == "image":
            image = element.get("file")
            if image and not image.lower().endswith((".jpg", ".jpeg")):
                raise LeftOut("not a JPEG")
        elif event == "end" and element.tag == "text" and element.get(LANGUAGE) == "en":
            for caption in element.iter("caption"):
                if caption.get("article"):
                    if not image:
                        raise LeftOut("metadata without an image file")
                    return image, caption.get("article")
    raise LeftOut("no English article" if image else "metadata without an image file")


@contextlib.contextmanager
def left_out_unless_usable(what):
    """Turn an unusable file into a reason to leave its image out."""
    try:
        yield
    except files.Unusable as error:
        raise LeftOut(
            f"{what} file is missing"
            if error.is_missing
            else f"{what} cannot be read: {error.reason}"
        ) from error


def check_image(collection, name):
    """LeftOut for an image that is missing, unreadable, not a JPEG inside, too large to decode, or
    too small.
    """
    with left_out_unless_usable("image"):
        data = files.read_member(collection, name)
    if not data.startswith(b"\xff\xd8"):
        raise LeftOut("named .jpg but is not a JPEG")
    height, width = images.size(data) or (0, 0)
    if height * width > images.MOST_PIXELS:
        raise LeftOut(f"image has more than {images.MOST_PIXELS:,} pixels")
    try:
        image = images.decode(data, name, cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    except UserError as error:
        raise LeftOut("image cannot be decoded") from error
    if b"\xff\xd9" not in data[-64 * 1024 :]:
        raise LeftOut("image cannot be decoded")
    if min(image.shape[:2]) < SMALLEST_SIDE:
        raise LeftOut(f"smaller than {SMALLEST_SIDE} pixels")


def from_metadata(collection, metadata_file):
    """(image, article) of a metadata file, or LeftOut."""
    image, article = read_metadata(metadata_file)
    with left_out_unless_usable("article"):
        article = files.find_article(collection, article)
    check_image(collection, image)
    return image, article


def from_list(collection, entry):
    """(image, article) of an entry of a list of images, or LeftOut."""
    image, article = entry
    check_image(collection, image)
    return image, article


def examined(read, collection, items):
    """(image, article, None) of items that `read` can use, (item, None, reason) of the others."""
    rows = []
    for item in items:
        try:
            rows.append((*read(collection, item), None))
        except LeftOut as reason:
            rows.append((item if isinstance(item, str) else item[0], None, str(reason)))
    return rows


def metadata_files(folder, left_out=None):
    """The XML files below a folder, in the order of their names, one folder at a time."""

    def left_out_folder(reason, path):
        if left_out is not None:
            left_out.add(reason, path, "folder")

    return (path for path in files.walk(folder, left_out_folder) if path.endswith(".xml"))


def entries_with_article(listed, store, left_out):
    """(image, article) of the listed images whose article is stored; the others are counted."""
    reason = f"article is not in the dump, or has fewer than {token_rows.FEWEST_WORDS} words"
    for image, article in listed:
        if article in store:
            yield image, article
        else:
            left_out.add(reason, image)


def read_dump(args, left_out):
    """Store the tokens of the dump's articles; yields (image, article) of its list."""
    listed = Pairs()
    for image, article in dump.images(args.images, left_out):
        listed.add(image, article)
    articles = counted(listed.num_articles, "article")
    print(f"{args.images} lists {counted(len(listed), 'image')} of {articles}")
    with (
        TokenStore(args.work) as store,
        parallel.executor(args.workers, args.scheduler) as executor,
    ):
        dump_pages.store_pages(store, args.dump, listed, args.workers, executor)
        yield from entries_with_article(listed, store, left_out)


def main():
    parser = command_line.parser(__doc__)
    command_line.add_options(parser, "--data", "--collection", "--work")
    command_line.add_options(parser, "--dump")
    parser.add_argument(
        "--images",
        type=Path,
        metavar="FILE",
        help="the dump's list_of_images.json, with --dump; its images are in the collection",
    )
    command_line.add_options(parser, "--workers")
    command_line.add_options(
        parser, "--scheduler", help="preprocess a dump's articles on this Dask cluster"
    )
    command_line.add_options(parser, "--force")
    args = parser.parse_args()
    if bool(args.dump) != bool(args.images):
        raise UserError(
            "--dump and --images go together: give the articles and the list of their images"
        )

    collection = args.data / args.collection
    output = args.work / artefacts.TRAIN_DICT
    artefacts.refuse_existing(output, args.force)
    left_out, pairs = Tally(), Pairs()
    if args.dump:
        print(f"pairing the images in {collection} with the articles of {args.dump}")
        read, items, total = from_list, read_dump(args, left_out), None
    else:
        metadata = artefacts.downloaded(collection / "metadata", "data/README.md")
        total = sum(1 for _ in metadata_files(metadata))
        print(f"pairing the images of {total} metadata files in {collection} with their articles")
        read, items = from_metadata, metadata_files(metadata, left_out)
    groups = parallel.in_groups(items, FILES_TOGETHER)
    rows = itertools.chain.from_iterable(
        parallel.ordered_map(examined, groups, args.workers, read, collection)
    )
    for name, article, reason in tqdm(rows, desc="images", unit="image", total=total):
        if reason:
            left_out.add(reason, name)
        else:
            pairs.add(name, article)
    for line in left_out.lines():
        print(f"left out: {line}")
    if not len(pairs) and args.dump:
        raise UserError(
            f"no usable image: are the images that {args.images} lists in {collection}, and their"
            f" articles in {args.dump}?"
        )
    if not len(pairs):
        raise UserError(
            f"no usable image in {collection}: are images/, metadata/ and text/ of the collection"
            " there?"
        )
    json_files.write(output, pairs.sorted())
    if args.dump:
        with TokenStore(args.work) as store:
            store.end_dump()
    images, articles = counted(len(pairs), "image"), counted(pairs.num_articles, "article")
    print(f"{images}, {articles}: {output}")
    return 0


if __name__ == "__main__":
    command_line.run(main)
