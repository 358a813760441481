"""Damaged copies of a file's bytes, the same ones for the same seed."""

import os

import numpy as np

COUNT = int(os.environ.get("FUZZ_MUTANTS", "300"))  # per kind of file
SEED = int(os.environ.get("FUZZ_SEED", "0"))
NUMBERS = [
    0,
    1,
    2,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0xFFFF,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**32,
    2**63 - 1,
    2**63,
    2**64 - 1,
]


def mutants(data, count=COUNT, seed=SEED):
    """Yield `count` damaged copies of `data`, with one to four changes each.

    The changes: bits flipped, a byte or a run of bytes replaced, an end cut off, bytes inserted or
    deleted, a piece copied or moved elsewhere, a number of 1 to 8 bytes set to a telling value or
    to an address in the file, or changed by one, a protobuf tag or length replaced.
    """
    changes = [
        flip,
        run,
        truncate,
        insert,
        delete,
        copy,
        swap,
        number,
        number,
        address,
        step,
        tag,
        length,
    ]
    for i in range(count):
        rng = np.random.default_rng([seed, i])
        damaged = bytearray(data)
        for _ in range(rng.integers(1, 5)):
            changes[rng.integers(len(changes))](damaged, rng)
        yield bytes(damaged)


def place(data, rng):
    return int(rng.integers(len(data) + 1)) if data else 0


def piece(data, rng):
    start = place(data, rng)
    return slice(start, start + int(rng.integers(1, 17)))


def flip(data, rng):
    for _ in range(rng.integers(1, 4)):
        at = place(data, rng)
        if at < len(data):
            data[at] ^= 1 << int(rng.integers(8))


def run(data, rng):
    part = piece(data, rng)
    size = len(data[part])
    data[part] = rng.choice([bytes(size), b"\xff" * size, rng.bytes(size)])[:size].ljust(
        size, b"\0"
    )


def truncate(data, rng):
    del data[place(data, rng) :]


def insert(data, rng):
    at = place(data, rng)
    data[at:at] = rng.bytes(int(rng.integers(1, 17)))


def delete(data, rng):
    del data[piece(data, rng)]


def copy(data, rng):
    at, part = place(data, rng), bytes(data[piece(data, rng)])
    data[at : at + len(part)] = part


def swap(data, rng):
    part = piece(data, rng)
    moved = bytes(data[part])
    del data[part]
    at = place(data, rng)
    data[at:at] = moved


def number(data, rng):
    """Set an aligned little-endian number to one that often causes errors."""
    width = int(rng.choice([1, 2, 4, 8]))
    at = place(data, rng) // width * width
    value = NUMBERS[rng.integers(len(NUMBERS))] % 256**width
    data[at : at + width] = value.to_bytes(width, "little")[: len(data) - at]


def address(data, rng):
    """Make an aligned number point to another place in the file, so that structures may contain
    themselves.
    """
    at = place(data, rng) // 8 * 8
    if at + 8 <= len(data):
        data[at : at + 8] = (place(data, rng) // 8 * 8).to_bytes(8, "little")


def step(data, rng):
    at = place(data, rng)
    if at < len(data):
        data[at] = (data[at] + int(rng.choice([-1, 1]))) % 256


def tag(data, rng):
    """Another field number or wire type where a protobuf tag may be."""
    at = place(data, rng)
    data[at : at + 1] = bytes([int(rng.integers(12)) << 3 | int(rng.integers(8))])


def length(data, rng):
    """A long varint where a protobuf length may be."""
    at = place(data, rng)
    data[at : at + 1] = b"\xff" * int(rng.integers(1, 10)) + b"\x01"
