"""What `caffe inspect` prints: the dicts of inspect_files.py as lines and tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from caffe import wire

Found = dict[str, Any]
WIDEST = 44  # characters of a column
ELLIPSIS = "..."


def text(found: Found) -> str:
    """The description of a file as text for a terminal."""
    lines = [f"{wire.shown(found['file'])}: {found['kind']} ({found['format']})"]
    lines += _PRINTERS[found["kind"]](found)
    if "matches" in found:
        lines += ["", *_matches(found)]
    return "\n".join(lines) + "\n"


def table(head: Sequence[str], rows: Sequence[Sequence[object]], sides: str = "") -> list[str]:
    """Aligned columns; `sides` has an 'r' at the place of each column that is flush right.

    All columns but the last are cut to `WIDEST` characters.
    """
    last = len(head) - 1
    cells = [
        [wire.shown(str(cell)) if i == last else _cut(str(cell)) for i, cell in enumerate(row)]
        for row in (head, *rows)
    ]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    lines = []
    for row in cells:
        parts = [
            cell.rjust(width) if sides[i : i + 1] == "r" else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(parts).rstrip())
    rules = [min(width, 2 * WIDEST) for width in widths]
    return [lines[0], "  ".join("-" * width for width in rules), *lines[1:]]


def _cut(cell: str) -> str:
    cell = wire.shown(cell)
    return cell if len(cell) <= WIDEST else cell[: WIDEST - len(ELLIPSIS)] + ELLIPSIS


def shape_text(shape: Sequence[int] | None) -> str:
    """A shape as 64x3x227x227; a single number is 1, and an unknown shape is ?."""
    return "?" if shape is None else "x".join(map(str, shape)) or "1"


def size_text(count: float) -> str:
    """A number of bytes, as 1.5 MB."""
    for unit in ("bytes", "KB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            return f"{count:.0f} bytes" if unit == "bytes" else f"{count:.3g} {unit}"
        count /= 1000
    return ""


def count_text(count: int) -> str:
    """A number of parameters or operations, as 1.5 million."""
    for limit, word in ((10**9, "billion"), (10**6, "million")):
        if count >= limit:
            return f"{count:,} ({count / limit:.3g} {word})"
    return f"{count:,}"


# --------------------------------------------------------------------------------------------- nets


def _net(found: Found) -> list[str]:
    rows = []
    for layer in found["layers"]:
        tops = ", ".join(f"{top['name']} {shape_text(top['shape'])}" for top in layer["tops"])
        blobs = ", ".join(
            shape_text(b["shape"]) + (f" of {b['owner']}" if b["owner"] else "")
            for b in layer["blobs"]
        )
        operations = layer["multiply_adds"]
        rows.append(
            [
                layer["name"],
                layer["type"],
                tops,
                blobs,
                f"{layer['parameters']:,}" if layer["blobs"] else "",
                "?" if operations is None else f"{operations:,}" if operations else "",
            ]
        )
    head = ["layer", "type", "tops", "parameter shapes", "parameters", "multiply-adds"]
    lines = [f"net {found['name'] or '(no name)'}, phase {found['phase']}", ""]
    lines += [*table(head, rows, "llllrr"), "", *_totals(found)]
    for layer in found["layers"]:
        if layer["note"]:
            lines.append(f"note: layer {wire.shown(layer['name'])}: {layer['note']}")
    if not found["shapes_known"]:
        unknown = next(
            top["name"]
            for layer in found["layers"]
            for top in layer["tops"]
            if top["shape"] is None
        )
        lines.append(
            f"Unknown shapes (?) count as 0. Give the shape of a data blob, for example"
            f" -shape {unknown}:64,3,227,227"
        )
    return lines


def _totals(found: Found) -> list[str]:
    learnt = ""
    if found["learnt_parameters"] != found["parameters"]:
        learnt = f", {found['learnt_parameters']:,} of them learnt"
    size = size_text(found["parameter_bytes"])
    lines = [
        f"parameters:    {count_text(found['parameters'])}, {size}{learnt}",
        f"activations:   {size_text(found['activation_bytes'])} (the data of all blobs for one"
        " batch)",
        f"multiply-adds: {count_text(found['multiply_adds'])} (a forward pass of one batch:"
        " products with weights only)",
    ]
    if "training_bytes" in found:
        lines.append(
            f"training:      about {size_text(found['training_bytes'])} (data and gradients of"
            " parameters and blobs, and the solver's history; not the workspaces of convolutions"
            " and batches read ahead)"
        )
    return lines


def _solver(found: Found) -> list[str]:
    rows = [[name, _value(value)] for name, value in found["settings"].items()]
    lines = [f"solver type {found['type']}", "", *table(["field", "value"], rows)]
    for net in found["nets"]:
        lines += ["", f"{wire.shown(net['file'])}:", *_net(net)]
    return [*lines, *(f"note: {note}" for note in found["notes"])]


def _value(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _matches(found: Found) -> list[str]:
    rows = [[row["name"], row["result"], row["why"]] for row in found["matches"]]
    copied = sum(row["result"] == "copied" for row in found["matches"])
    verdict = (
        f"{copied} layer(s) are copied"
        if found["fits"]
        else "Caffe refuses these weights for this net; to learn a layer from scratch, give it"
        " another name in the prototxt"
    )
    head = ["layer", "result", "why"]
    return [f"weights {wire.shown(found['weights'])}", "", *table(head, rows), "", verdict]


# -------------------------------------------------------------------------------------- other files


def _weights(found: Found) -> list[str]:
    rows = []
    for layer in found["layers"]:
        for i, blob in enumerate(layer["blobs"]):
            first = [layer["name"], layer["type"]] if i == 0 else ["", ""]
            rows.append([*first, blob["index"], *_statistics(blob)])
        if not layer["blobs"]:
            rows.append([layer["name"], layer["type"], "", "", "", "", "", ""])
    head = ["layer", "type", "blob", "shape", "values", "mean", "deviation", "range"]
    count, size = count_text(found["parameters"]), size_text(found["parameter_bytes"])
    lines = [f"name {found['name']}"] if found["name"] else []
    lines += ["", *table(head, rows, "llrlrrr"), "", f"parameters: {count}, {size}"]
    bad = [
        (layer["name"], blob["index"], blob["not_finite"])
        for layer in found["layers"]
        for blob in layer["blobs"]
        if blob.get("not_finite")
    ]
    for name, index, count in bad:
        lines.append(f"warning: layer {wire.shown(name)}, blob {index}: {count:,} NaN or infinite")
    return lines


def _statistics(blob: Found) -> list[str]:
    if "mean" not in blob:
        return [shape_text(blob["shape"]), f"{blob['values']:,}", "", "", ""]
    return [
        shape_text(blob["shape"]),
        f"{blob['values']:,}",
        f"{blob['mean']:.4g}",
        f"{blob['deviation']:.4g}",
        f"{blob['least']:.4g} to {blob['greatest']:.4g}",
    ]


def _state(found: Found) -> list[str]:
    there = "" if found["learned_net_exists"] else " (missing)"
    exactly = "where it stopped" if found["resumes_exactly"] else "with the first record"
    rows = [[blob["index"], *_statistics(blob)] for blob in found["history"]]
    size = size_text(found["history_bytes"])
    return [
        f"iteration:     {found['iter']:,}",
        f"weights:       {wire.shown(found['learned_net']) or 'none'}"
        + (there if found["learned_net"] else ""),
        f"current_step:  {found['current_step']} (how often the learning rate has been lowered)",
        f"data:          a resumed training begins {exactly}",
        f"history:       {len(found['history'])} blobs, {found['history_values']:,} values, {size}",
        "",
        *table(["blob", "shape", "values", "mean", "deviation", "range"], rows, "rlrrr"),
    ]


def _blob(found: Found) -> list[str]:
    shape, count, *rest = _statistics(found)
    lines = [f"shape:     {shape}, {count} values"]
    if "type" in found:
        lines.append(f"type:      {found['type']}")
    if rest[0]:
        lines += [f"mean:      {rest[0]}", f"deviation: {rest[1]}", f"range:     {rest[2]}"]
    if "channel_means" in found:
        means = ", ".join(f"{mean:.4f}" for mean in found["channel_means"])
        lines.append(f"mean of each channel: {means}")
    if found.get("not_finite"):
        lines.append(f"warning: {found['not_finite']:,} values are NaN or infinite")
    return lines


def _hdf5_data(found: Found) -> list[str]:
    rows = [[row["name"], shape_text(row["shape"]), row["type"]] for row in found["datasets"]]
    return ["", *table(["dataset", "shape", "type"], rows)]


def _lmdb(found: Found) -> list[str]:
    sizes = "; ".join(f"{c}x{h}x{w} ({count})" for c, h, w, count in found["sizes"])
    more = found["different_sizes"] - len(found["sizes"])
    data = ", ".join(f"{name} ({count})" for name, count in found["data"].items())
    lines = [
        f"records: {found['records']:,}, {size_text(found['bytes'])}",
        f"keys:    {found['first_key']} to {found['last_key']}",
        f"of the {found['read']:,} records that were read:",
        f"  channels x height x width: {sizes}{f'; {more} more' if more else ''}",
        f"  pixels stored as: {data}",
    ]
    labels = found["labels"]
    if labels:
        lines.append(
            f"  labels: {labels['least']} to {labels['greatest']}, {labels['different']} different"
        )
    else:
        lines.append("  labels: none")
    return lines


_PRINTERS = {
    "net": _net,
    "solver": _solver,
    "weights": _weights,
    "solver state": _state,
    "blob": _blob,
    "array": _blob,
    "HDF5 data": _hdf5_data,
    "LMDB": _lmdb,
}
