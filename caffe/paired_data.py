"""Two LMDBs that belong together, such as images and their targets.

Caffe pairs their records by position alone, and never compares the two.  If one lacks a record,
every pair after it is wrong, and the training learns nothing, while its log looks healthy.
Therefore every net is checked before it trains.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from caffe import log
from caffe.error import CaffeError

if TYPE_CHECKING:
    from caffe.blob import Blob
    from caffe.database import LMDB
    from caffe.layer import Layer
    from caffe.net import NetCore

KEY = re.compile(r"(\d+)(?:_(.*))?", re.DOTALL)
IMAGES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp")


def check(net: NetCore) -> None:
    """Compare the LMDBs of a net's Data layers.

    A Data layer gives targets if a loss compares it with what is computed from another Data layer.
    The two must hold the same records in the same order, as far as their keys can tell.  It is an
    error if their keys have names (or numbers) in common and yet differ, or if the targets are
    named after other images.  A single target is a constant, and fits any data.  Other Data layers
    with the same batch_size and different lengths get a warning: Caffe trains such nets, and
    sometimes that is intended.

    Parameters
    ----------
    net : NetCore

    Raises
    ------
    CaffeError
        Two LMDBs do not belong together; the message names them and the first record that
        differs.
    """
    pairs = _targets(net)
    for data, target in pairs:
        reason = _difference(data.database, target.database)
        if reason:
            raise CaffeError(
                f"{net.file}: layers '{data.name}' and '{target.name}' pair their records by"
                f" position, but {reason}; make both LMDBs again, in one run"
            )
    layers = [node.layer for node in net.nodes if _reads_lmdb(node.layer)]
    for i, first in enumerate(layers):
        for second in layers[:i]:
            counts = len(second.database), len(first.database)
            if first.batch_size == second.batch_size and counts[0] != counts[1]:
                log.warning(
                    "data_layer.cpp:45",
                    f"{second.database.path} holds {counts[0]} records and {first.database.path}"
                    f" {counts[1]}: if they belong together, they are paired wrongly after the"
                    " first round",
                )


def _reads_lmdb(layer: Layer) -> bool:
    return hasattr(layer, "database") and hasattr(layer, "batch_size")


def _targets(net: NetCore) -> list[tuple[Layer, Layer]]:
    """(data layer, layer with its targets) of all losses, each pair once."""
    sources: dict[Blob, frozenset[Layer]] = {}  # the layers below a blob that read LMDBs
    fixed: dict[Blob, bool] = {}  # whether nothing is learnt on the way to a blob
    found = []
    for node in net.nodes:
        layer = node.layer
        below = [sources.get(blob, frozenset()) for blob in node.bottoms]
        own = frozenset([layer]) if _reads_lmdb(layer) else frozenset()
        if layer.is_loss and len(below) > 1 and fixed.get(node.bottoms[1], True):
            found += [
                (a, b)
                for a in below[0]
                for b in below[1]
                if a is not b and a.batch_size == b.batch_size
            ]
        for top in node.tops:
            sources[top] = own.union(*below)
            fixed[top] = not layer.blobs and all(fixed.get(b, True) for b in node.bottoms)
    return list(dict.fromkeys(found))


def _difference(data: LMDB, target: LMDB) -> str | None:
    """Why two LMDBs do not belong together, or None if they may."""
    if data.keys == target.keys or len(target) == 1:
        return None
    mine, theirs = _names(data), _names(target)
    if mine is None or theirs is None:
        mine, theirs = _numbers(data), _numbers(target)
        if mine is None or theirs is None or (len(mine) == len(theirs) and _shifted(mine, theirs)):
            return None
        related = bool(set(mine) & set(theirs))
    else:
        related = bool(set(mine) & set(theirs)) or _named_after_images(mine, theirs, target)
    if mine == theirs or not related:
        return None
    if len(mine) != len(theirs):
        counts = f"{data.path} holds {len(mine)} records and {target.path} {len(theirs)}"
    else:
        counts = f"{data.path} and {target.path} differ"
    for i, (one, other) in enumerate(zip(mine, theirs, strict=False)):
        if one != other:
            keys = data.key_text(i), target.key_text(i)
            return f"{counts}: record {i} is {keys[0]} in the first and {keys[1]} in the second"
    return counts


def _names(database: LMDB) -> list[str] | None:
    """The names that follow the numbers in the keys; None if a key is only a number.

    convert_imageset writes such keys.
    """
    found = []
    for key in database.keys:
        match = KEY.fullmatch(key.decode("utf-8", "surrogateescape"))
        name = match[2] if match else key.decode("utf-8", "surrogateescape")
        if not name:
            return None
        found.append(name)
    return found


def _numbers(database: LMDB) -> list[int] | None:
    """The numbers at the beginning of the keys; None if a key has none."""
    matches = [KEY.match(key.decode("utf-8", "surrogateescape")) for key in database.keys]
    return [int(match[1]) for match in matches] if all(matches) else None


def _shifted(first: Sequence[int], second: Sequence[int]) -> bool:
    """Whether two lists of numbers differ by a constant: one counts from 0, the other from 1."""
    return len({a - b for a, b in zip(first, second, strict=True)}) == 1


def _named_after_images(names: Sequence[str], targets: Sequence[str], database: LMDB) -> bool:
    """Whether these targets are vectors named after images, as the data's records are."""
    datum = database.datum(0)
    ends = {os.path.splitext(name)[1].lower() for name in (*names, *targets)}
    return bool(datum.float_data) and datum.height * datum.width == 1 and ends <= set(IMAGES)
