"""Pair every usable image of the ImageCLEF Wikipedia collection with the article it illustrates.

Reads:   DATA/ImageCLEF_Wikipedia/metadata/*/*.xml, images/ and text/
Writes:  WORK/LDA/train_dict_ImageCLEF_Wikipedia.json: {image path: article path}, sorted
Paper:   section 4.1 (ImageCLEF 2010 Wikipedia: JPEG, an English article, both sides at least 256 pixels)
Usage:   python LDA/generate_train_dict.py [--data DIR] [--work DIR] [--force]
"""

import argparse
from pathlib import Path

import cv2
from lxml import etree
from tqdm import tqdm

from texttopicnet import artefacts

SMALLEST_SIDE = 256
REFUSED = "XML that declares entities (refused)"
EXPANSION = {etree.ErrorTypes.ERR_ENTITY_LOOP, etree.ErrorTypes.ERR_ENTITY_IS_EXTERNAL, 114}  # 114: ERR_RESOURCE_LIMIT
LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"


class LeftOut(Exception):
    """An image that is not used, and why."""


def refuse_entities(element):
    """Metadata declare no entities: whoever does wants the reader to expand them, or to open another file."""
    info = element.getroottree().docinfo
    if info.system_url or (info.internalDTD is not None and any(True for _ in info.internalDTD.iterentities())):
        raise LeftOut(REFUSED)


def read_metadata(path):
    """(image file, article file) as the metadata name them, relative to the collection.

    Streams through the XML and stops at the first English caption that names an article.
    """
    image, root = None, None
    try:
        # entities stay as they are and nothing is fetched: metadata are data
        for event, element in etree.iterparse(
            str(path), events=("start", "end"), resolve_entities=False, no_network=True, load_dtd=False
        ):
            if root is None:
                root = element
                refuse_entities(root)
            if event == "start" and element.tag == "image":
                image = element.get("file")
                if image and not image.lower().endswith((".jpg", ".jpeg")):
                    raise LeftOut("not a JPEG")
            elif event == "end" and element.tag == "text" and element.get(LANGUAGE) == "en":
                for caption in element.iter("caption"):
                    if caption.get("article"):
                        if not image:
                            raise LeftOut("metadata name no image file")
                        return image, caption.get("article")
    except etree.XMLSyntaxError as error:
        # libxml2 itself stops at entities that expand without end, or from outside, in an attribute
        raise LeftOut(REFUSED if "entity" in str(error).lower() and error.code in EXPANSION else "broken XML") from error
    raise LeftOut("no English article" if image else "metadata name no image file")


def find_article(collection, name):
    """The article's path as it lies on the disk: `text/` and `_text/` are one folder under two names."""
    bare = name.removeprefix("_")
    for candidate in (name, bare, f"_{bare}"):
        if (collection / candidate).is_file():
            return candidate
    raise LeftOut("article file is missing")


def check_image(path):
    """Refuse an image that is missing, unreadable, no JPEG inside, or too small."""
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise LeftOut("image file is missing") from error
    except OSError as error:
        raise LeftOut("image cannot be read") from error
    if not data.startswith(b"\xff\xd8"):
        raise LeftOut("named .jpg but is no JPEG")
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None or b"\xff\xd9" not in data[-64 * 1024 :]:
        raise LeftOut("image cannot be decoded")
    if min(image.shape[:2]) < SMALLEST_SIDE:
        raise LeftOut(f"smaller than {SMALLEST_SIDE} pixels")


def pair(collection, metadata_file):
    """One entry of the dictionary, or LeftOut."""
    image, article = read_metadata(metadata_file)
    article = find_article(collection, article)
    check_image(collection / image)
    return image, article


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=artefacts.DATA, help="folder that holds ImageCLEF_Wikipedia/")
    parser.add_argument("--work", type=Path, default=artefacts.ROOT, help="folder for artefacts")
    parser.add_argument("--force", action="store_true", help="make the output anew")
    args = parser.parse_args()

    collection = args.data / "ImageCLEF_Wikipedia"
    output = args.work / artefacts.TRAIN_DICT
    artefacts.refuse_existing(output, args.force)
    metadata = artefacts.existing(collection / "metadata", "the download that data/README.md describes")
    files = sorted(metadata.rglob("*.xml"))
    print(f"pairing the images of {len(files)} metadata files in {collection} with their articles")

    pairs, reasons = {}, {}
    for path in tqdm(files, desc="metadata", unit="file"):
        try:
            image, article = pair(collection, path)
            pairs[image] = article
        except LeftOut as reason:
            reasons.setdefault(str(reason), []).append(path)
    for reason, left_out in sorted(reasons.items()):
        print(f"left out: {len(left_out)} {reason}; the first is {left_out[0]}")
    if not pairs:
        raise artefacts.UserError(f"no usable image in {collection}: are images/, metadata/ and text/ of the collection there?")
    artefacts.write_json(output, dict(sorted(pairs.items())))
    print(f"{len(pairs)} images, {len(set(pairs.values()))} articles: {output}")
    return 0


if __name__ == "__main__":
    artefacts.run(main)
