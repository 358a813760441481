"""The checks of the sets with labels: VOC2007, Wikipedia, STL-10 and SUN397.  A part of check.py.

The readers of `texttopicnet` read the lists and labels.  Images are looked for, or counted by the
size of their file, and decoded only if that is asked for.
"""

from pathlib import Path

import numpy as np
from set_parts import Options, Part, decoded, number, present

from texttopicnet import artefacts, files, image_sets, retrieval, stl10, sun397, voc
from texttopicnet.errors import UserError

VOC_SPLITS = {"train": 2501, "val": 2510, "trainval": voc.PAPER_TRAINVAL, "test": voc.PAPER_TEST}
VOC_REMEMBERED = {"train", "val"}  # whose numbers were not found in a source
VOC_IMAGES = 9963
WIKIPEDIA_CATEGORIES, WIKIPEDIA_TRAIN, WIKIPEDIA_PAIRS = 10, 2173, 2866
STL_FOLD, STL_UNLABELLED = 1000, 100_000
SUN_PHOTOGRAPHS = 108_754


def voc2007(folder: Path, options: Options) -> list[Part]:
    """VOC2007: classes, lists, images and annotations."""
    year = voc.year_folder(folder)
    names = voc.classes(folder)
    ids = {split: _ids(voc.split_file(folder, None, split)) for split in VOC_SPLITS}
    parts = [Part("classes", len(names), voc.PAPER_CLASSES)]
    for split, official in VOC_SPLITS.items():
        what, is_verified = f"images in {split}.txt", split not in VOC_REMEMBERED
        parts.append(Part(what, len(ids[split]), official, is_verified))
    lists = Part("lists of a class and split", 0, voc.PAPER_CLASSES * len(VOC_SPLITS))
    for name in names:
        for split in VOC_SPLITS:
            try:
                listed, _ = voc.read_split(folder, name, split, "positive")
            except UserError as error:
                lists.lacks(error)
                continue
            if listed == ids[split]:
                lists.found += 1
            else:
                lists.lacks(f"{name}_{split}.txt does not have the images of {split}.txt")
    every = sorted({*ids["trainval"], *ids["test"]})
    photographs = [f"JPEGImages/{i}.jpg" for i in every]
    annotations = [f"Annotations/{i}.xml" for i in every]
    parts += [
        lists,
        present("images", VOC_IMAGES, year, photographs),
        present("annotations (for detection)", VOC_IMAGES, year, annotations),
    ]
    if options.is_thorough:
        parts.append(decoded("images that decode", year, photographs, len(photographs), options))
    return parts


def _ids(path: Path) -> list[str]:
    """The ids in a list of the whole set; none if there is no list."""
    return files.read(path).decode("utf-8", "replace").split() if path.is_file() else []


def wikipedia(folder: Path, options: Options) -> list[Part]:
    """The retrieval set of Rasiwasia et al.: lists, texts, images and features."""
    texts, images, counts, names = [], [], None, []
    parts = []
    for what, name, official in (
        ("test pairs", retrieval.TEST_LIST, sum(retrieval.PAPER_PAIRS)),
        ("training pairs", retrieval.TRAIN_LIST, WIKIPEDIA_TRAIN),
    ):
        try:
            some, pictures, categories, names = retrieval.read_pairs(folder, name)
        except UserError as error:
            parts.append(Part(what, 0, official))
            parts[-1].lacks(error)
            continue
        if name == retrieval.TEST_LIST:
            counts = np.bincount(categories, minlength=len(names)).tolist()
        parts.append(Part(what, len(some), official))
        texts += [f"texts/{text}.xml" for text in some]
        images += [
            f"images/{names[c]}/{image}.jpg" for c, image in zip(categories, pictures, strict=True)
        ]
    if counts is not None:
        alike = sum(a == b for a, b in zip(counts, retrieval.PAPER_PAIRS, strict=False))
        what = "categories with the official number of test pairs"
        parts.append(Part(what, alike, WIKIPEDIA_CATEGORIES))
    parts += [
        Part("categories", len(names), WIKIPEDIA_CATEGORIES),
        present("texts", WIKIPEDIA_PAIRS, folder, texts),
        present("images", WIKIPEDIA_PAIRS, folder, images),
        present("raw_features.mat (for the baselines)", 1, folder, ["raw_features.mat"]),
    ]
    if options.is_thorough:
        parts.append(decoded("images that decode", folder, images, len(images), options))
    return parts


def stl_10(folder: Path, _: Options) -> list[Part]:
    """STL-10: the binary files, whose sizes say how many images they have."""
    source = stl10.holder(artefacts.downloaded(folder, stl10.README))
    official = {"train": stl10.PAPER_TRAIN, "test": stl10.PAPER_TEST}
    parts = []
    for part, count in official.items():

        def images(name: str = f"{part}_X.bin") -> int:
            return len(stl10.images(source / name))

        def labels(name: str = f"{part}_y.bin", count: int = count) -> int:
            return len(stl10.labels(source / name, count))

        parts += [
            number(f"images in {part}_X.bin", count, images),
            number(f"labels in {part}_y.bin", count, labels),
        ]

    def folds() -> int:
        found = stl10.folds(source / "fold_indices.txt", stl10.PAPER_TRAIN)
        return sum(len(rows) == STL_FOLD for rows in found)

    def names() -> int:
        path = artefacts.downloaded(source / "class_names.txt", stl10.README)
        return len(files.read(path).split())

    def unlabelled() -> int:
        path = source / "unlabeled_X.bin"
        return len(stl10.images(path)) if path.is_file() else 0

    return [
        *parts,
        number("folds of 1,000 images", stl10.FOLDS, folds),
        number("names in class_names.txt", stl10.CLASSES, names),
        number("images in unlabeled_X.bin", STL_UNLABELLED, unlabelled, is_needed=False),
    ]


def sun_397(folder: Path, options: Options) -> list[Part]:
    """SUN397: classes, partitions and photographs."""
    where = sun397.lists(artefacts.downloaded(folder, sun397.README))
    root = folder / "SUN397" if (folder / "SUN397").is_dir() else folder
    per_list = sun397.PAPER_CLASSES * sun397.PAPER_IMAGES
    whole = Part(f"lists of {per_list:,} images", 0, 2 * sun397.PAPER_PARTITIONS)
    named: set[str] = set()
    for kind in ("Training", "Testing"):
        for i in range(1, sun397.PAPER_PARTITIONS + 1):
            try:
                rows = sun397.rows_of(where / f"{kind}_{i:02d}.txt")
            except UserError as error:
                whole.lacks(error)
                continue
            named.update(rows)
            if len(set(rows)) == per_list:
                whole.found += 1
            else:
                whole.lacks(f"{kind}_{i:02d}.txt, which names {len(set(rows)):,} images")
    listed = sorted(named)
    photographs = 0
    if (folder / "SUN397").is_dir():
        endings = (*image_sets.ENDINGS, ".gif")
        photographs = sum(path.lower().endswith(endings) for path in files.walk(root))
    parts = [
        number(
            "classes in ClassName.txt",
            sun397.PAPER_CLASSES,
            lambda: len(set(sun397.rows_of(where / "ClassName.txt"))),
        ),
        whole,
        present("images that the lists name", None, root, listed),
        Part("photographs in SUN397/", photographs, SUN_PHOTOGRAPHS),
    ]
    if options.is_thorough:
        parts.append(decoded("images that decode", root, listed, len(listed), options))
    return parts
