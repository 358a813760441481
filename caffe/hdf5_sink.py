"""HDF5 files that may not fit on the disk: HDF5's C library cannot end such a file, it prints or crashes the process."""

import contextlib
import io

import h5py


class _Sink(io.RawIOBase):
    """The file that h5py writes to: the first failed write is kept in `error`, and later ones are dropped."""

    def __init__(self, file):
        super().__init__()
        self.file, self.error = file, None

    def _unless_failed(self, act, otherwise):
        if self.error is None:
            try:
                return act()
            except OSError as error:
                self.error = error
        return otherwise

    def write(self, data):
        return self._unless_failed(lambda: self.file.write(data), len(data))

    def truncate(self, size=None):
        return self._unless_failed(lambda: self.file.truncate(size), size)

    def flush(self):
        self._unless_failed(self.file.flush, None)

    def seek(self, *place):
        return self._unless_failed(lambda: self.file.seek(*place), 0)

    def tell(self):
        return self._unless_failed(self.file.tell, 0)

    def readinto(self, buffer):
        return self._unless_failed(lambda: self.file.readinto(buffer), len(buffer))


@contextlib.contextmanager
def opened(path, append: bool = False):
    """An HDF5 file to write, new or grown.

    Parameters
    ----------
    path : str
    append : bool
        Open the file that is there instead of making a new one.

    Raises
    ------
    OSError
        The file cannot be written, or the disk is full.
    """
    with open(path, "r+b" if append else "w+b") as file:
        sink = _Sink(file)
        try:
            with h5py.File(sink, "r+" if append else "w") as f:
                yield f
            sink.flush()
        except (OSError, RuntimeError, ValueError, KeyError):  # HDF5 may stumble over what could not be written
            if sink.error is None:
                raise
        if sink.error is not None:
            raise sink.error
