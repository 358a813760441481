"""The position of a layer in its data, which a snapshot holds besides the layer's parameters."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from caffe import wire
from caffe.proto.caffe_pb2 import BlobProto, LayerPosition


@dataclass(frozen=True)
class Position:
    """A data layer's next record and random streams, or a recurrent layer's hidden states.

    Attributes
    ----------
    records : int
        Number of records in the source, to recognise another source.
    cursor : int
        The next record.
    passed : int
        Records passed so far, or files passed in this round.
    order : sequence of int
        The source's records as they were shuffled; empty if they were not.  For HDF5Data of several
        solvers, the one number of the solver whose row is next.
    streams : tuple of dict
        States of NumPy bit generators.
    states : tuple of torch.Tensor
        Hidden states.
    """

    records: int = 0
    cursor: int = 0
    passed: int = 0
    order: Sequence[int] = ()
    streams: tuple[Mapping[str, object], ...] = ()
    states: tuple[torch.Tensor, ...] = ()


def generator(state: Mapping[str, object]) -> np.random.Generator:
    """A NumPy generator with the state of another one (``rng.bit_generator.state``)."""
    bits = np.random.PCG64(0)
    bits.state = state
    return np.random.Generator(bits)


def to_message(name: str, type_name: str, position: Position) -> LayerPosition:
    """A layer's position as the message that a snapshot holds."""
    return LayerPosition(
        name=name,
        type=type_name,
        records=position.records,
        cursor=position.cursor,
        passed=position.passed,
        order=position.order,
        stream=[json.dumps(state) for state in position.streams],
        state=[_blob(tensor) for tensor in position.states],
    )


def from_message(message: LayerPosition) -> Position:
    """The position that `to_message` wrote.

    Raises
    ------
    ValueError, TypeError, KeyError or OverflowError
        The message is damaged.
    """
    streams = tuple(json.loads(wire.readable(text)) for text in message.stream)
    for state in streams:
        generator(state)
    return Position(
        records=message.records,
        cursor=message.cursor,
        passed=message.passed,
        order=list(message.order),
        streams=streams,
        states=tuple(
            torch.tensor(list(blob.data)).reshape(tuple(blob.shape.dim)) for blob in message.state
        ),
    )


def _blob(tensor: torch.Tensor) -> BlobProto:
    blob = BlobProto(data=tensor.detach().cpu().reshape(-1).tolist())
    blob.shape.dim.extend(tensor.shape)
    return blob
