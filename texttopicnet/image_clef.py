"""The layout of ImageCLEF's Wikipedia collection: metadata/*/*.xml, images/ and text/.

A metadata file names an image, and for each language the articles that it illustrates.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from lxml import etree

from texttopicnet import entities, files
from texttopicnet.counts import Tally
from texttopicnet.errors import UserError
from texttopicnet.usable_images import LeftOut

JPEG_ENDINGS = (".jpg", ".jpeg")
REFUSED = "XML declares entities"
LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"


def metadata_files(folder: Path | str, left_out: Tally | None = None) -> Iterator[str]:
    """The XML files below a folder, in the order of their names, one folder at a time."""

    def left_out_folder(reason: str, path: str) -> None:
        if left_out is not None:
            left_out.add(reason, path, "folder")

    return (path for path in files.walk(folder, left_out_folder) if path.endswith(".xml"))


def read_metadata(path: Path | str) -> tuple[str, str]:
    """(image file, article file) that the metadata name, relative to the collection.

    Streams through the XML and stops at the first English caption that names an article.

    Raises
    ------
    LeftOut
        The file is broken or declares entities, or names no JPEG or no English article.
    """
    try:
        with files.opened(path) as file:
            return _parsed(file)
    except etree.XMLSyntaxError as error:
        raise LeftOut(REFUSED if entities.expanded(error) else "broken XML") from error
    except (OSError, UserError) as error:
        raise LeftOut(
            f"metadata file cannot be read: {getattr(error, 'reason', None) or error}"
        ) from error


def _parsed(file: BinaryIO) -> tuple[str, str]:
    """`read_metadata` of an open file."""
    image, root = None, None
    for event, element in etree.iterparse(file, events=("start", "end"), **entities.OPTIONS):
        if root is None:
            root = element
            if entities.declared(root):
                raise LeftOut(REFUSED)
        if event == "start" and element.tag == "image":
            image = element.get("file")
            if image and not image.lower().endswith(JPEG_ENDINGS):
                raise LeftOut("not a JPEG")
        elif event == "end" and element.tag == "text" and element.get(LANGUAGE) == "en":
            for caption in element.iter("caption"):
                if caption.get("article"):
                    if not image:
                        raise LeftOut("metadata without an image file")
                    return image, caption.get("article")
    raise LeftOut("no English article" if image else "metadata without an image file")
