"""Check whether data sets are complete: what is there, what is missing, and where to get it.

Reads:   DATA/ImageCLEF_Wikipedia, Wikipedia, STL10, SUN397, wikipedia_data; VOC/VOCdevkit
Writes:  nothing; prints a table, or JSON with --json
Paper:   the official numbers of images, articles and pairs (data/<name>/README.md)
Usage:   python data/check.py [NAME...] [--data DIR] [--voc DIR] [--thorough] [--json]

Without a NAME all sets are checked.  The exit status is 0 only if they are complete.  Lists,
labels and metadata are read; images are decoded, and a dump is read to its end, only with
--thorough.
"""

import texttopicnet.startup  # noqa: F401  isort: skip

import argparse
import functools
import json
from pathlib import Path

from corpus_checks import FULL, STREAMLINED, image_clef_2010, wikipedia_dump
from set_checks import stl_10, sun_397, voc2007, wikipedia
from set_parts import DataSet, Options, Part

from texttopicnet import command_line, cores, tables, voc
from texttopicnet.errors import UserError

CLEF = "ImageCLEF_Wikipedia"
CLEF_TITLE = "ImageCLEF 2010 Wikipedia"
CLEF_README = f"data/{CLEF}/README.md"
CLEF_ADDRESS, STREAMLINED_ADDRESS = "https://www.imageclef.org/wikidata", "https://goo.gl/jgQFGr"
SETS = [
    DataSet(
        CLEF,
        f"{CLEF_TITLE} (full or streamlined)",
        f"{CLEF_ADDRESS} (full) or {STREAMLINED_ADDRESS} (streamlined)",
        CLEF_README,
        image_clef_2010,
    ),
    DataSet(
        "VOC2007",
        "PASCAL VOC2007",
        "http://host.robots.ox.ac.uk/pascal/VOC/voc2007/",
        "data/VOC2007/README.md",
        voc2007,
    ),
    DataSet(
        "Wikipedia",
        "Wikipedia cross-modal retrieval set (Rasiwasia et al.)",
        "http://www.svcl.ucsd.edu/projects/crossmodal/",
        "data/Wikipedia/README.md",
        wikipedia,
    ),
    DataSet(
        "STL10",
        "STL-10",
        "https://cs.stanford.edu/~acoates/stl10/",
        "data/STL10/README.md",
        stl_10,
    ),
    DataSet(
        "SUN397",
        "SUN397",
        "https://vision.princeton.edu/projects/2010/SUN/",
        "data/SUN397/README.md",
        sun_397,
    ),
    DataSet(
        "wikipedia_data",
        "Wikipedia dump of the journal version",
        "http://datasets.cvc.uab.es/rrc/wikipedia_data/",
        "data/wikipedia_data/README.md",
        wikipedia_dump,
    ),
]
VARIANTS = [  # the same folder, compared with one version only
    DataSet(
        f"{CLEF}_{variant}",
        f"{CLEF_TITLE}, {variant}",
        address,
        CLEF_README,
        functools.partial(image_clef_2010, variant=variant),
    )
    for variant, address in ((FULL, CLEF_ADDRESS), (STREAMLINED, STREAMLINED_ADDRESS))
]
BY_NAME = {data_set.name: data_set for data_set in [*SETS, *VARIANTS]}


def folder_of(data_set: DataSet, args: argparse.Namespace) -> Path:
    """Where a set is expected."""
    if data_set.name == "VOC2007":
        return voc.holder(args.voc or args.data)
    return args.data / (CLEF if data_set.name.startswith(CLEF) else data_set.name)


def checked(data_set: DataSet, folder: Path, options: Options) -> list[Part]:
    """The parts of a set; one part for a folder that is not there or not a set."""
    try:
        return data_set.check(folder, options)
    except UserError as error:
        return [Part("folders", 0, missing=[str(error)], num_missing=1)]


def is_complete(parts: list[Part]) -> bool:
    return all(part.is_complete for part in parts)


def report(data_set: DataSet, folder: Path, parts: list[Part]) -> str:
    """A set's table, what is missing, and where to get it."""
    verdict = "complete" if is_complete(parts) else "not complete"
    rows = []
    for part in parts:
        official = "" if part.official is None else f"{part.official:,}"
        if not part.is_verified:
            official = f"about {official}"
        rows.append([part.what, f"{part.found:,}", official, part.state])
    lines = [f"{data_set.title}, in {folder}: {verdict}"]
    lines.append(tables.plain(["part", "found", "official", ""], rows, right=(1, 2)))
    for part in parts:
        more = part.num_missing - len(part.missing[:3])
        named = "; ".join(part.missing[:3]) + (f"; and {more:,} more" if more else "")
        if part.missing:
            lines.append(f"{part.what}: {named}")
    if verdict != "complete":
        lines.append(f"get it from {data_set.address} ({data_set.readme} says what goes where)")
    return "\n".join(lines)


def as_json(data_set: DataSet, folder: Path, parts: list[Part]) -> dict:
    """The same for programs."""
    return {
        "title": data_set.title,
        "folder": str(folder),
        "complete": is_complete(parts),
        "address": data_set.address,
        "readme": data_set.readme,
        "parts": [
            {
                "what": part.what,
                "found": part.found,
                "official": part.official,
                "official_is_verified": part.official is not None and part.is_verified,
                "complete": part.is_complete,
                "missing": part.num_missing,
                "first_missing": part.missing,
            }
            for part in parts
        ],
    }


def main() -> int:
    parser = command_line.parser(__doc__)
    parser.add_argument(
        "names", metavar="NAME", nargs="*", help=f"{', '.join(BY_NAME)} (default: all sets)"
    )
    command_line.add_options(parser, "--data")
    command_line.add_options(
        parser, "--voc", default=None, help="folder that holds VOCdevkit/ (default: --data)"
    )
    parser.add_argument(
        "--thorough",
        action="store_true",
        help="also decode every image, and read a dump to its end",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    command_line.add_options(parser, "--workers", default=cores.usable())
    args = parser.parse_args()
    for name in args.names:
        if name not in BY_NAME:
            raise UserError(f"{name} is not a data set: choose from {', '.join(BY_NAME)}")
    options, found, all_complete = Options(args.thorough, args.workers), {}, True
    for data_set in [BY_NAME[name] for name in args.names] or SETS:
        folder = folder_of(data_set, args)
        parts = checked(data_set, folder, options)
        all_complete &= is_complete(parts)
        if args.json:
            found[data_set.name] = as_json(data_set, folder, parts)
        else:
            print(report(data_set, folder, parts), end="\n\n", flush=True)
    if args.json:
        print(json.dumps(found, indent=1))
    return 0 if all_complete else 1


if __name__ == "__main__":
    command_line.run(main)
