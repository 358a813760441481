"""A net as an ONNX file, made by torch.onnx and compared with the runtime by onnxruntime.

torch.onnx's newer exporter (`dynamo=True`) is used: the older one, by TorchScript, is deprecated,
and writes a padded pooling as a dozen operators.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from caffe import export_module
from caffe.blob import Blob
from caffe.error import CaffeError
from caffe.net import NetCore
from caffe.whole_file import renamed_when_whole

INSTALL = "pip install '.[export]' in the project's folder"
BATCH = "batch"
SCOPES, LAYER = "pkg.torch.onnx.name_scopes", re.compile(r"layer\d+")  # where a node comes from
MOST_BYTES = 2**31 - 1  # of a protobuf message
# Both sides round sums in another order; deep nets with large values differ most
TOLERANCE = 1e-3  # of the largest value of an output


@dataclass
class Exported:
    """What was written.

    Attributes
    ----------
    path : str
    opset : int
    any_batch : bool
        The first axis of all inputs may have any size.
    inputs, outputs : dict
        {blob: shape}, with 'batch' as first size if `any_batch`.
    batches : list of int
        The batch sizes with which it was compared with the runtime; empty without onnxruntime.
    difference, greatest : float
        The largest absolute difference of the outputs, and their largest absolute value.
    """

    path: str
    opset: int
    any_batch: bool
    inputs: dict[str, tuple[int | str, ...]]
    outputs: dict[str, tuple[int | str, ...]]
    batches: list[int] = field(default_factory=list)
    difference: float = 0.0
    greatest: float = 0.0


def export_onnx(net: NetCore, path: str | os.PathLike[str], opset: int | None = None) -> Exported:
    """Write a net as ONNX; it is compared with the runtime first, if onnxruntime is installed.

    Parameters
    ----------
    net : NetCore
        On the CPU, with the phase TEST.  Its inputs get another batch size.
    path : str
    opset : int, optional
        ONNX's version of the operators; by default the one that torch.onnx prefers.

    Raises
    ------
    CaffeError
        A layer cannot be exported; onnx is not installed; or onnxruntime computes other numbers
        than the runtime, in which case nothing is written.
    """
    path = os.fspath(path)
    for name in ("onnx", "onnxscript"):
        if importlib.util.find_spec(name) is None:
            raise CaffeError(f"exporting to ONNX needs {name}, which is not installed: {INSTALL}")
    export_module.check(net)
    export_module.forget_states(net)
    any_batch = export_module.take_any_batch(net)
    try:
        model = _model(net, any_batch, opset)
    except Exception as error:
        if not any_batch:
            raise CaffeError(f"{net.file}: torch.onnx cannot export it ({_line(error)})") from error
        model, any_batch = _model(net, False, opset), False
    exported = Exported(
        path,
        next(entry.version for entry in model.opset_import if not entry.domain),
        any_batch,
        {blob.name: _shape(blob.shape, any_batch) for blob in net.input_blobs},
        {blob.name: _shape(blob.shape, any_batch) for blob in export_module.outputs(net)},
    )
    if model.ByteSize() > MOST_BYTES:
        raise CaffeError(f"{net.file}: its weights exceed the 2 GB that an ONNX file can hold")
    data = model.SerializeToString()
    if importlib.util.find_spec("onnxruntime") is not None:
        _compare(net, data, exported)
    with renamed_when_whole(path) as temporary, open(temporary, "wb") as f:
        f.write(data)
    return exported


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def _shape(shape: tuple[int, ...], any_batch: bool) -> tuple[int | str, ...]:
    return (BATCH, *shape[1:]) if any_batch and shape else shape


def _model(net: NetCore, any_batch: bool, opset: int | None) -> Any:
    """The net as an onnx.ModelProto."""
    module = export_module.NetModule(net).eval()
    inputs = tuple(torch.zeros(blob.shape) for blob in net.input_blobs)
    batch = torch.export.Dim(BATCH) if any_batch else None
    shapes = tuple({0: batch} for _ in inputs) if any_batch else None
    with _quiet(), _one_tf32_switch(), torch.no_grad():
        program = torch.onnx.export(
            module,
            inputs,
            input_names=[blob.name for blob in net.input_blobs],
            output_names=[blob.name for blob in export_module.outputs(net)],
            opset_version=opset,
            dynamo=True,
            dynamic_shapes=(shapes,) if shapes else None,
            verbose=False,
        )
    model = program.model_proto
    export_module.forget_states(net)
    model.graph.name = net.name or "net"
    model.producer_name = "caffe"
    _name_nodes(model.graph, module.layer_names)
    _rename(model.graph, module.initializers)
    return model


def _name_nodes(graph: Any, names: dict[str, str]) -> None:
    """Name the nodes after their layers, and drop torch's notes on its own source code."""
    seen: dict[str, int] = {}
    for node in graph.node:
        notes = {entry.key: entry.value for entry in node.metadata_props}
        module = LAYER.search(notes.get(SCOPES, ""))
        name = names.get(module.group(), "") if module else ""
        if name:
            seen[name] = seen.get(name, 0) + 1
            node.name = name if seen[name] == 1 else f"{name}/{seen[name]}"
        del node.metadata_props[:]
    del graph.metadata_props[:]
    for value in (*graph.value_info, *graph.input, *graph.output, *graph.initializer):
        del value.metadata_props[:]


