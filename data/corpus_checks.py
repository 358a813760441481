"""The checks of the corpora: ImageCLEF Wikipedia 2010 and a Wikipedia dump.  A part of check.py."""

import functools
import itertools
from collections.abc import Iterator
from pathlib import Path

from set_parts import Options, Part, decoded, number, present
from tqdm import tqdm

from texttopicnet import artefacts, dump, files, image_clef, parallel
from texttopicnet.counts import Tally
from texttopicnet.errors import UserError
from texttopicnet.pairs import Pairs
from texttopicnet.usable_images import LeftOut, check_image, left_out_unless_usable

FULL, STREAMLINED = "full", "streamlined"
IMAGES = 237_434  # of the full collection, with a metadata file each
USABLE, ARTICLES = 100_785, 35_582  # by the rules of LDA/generate_train_dict.py
DUMP_IMAGES, DUMP_ARTICLES = 4_200_000, 1_700_000  # of the journal version, as remembered
ENDINGS = (".jpg", ".jpeg", ".png")
TOGETHER = 64  # metadata files that a process reads at once
# reasons that are properties of the official collection, not of an incomplete copy
BY_RULE = ("not a JPEG", "no English article", "smaller than 256 pixels")
PAGES = "*pages-articles*.xml*"


def image_clef_2010(folder: Path, options: Options, variant: str | None = None) -> list[Part]:
    """ImageCLEF Wikipedia 2010; without a variant, the one whose number of files is nearer."""
    metadata = artefacts.downloaded(folder / "metadata", "data/ImageCLEF_Wikipedia/README.md")
    listed = list(image_clef.metadata_files(metadata))
    if variant is None:
        variant = FULL if len(listed) > (IMAGES + USABLE) / 2 else STREAMLINED
    is_full = variant == FULL
    official = IMAGES if is_full else USABLE
    names = sum(path.lower().endswith(ENDINGS) for path in files.walk(folder / "images"))
    pairs, articles, faults = _pairs(folder, listed, options)
    # the streamlined version may come with the metadata of all images: its pairs are what counts
    faults.is_needed = is_full
    parts = [
        Part(f"metadata files, {variant} version", len(listed), official, is_verified=is_full),
        Part(f"files in images/, {variant} version", names, official, is_verified=is_full),
        faults,
    ]
    usable = "usable pairs of image and English article"
    compared = options.is_thorough or not is_full  # the full one also has small images
    parts += [
        Part(usable, pairs, USABLE if compared else None),
        Part("articles of these pairs", articles, ARTICLES if compared else None),
    ]
    return parts


def _pairs(folder: Path, listed: list[str], options: Options) -> tuple[int, int, Part]:
    """Numbers of usable pairs and of their articles, and what is faulty."""
    faults = Part("metadata whose files are there", 0)
    articles, pairs = set(), 0
    read = functools.partial(_examined, folder, options.is_thorough)
    groups = parallel.in_groups(listed, TOGETHER)
    rows = itertools.chain.from_iterable(parallel.ordered_map(read, groups, options.workers))
    for path, article, reason in tqdm(rows, desc="metadata", unit="file", total=len(listed)):
        if reason and reason not in BY_RULE:
            faults.lacks(f"{Path(path).relative_to(folder)} ({reason})")
        else:
            faults.found += 1
        if not reason:
            pairs += 1
            articles.add(article)
    return pairs, len(articles), faults


def _examined(folder: Path, is_thorough: bool, paths: list[str]) -> list[tuple[str, str, str]]:
    """(path, article, why its pair is not usable or '') of some metadata files."""
    rows = []
    for path in paths:
        try:
            image, article = image_clef.read_metadata(path)
            with left_out_unless_usable("article"):
                article = files.find_article(folder, article)
            with left_out_unless_usable("image"):
                files.check_readable(folder, image)
            if is_thorough:
                check_image(folder, image)
            rows.append((path, article.removeprefix("_"), ""))
        except LeftOut as reason:
            rows.append((path, "", str(reason)))
    return rows


def wikipedia_dump(folder: Path, options: Options) -> list[Part]:
    """The journal version's corpus: a dump, the list of images, and the images."""
    artefacts.downloaded(folder, "data/wikipedia_data/README.md")
    path = folder / "list_of_images.json"
    blemishes, pairs = Tally(), Pairs()
    listed = Part("images in list_of_images.json", 0, DUMP_IMAGES, is_verified=False)
    try:
        entries = dump.images(path, blemishes)
        for image, article in tqdm(entries, desc="list", unit="image", leave=False):
            pairs.add(image, article)
    except UserError as error:
        listed.lacks(error)
    listed.found = len(pairs)
    for (_, reason), (count, first) in blemishes.items():
        listed.lacks(f"{first} ({reason}; {count:,} like it)")
    parts = [
        number("dump", 1, functools.partial(_pages, folder, options)),
        listed,
        Part("articles of these images", pairs.num_articles, DUMP_ARTICLES, is_verified=False),
        present("images that are there", None, folder, (image for image, _ in pairs)),
    ]
    if options.is_thorough:
        names = (image for image, _ in pairs)
        parts.append(decoded("images that decode", folder, names, len(pairs), options))
    return parts


def _pages(folder: Path, options: Options) -> int:
    """1 for a dump that begins as one, and, if every image is decoded, too, can be read to its end.

    Raises
    ------
    UserError
        The dump is missing or damaged, or there is more than one.
    """
    found = sorted(p for place in (folder, folder / "text_dump") for p in place.glob(PAGES))
    if not found:
        raise UserError(f"{folder / PAGES} does not exist, nor text_dump/{PAGES} there")
    if len(found) > 1:
        raise UserError(f"{found[0]} and {found[1]} are two dumps: keep one of them")

    def pages() -> Iterator[dump.Page]:
        with dump.progress(found[0]) as bar:
            yield from dump.pages(found[0], bar)

    read = pages() if options.is_thorough else itertools.islice(pages(), 1)
    if not sum(1 for _ in read):
        raise UserError(f"{found[0]} has no article")
    return 1
