"""Keeping OpenCV from starting threads of its own while the runtime's threads decode images.

Several threads decode a batch, one image each.  If OpenCV splits every image over its own pool as
well, there are more threads than cores, and they wait for each other.  OpenCV's setting belongs to
the whole process.  It is therefore changed only while images are read, and restored afterwards, so
that a program that imports caffe keeps its own setting.
"""

import contextlib
import threading
from collections.abc import Iterator

import cv2

_lock = threading.Lock()
_state = {"users": 0, "before": 0, "off": 0}


@contextlib.contextmanager
def off() -> Iterator[None]:
    """Turn OpenCV's threads off in the block; the last of several blocks to end restores them.

    If the program changes the number of threads in the meantime, its number stays.
    """
    with _lock:
        if not _state["users"]:
            _state["before"] = cv2.getNumThreads()
            cv2.setNumThreads(0)
            _state["off"] = cv2.getNumThreads()
        _state["users"] += 1
    try:
        yield
    finally:
        with _lock:
            _state["users"] -= 1
            if not _state["users"] and cv2.getNumThreads() == _state["off"]:
                cv2.setNumThreads(_state["before"])