def _rename(graph: Any, names: dict[str, str]) -> None:
    """Give the weights the names of their layers."""
    taken = {value.name for value in (*graph.input, *graph.output)}
    names = {old: new for old, new in names.items() if new not in taken}
    for initializer in graph.initializer:
        initializer.name = names.get(initializer.name, initializer.name)
    for info in graph.value_info:
        info.name = names.get(info.name, info.name)
    for node in graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = names.get(name, name)


@contextlib.contextmanager
def _one_tf32_switch() -> Iterator[None]:
    """In the block, cuDNN's convolutions and RNNs have one setting of TF32.

    PyTorch's exporter reads both at once, and raises RuntimeError where they differ.
    """
    cudnn = torch.backends.cudnn
    switches = cudnn.conv, cudnn.rnn
    before = [switch.fp32_precision for switch in switches]
    cudnn.allow_tf32 = before[0] == "tf32"  # the old switch sets both
    try:
        yield
    finally:
        for switch, precision in zip(switches, before, strict=True):
            switch.fp32_precision = precision


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the messages of torch.onnx on its own progress, and on libraries that it misses."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


# -------------------------------------------------------------------------- against the runtime


def _compare(net: NetCore, model: bytes, exported: Exported) -> None:
    """Run the model and the net on the same random inputs; note the difference, or refuse it."""
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common class
        raise CaffeError(f"{net.file}: onnxruntime refuses the model ({_line(error)})") from error
    rng = np.random.default_rng(0)
    shapes = [blob.shape for blob in net.input_blobs]
    batches = (1, shapes[0][0]) if exported.any_batch else (shapes[0][0],)
    for batch, scale in zip(batches, (50, 1), strict=False):
        for blob, shape in zip(net.input_blobs, shapes, strict=True):
            blob.reshape(*((batch, *shape[1:]) if exported.any_batch else shape))
            blob.put(torch.from_numpy(_input(net, blob, scale, rng)))
        fed = {blob.name: blob.tensor().numpy() for blob in net.input_blobs}
        found = session.run([blob.name for blob in export_module.outputs(net)], fed)
        net.forward_backward(backward=False)
        export_module.forget_states(net)
        for blob, theirs in zip(export_module.outputs(net), found, strict=True):
            _note(net, blob.name, blob.tensor().numpy(), theirs, exported)
        exported.batches.append(batch)


def _input(net: NetCore, blob: Blob, scale: float, rng: np.random.Generator) -> np.ndarray:
    """Random numbers for an input: images of this deviation, and indices for an Embed."""
    for node in net.nodes:
        if node.layer.type == "Embed" and blob in node.bottoms:
            return rng.integers(0, node.layer.param.embed_param.input_dim, blob.shape).astype("f4")
        if node.layer.type in export_module.UNNAMED and blob in node.bottoms[1:2]:
            starts = np.ones(blob.shape, np.float32)
            starts[0] = 0  # a new sequence
            return starts
    return ((scale if len(blob.shape) == 4 else 1) * rng.standard_normal(blob.shape)).astype("f4")


def _note(net: NetCore, name: str, ours: np.ndarray, theirs: np.ndarray, exported: Exported):
    if ours.shape != theirs.shape:
        raise CaffeError(
            f"{net.file}: output '{name}' has the shape {ours.shape}, and {theirs.shape} in ONNX"
        )
    greatest = float(np.abs(ours).max(initial=0))
    difference = float(np.abs(ours - theirs).max(initial=0))
    if not difference <= TOLERANCE * max(greatest, 1e-3):  # also if it is NaN
        raise CaffeError(
            f"{net.file}: output '{name}' differs by {difference:.3g} in ONNX, where its largest"
            f" value is {greatest:.3g}; nothing was written"
        )
    exported.difference = max(exported.difference, difference)
    exported.greatest = max(exported.greatest, greatest)
