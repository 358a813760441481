"""OpenCV without threads of its own, while our threads decode images.

One image is one thread's work, and a batch is spread over several.  Where OpenCV splits each image
over its own pool as well, the threads outnumber the cores and wait for each other.  Its setting
belongs to the whole process: it is changed only while images are being read, and restored
afterwards, so that a program which imports caffe keeps the setting it has made.
"""

import contextlib
import threading
from collections.abc import Iterator

import cv2

_lock = threading.Lock()
_state = {"users": 0, "before": 0, "off": 0}


@contextlib.contextmanager
def off() -> Iterator[None]:
    """Keep OpenCV to the calling thread; the last of several users restores its number of threads.

    A program that sets the number itself in the meantime keeps what it has set.
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
