"""HDF5Data: rows of the HDF5 files that a text file lists, file after file, again and again.

Each top takes the dataset of its own name: (rows, ...), integers or floats; all datasets of a
file have the same number of rows.  Honours hdf5_data_param: source, batch_size, shuffle (the order
of the files in each round, and of the rows in each file).  transform_param is refused, as in Caffe.
One file is held in memory at a time.  Several solvers take turns at the rows in TRAIN, in an order
that they all shuffle alike.
"""

import time

import h5py
import numpy as np

from caffe import log, mode, prototxt, regular_file
from caffe.batch_buffers import BatchBuffers
from caffe.error import CaffeError
from caffe.layer import Layer, Shapes, Tensors, register
from caffe.position import Position, generator


@register("HDF5Data")
class HDF5Data(Layer):
    num_bottom = (0, 0)
    num_top = (1, None)

    def setup(self, shapes: Shapes) -> None:
        p = self.param.hdf5_data_param
        if self.param.HasField("transform_param"):
            self.fail("transform_param does not apply to HDF5 data; drop it")
        if p.batch_size < 1:
            self.fail("hdf5_data_param.batch_size must be at least 1")
        if not p.source:
            self.fail("hdf5_data_param.source is missing")
        log.info("hdf5_data_layer.cpp:78", f"Loading list of HDF5 filenames from: {p.source}")
        self.files = prototxt.read_text(p.source).split()
        if not self.files:
            self.fail(f"{p.source} lists no HDF5 files")
        log.info("hdf5_data_layer.cpp:94", f"Number of HDF5 files: {len(self.files)}")
        self.solvers = mode.solver_count() if self.train else 1
        self.waited = 0.0  # seconds that `forward` has read and copied rows
        self.buffers = [BatchBuffers(self.device) for _ in self.param.top]
        self.turn = 0  # the solver whose row is next
        shared = self.solvers > 1
        self.rng = np.random.default_rng(mode.common_seed() if shared else mode.draw_seed())
        self._new_round()
        self._load()

    def _new_round(self):
        self.file = 0
        self.round_stream = self.rng.bit_generator.state
        order = self.rng.permutation if self.param.hdf5_data_param.shuffle else np.arange
        self.file_order = order(len(self.files))

    def _load(self):
        """Read the current file and start at its first row."""
        path = self.files[self.file_order[self.file]]
        try:
            regular_file.check(path)
        except CaffeError as error:
            self.fail(f"{path} cannot be read as HDF5 ({error})")
        try:
            with h5py.File(path, "r") as f:
                self.arrays = [self._array(f, path, name) for name in self.param.top]
        except (OSError, RuntimeError, KeyError, ValueError) as error:
            self.fail(f"{path} cannot be read as HDF5 ({error})")
        rows = {len(a) for a in self.arrays}
        if len(rows) > 1 or rows == {0}:
            self.fail(
                f"{path}: its datasets have {sorted(rows)} rows; all must have the same number, at"
                " least 1"
            )
        self._start_file()

    def _array(self, file: h5py.File, path: str, name: str):
        if name not in file or not isinstance(file[name], h5py.Dataset):
            self.fail(f"{path} has no dataset '{name}'; it has {', '.join(file) or 'none'}")
        data = file[name]
        if data.ndim < 1 or data.dtype.kind not in "iuf":
            self.fail(
                f"{path}: dataset '{name}' ({data.dtype}, shape {data.shape}) does not hold rows"
                " of numbers"
            )
        return data[...].astype(np.float32)

    def _start_file(self):
        self.row = 0
        self.file_stream = self.rng.bit_generator.state
        rows = len(self.arrays[0])
        shuffle = self.param.hdf5_data_param.shuffle
        self.row_order = self.rng.permutation(rows) if shuffle else np.arange(rows)

    def reshape(self, shapes: Shapes) -> Shapes:
        return [(self.param.hdf5_data_param.batch_size, *a.shape[1:]) for a in self.arrays]

    def forward(self) -> Tensors:
        begun = time.perf_counter()
        parts = [[] for _ in self.arrays]
        missing = self.param.hdf5_data_param.batch_size
        while missing:
            rows = self._take(missing)
            for part, array in zip(parts, self.arrays, strict=True):
                if part and part[0].shape[1:] != array.shape[1:]:
                    self.fail(
                        f"{self.files[self.file_order[self.file]]}: its rows have another shape"
                        " than those of the file before"
                    )
                part.append(array[rows])
            missing -= len(rows)
            if self.row == len(self.row_order):
                self._next_file()
        tops = []
        for part, buffers in zip(parts, self.buffers, strict=True):
            shape = (self.param.hdf5_data_param.batch_size, *part[0].shape[1:])
            batch = buffers.get(shape, np.float32)
            tops.append(buffers.to_device(np.concatenate(part, out=batch)))
        self.waited += time.perf_counter() - begun
        return tops

    def _take(self, most: int):
        """The next rows of the file that are this solver's, `most` of them at the most."""
        first = self.row + (mode.solver_rank() - self.turn) % self.solvers
        rows = self.row_order[first :: self.solvers][:most]
        left = len(self.row_order)
        end = first + (len(rows) - 1) * self.solvers + 1 if len(rows) == most else left
        self.turn = (self.turn + end - self.row) % self.solvers
        self.row = end
        return rows

    def _next_file(self):
        if len(self.files) == 1:
            return self._start_file()
        self.file += 1
        if self.file == len(self.files):
            self._new_round()
        self._load()

    # ------------------------------------------------------------- for snapshots
    def position(self) -> Position:
        """The current file of the round, and its next row.

        The states of the generator before it shuffled the files and the rows reproduce both orders.
        """
        streams = self.round_stream, self.file_stream
        turn = (self.turn,) if self.solvers > 1 else ()
        return Position(len(self.files), self.row, self.file, turn, streams)

    def move_to(self, position: Position) -> None:
        if position.records != len(self.files):
            self.fail(f"has {len(self.files)} files, not {position.records}")
        if position.passed >= len(self.files) or len(position.streams) != 2:
            self.fail(f"has {len(self.files)} files, but none with the number {position.passed}")
        self.rng = generator(position.streams[0])
        self._new_round()
        self.file = position.passed
        self.rng = generator(position.streams[1])
        self._load()
        if position.cursor >= len(self.row_order):
            path = self.files[self.file_order[self.file]]
            self.fail(
                f"{path} has {len(self.row_order)} rows, but none with the number {position.cursor}"
            )
        self.row = position.cursor
        self.turn = position.order[0] if position.order else 0
