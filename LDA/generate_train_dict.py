"""Pair every usable image with the article it illustrates: ImageCLEF Wikipedia, a dump, or a list.

Reads:   DATA/ImageCLEF_Wikipedia/metadata/*/*.xml, images/ and text/; or --dump, --images and the
         images that these list; or --pairs, a CSV or JSON list of images and texts
Writes:  WORK/LDA/train_dict_ImageCLEF_Wikipedia.json: {image path: article path, page id or text
         id}; with --dump and --pairs also LDA/tokens.sqlite
Paper:   section 4.1 (JPEG, an English article, sides of at least 256 pixels); arXiv 1807.02110
         (a dump's articles of at least 50 words)
Usage:   python LDA/generate_train_dict.py [--data DIR] [--work DIR] [--dump FILE --images FILE]
         [--workers 2] [--force]
         python LDA/generate_train_dict.py --pairs FILE [--work DIR] [--smallest-side 256]
"""

import texttopicnet.startup  # noqa: F401  isort: skip

import functools
import itertools
from pathlib import Path

from tqdm import tqdm

from texttopicnet import (
    artefacts,
    command_line,
    dump,
    dump_pages,
    files,
    json_files,
    listed_texts,
    parallel,
    token_rows,
)
from texttopicnet.counts import Tally, counted
from texttopicnet.errors import UserError
from texttopicnet.image_clef import metadata_files, read_metadata
from texttopicnet.pairs import Pairs
from texttopicnet.token_store import TokenStore
from texttopicnet.usable_images import (
    SMALLEST_SIDE,
    LeftOut,
    check_image,
    left_out_unless_usable,
)

FILES_TOGETHER = 64  # metadata files or images that a process gets at once


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


def from_pairs(smallest, collection, entry):
    """(image, article) of a row of a list of images and texts, or LeftOut."""
    image, article = entry
    if not article.startswith(token_rows.LISTED):
        with left_out_unless_usable("text"):
            files.check_readable(collection, article)
    check_image(collection, image, smallest, only_jpeg=False)
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


def read_pairs(args, left_out):
    """Store the tokens of a list's texts; yields (image, article) of its rows."""
    listed = Pairs()
    with (
        TokenStore(args.work) as store,
        parallel.executor(args.workers, args.scheduler) as executor,
    ):
        listed_texts.store_texts(store, args.pairs, listed, left_out, args.workers, executor)
        articles = counted(listed.num_articles, "text")
        print(f"{args.pairs} lists {counted(len(listed), 'image')} of {articles}")
        for image, article in listed:
            if article.startswith(token_rows.LISTED) and article not in store:
                left_out.add("no row with its id has a text", image)
            else:
                yield image, article


def source_of(args, left_out):
    """The collection, what reads an item of it, the items, and their number if it is known."""
    collection = args.data / args.collection
    if args.pairs:
        collection = args.pairs.absolute().parent
        print(f"pairing the images and texts of {args.pairs}, in {collection}")
        read = functools.partial(from_pairs, args.smallest_side)
        return collection, read, read_pairs(args, left_out), None
    if args.dump:
        print(f"pairing the images in {collection} with the articles of {args.dump}")
        return collection, from_list, read_dump(args, left_out), None
    metadata = artefacts.downloaded(collection / "metadata", "data/README.md")
    total = sum(1 for _ in metadata_files(metadata))
    print(f"pairing the images of {total} metadata files in {collection} with their articles")
    return collection, from_metadata, metadata_files(metadata, left_out), total


def nothing_usable(args, collection):
    """The sentence about a corpus of which no image is used."""
    if args.pairs:
        return (
            f"no usable image: are the files that {args.pairs} lists in {collection}? The lines"
            " above say why each row was left out"
        )
    if args.dump:
        return (
            f"no usable image: are the images that {args.images} lists in {collection}, and their"
            f" articles in {args.dump}?"
        )
    return (
        f"no usable image in {collection}: are images/, metadata/ and text/ of the collection"
        " there?"
    )


def parsed():
    """The command line."""
    parser = command_line.parser(__doc__)
    command_line.add_options(parser, "--data", "--collection", "--work")
    command_line.add_options(parser, "--dump")
    parser.add_argument(
        "--images",
        type=Path,
        metavar="FILE",
        help="the dump's list_of_images.json, with --dump; its images are in the collection",
    )
    command_line.add_options(parser, "--pairs")
    parser.add_argument(
        "--smallest-side",
        type=command_line.whole("--smallest-side"),
        metavar="N",
        help=f"with --pairs: fewest pixels of an image's sides (default: {SMALLEST_SIDE})",
    )
    command_line.add_options(parser, "--workers")
    command_line.add_options(
        parser,
        "--scheduler",
        help="preprocess the articles of a dump or a list on this Dask cluster",
    )
    command_line.add_options(parser, "--force")
    args = parser.parse_args()
    if bool(args.dump) != bool(args.images):
        raise UserError(
            "--dump and --images go together: give the articles and the list of their images"
        )
    if args.pairs and args.dump:
        raise UserError("--pairs and --dump are two kinds of corpora: give one of them")
    if args.smallest_side and not args.pairs:
        raise UserError("--smallest-side goes with --pairs: the paper's rule is 256 pixels")
    args.smallest_side = args.smallest_side or SMALLEST_SIDE
    return args


def main():
    args = parsed()
    output = args.work / artefacts.TRAIN_DICT
    artefacts.refuse_existing(output, args.force)
    left_out, pairs = Tally(), Pairs()
    collection, read, items, total = source_of(args, left_out)
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
    if not len(pairs):
        raise UserError(nothing_usable(args, collection))
    json_files.write(output, pairs.sorted())
    if args.dump or args.pairs:
        with TokenStore(args.work) as store:
            store.end_dump()
    images, articles = counted(len(pairs), "image"), counted(pairs.num_articles, "article")
    print(f"{images}, {articles}: {output}")
    if args.pairs:
        print(f"the other scripts find these images and texts with --collection {collection}")
    return 0


if __name__ == "__main__":
    command_line.run(main)
