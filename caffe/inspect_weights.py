"""Which layers of a net and of a file of weights match, as Caffe would copy them."""

from __future__ import annotations

from typing import Any

from caffe import weights_file
from caffe.net import same_shape

COPIED, KEPT, IGNORED, REFUSED = "copied", "keeps its filler", "ignored", "does not fit"


def match(net: dict[str, Any], path: str) -> dict[str, Any]:
    """Compare a net with weights, by layer name.

    Parameters
    ----------
    net : dict
        A net as inspect_files.read describes it.
    path : str
        A .caffemodel, binary or HDF5.

    Returns
    -------
    dict
        `weights` (the path), `fits` (whether Caffe copies them without an error), and `matches`:
        per layer with parameters `name`, `result` ('copied', 'keeps its filler' if the file does
        not have it, 'ignored' if the net does not have it, 'does not fit') and `why`.

    Raises
    ------
    CaffeError
        The weights cannot be read.
    """
    waiting: dict[str, list[dict]] = {}
    for layer in net["layers"]:
        waiting.setdefault(layer["name"], []).append(layer)
    rows, touched = [], set()
    for name, blobs in weights_file.read_layers(path):
        if name not in waiting:
            if blobs:
                rows.append(_row(name, IGNORED, "the net has no layer of this name"))
            continue
        layer = waiting[name].pop(0) if len(waiting[name]) > 1 else waiting[name][0]
        touched.add(id(layer))
        unknown = any(top["shape"] is None for top in layer["tops"])
        if unknown and blobs:
            rows.append(_row(name, "unknown", "the shapes of this layer are not known"))
        elif blobs or layer["blobs"]:
            rows.append(_compared(name, layer["blobs"], blobs))
    rows += [
        _row(layer["name"], KEPT, "the file has no layer of this name")
        for layer in net["layers"]
        if id(layer) not in touched and any(not blob["owner"] for blob in layer["blobs"])
    ]
    order = {layer["name"]: i for i, layer in enumerate(net["layers"])}
    rows.sort(key=lambda row: order.get(row["name"], len(order)))
    fits = all(row["result"] != REFUSED for row in rows)
    return {"weights": path, "fits": fits, "matches": rows}


def _row(name: str, result: str, why: str = "") -> dict[str, str]:
    return {"name": name, "result": result, "why": why}


def _compared(name: str, expected: list[dict], blobs: dict[int, weights_file.BlobArray]):
    """Caffe's rule for a layer that both sides have (net.cpp: CopyTrainedLayersFrom)."""
    lacking = any(k not in blobs and not blob["owner"] for k, blob in enumerate(expected))
    if lacking or any(k >= len(expected) for k in blobs):
        why = f"{len(blobs)} blob(s) in the file, {len(expected)} in the net"
        return _row(name, REFUSED, why)
    for k, source in sorted(blobs.items()):
        shape = tuple(expected[k]["shape"])
        if not same_shape(source, shape):
            why = f"blob {k} is {_shape(source.shape)} in the file, {_shape(shape)} in the net"
            return _row(name, REFUSED, why)
    return _row(name, COPIED)


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "1"
