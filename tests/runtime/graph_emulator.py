"""CUDA graphs without a GPU: the operations of a function are recorded, and repeated on the CPU.

As with a CUDA graph, a replay works on the tensors of the recording, runs no Python code of the
function, and draws new random numbers.  Waiting for a number is an error in a recording.  What is
done beside other work runs at once, or as late as it may: when it is joined.
"""

from contextlib import contextmanager, nullcontext

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

# operations that hand a number, or a shape that depends on numbers, to the host
WAITING = {"_local_scalar_dense", "nonzero", "masked_select", "_unique2", "bincount"}


class _Recording(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.operations, self.late = [], []  # `late` ones are not joined yet
        self.current = self.operations

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = operation._schema.name.removeprefix("aten::")
        indices = args[1] if name == "index" else ()
        if name in WAITING or any(i is not None and i.dtype == torch.bool for i in indices):
            raise RuntimeError(f"operation not permitted when stream is capturing: {name}")
        result = operation(*args, **kwargs)
        aliases = [r.alias_info for r in operation._schema.returns]
        is_view = any(alias is not None and not alias.is_write for alias in aliases)
        if not is_view:
            self.current.append((operation, args, kwargs, tree_leaves(result)))
        return result

    def join(self):
        self.operations += self.late
        self.late.clear()

    @torch.no_grad()
    def replay(self):
        for operation, args, kwargs, results in self.operations:
            again = tree_leaves(operation(*args, **kwargs))
            for old, new in zip(results, again, strict=True):
                if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                    old.data.copy_(new)


class GraphEmulator:
    """A Recorder (caffe/cuda_graph.py).

    `captures` counts recordings, `replays` their runs, and `joins` what was done beside other work.
    """

    def __init__(self, late=False):
        self.captures = self.replays = self.joins = 0
        self.late, self.recording = late, None

    def warm_up(self):
        return nullcontext()

    reading = warm_up

    def record(self, function):
        recording, self.captures = _Recording(), self.captures + 1
        self.recording = recording
        with recording:
            function()
        self.recording = None
        assert not recording.late, "what was done beside other work must be joined"
        waiting = [True]  # recording has run the function once already; a capture does not

        def run():
            self.replays += 1
            if waiting:
                waiting.clear()
            else:
                recording.replay()

        return run

    def forget(self):
        """Nothing is to be given back."""

    def take_over(self, tensors):
        """The tensors are there."""

    @contextmanager
    def beside(self):
        if self.late and self.recording is not None:
            self.recording.current = self.recording.late
        yield
        if self.recording is not None:
            self.recording.current = self.recording.operations

    def join(self):
        self.joins += 1
        if self.recording is not None:
            self.recording.join()

    def timed(self, function):
        function()
        return lambda: 1.0
