"""Where a layer is in its data: what a snapshot holds of it besides its parameters."""

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
    """The next record of a data layer with the state of its random streams, or the hidden states of
    a recurrent layer.

    Attributes
    ----------
    records : int
        In the source, to tell another source from this one.
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
    """A NumPy generator in the state of another one (``rng.bit_generator.state``)."""
    bits = np.random.PCG64(0)
    bits.state = state
    return np.random.Generator(bits)


def to_message(name: str, type_name: str, position: Position) -> LayerPosition:
    """The message that a snapshot holds of a layer's position."""
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
