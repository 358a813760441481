"""Training on a GPU, as benchmarks/gpu.py times it: a row of its table, a profile, a schedule."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import drawn_images
import torch

if TYPE_CHECKING:
    from caffe.solver import Solver

SCHEDULE = 160_000 * 64  # images
WARM_UP = 6  # iterations before a measurement: a graph is captured in the fourth
TOP = 15  # kernels of the profile
SWITCHES = ("ways", "algorithms", "overlap")  # what a training can do without


def switch_off(what: str) -> None:
    """Let trainers that are made from now on do without one thing; '' is for nothing.

    Parameters
    ----------
    what : {'ways', 'algorithms', 'overlap', ''}
        Trying ways to compute layers, cuDNN trying its algorithms, updates beside backward.
    """
    from caffe import cuda_graph, overlapped_update, trials

    trials.enable(what != "ways")
    cuda_graph.try_algorithms(what != "algorithms")
    overlapped_update.choose(overlapped_update.AFTER if what == "overlap" else None)


@dataclass
class Cell:
    """One row of the table.

    Attributes
    ----------
    batch : int
    precision, mode, data : str
    without : str
        What was switched off: one of SWITCHES, or nothing.
    iterations : int
        That were timed.
    milliseconds : float
        Per iteration.
    images_per_second : float
    floor_share : float
        The floor's time as a share of the measured one.
    memory : float or None
        Most bytes that PyTorch had allocated on the GPU, in GB (10^9 bytes).
    data_wait : float
        Share of the time in which the training waited for its data layers.
    schedule_minutes : float
        Minutes for 160,000 x 64 images at this speed.
    """

    batch: int
    precision: str
    mode: str
    data: str
    without: str
    iterations: int
    milliseconds: float
    images_per_second: float
    floor_share: float
    memory: float | None
    data_wait: float
    schedule_minutes: float


class Trainer:
    """A solver for one batch size and precision, as `caffe train` would set it up.

    Parameters
    ----------
    folder : Path
        With the LMDBs.
    net : str
        A folder of CNN/.
    batch : int
    precision : str
    device : {'cuda', 'cpu'}
    seed : int
        Of fillers, crops and dropout masks.
    without : str
        As for `switch_off`.
    """

    def __init__(
        self,
        folder: Path,
        net: str,
        batch: int,
        precision: str,
        device: str,
        seed: int = 0,
        without: str = "",
    ) -> None:
        import caffe
        from caffe import cuda_graph

        switch_off(without)
        self.without = without

        (caffe.set_mode_gpu if device == "cuda" else caffe.set_mode_cpu)()
        caffe.set_precision(precision)
        try:
            self.solver: Solver = drawn_images.solver_of(net, folder, batch, seed)
        finally:
            caffe.set_precision("fp32")
        self.device, self.batch = self.solver.net.device, batch
        self.recorder = self.solver.recorder or cuda_graph.CallAgain()

    def take(self, mode: str, data: str) -> None:
        """Train in this way from now on; data that is cached stays so."""
        from caffe import record_cache

        if data == "cached" and not self.cached:
            self.solver.net.close()
            record_cache.keep(self._readers(), self.device)
        self.solver.recorder = self.recorder if mode == "graph" else None
        self.solver.captured = self.solver.not_captured = None
        self.recorder.forget()

    @property
    def cached(self) -> bool:
        """Whether the records are on the device."""
        return any(layer.device_records is not None for layer in self._readers())

    def _readers(self) -> list[Any]:
        return [n.layer for n in self.solver.net.nodes if hasattr(n.layer, "device_records")]

    def loss(self) -> torch.Tensor:
        """The loss of the last iteration (0-d, on the device)."""
        return self.solver.training_log.losses[-1].detach().clone()

    def waited(self) -> float:
        """Seconds in which the training has waited for its data."""
        return sum(layer.waited for layer in self._readers())

    def synchronize(self) -> None:
        """Wait until the device has done all that was asked of it."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def time(self, iterations: int) -> float:
        """The seconds of some iterations."""
        self.synchronize()
        start = time.perf_counter()
        self.solver.step(iterations)
        self.synchronize()
        return time.perf_counter() - start

    def measure(self, mode: str, data: str, seconds: float, iterations: int, floor: float) -> Cell:
        """Time a cell of the table for about `seconds`, or for `iterations` if that is not 0."""
        self.take(mode, data)
        on_gpu = self.device.type == "cuda"
        if on_gpu:
            torch.cuda.reset_peak_memory_stats(self.device)
        self.time(min(WARM_UP, iterations or WARM_UP))
        if not iterations:
            iterations = max(3, int(seconds * 3 / max(self.time(3), 1e-6)))
        waited = self.waited()
        took = self.time(iterations)
        captured = self.solver.captured
        if mode == "graph" and on_gpu and not (captured and captured.recorded):
            raise RuntimeError(f"no CUDA graph was captured: {self.solver.not_captured}")
        per_second = iterations * self.batch / took
        return Cell(
            batch=self.batch,
            precision=self.solver.net.precision,
            mode=mode,
            data=data,
            without=self.without,
            iterations=iterations,
            milliseconds=1000 * took / iterations,
            images_per_second=per_second,
            floor_share=floor * iterations / took,
            memory=torch.cuda.max_memory_allocated(self.device) / 1e9 if on_gpu else None,
            data_wait=min(1.0, (self.waited() - waited) / took),
            schedule_minutes=SCHEDULE / per_second / 60,
        )

    def update_times(self) -> tuple[dict[str, float], str | None]:
        """{way to update: seconds of an iteration}, and the way that was taken."""
        captured = self.solver.captured
        return (captured.overlap.seconds, captured.overlap.chosen) if captured else ({}, None)

    def close(self) -> None:
        """Stop the readers, and give the device's memory back."""
        self.solver.close()
        self.recorder.forget()
        self.solver = None
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def profile(trainer: Trainer, iterations: int = 10) -> list[dict[str, Any]]:
    """The kernels that take most of the time of a captured iteration with cached data.

    Returns
    -------
    list of dict
        name, calls and milliseconds per iteration, share of all; the longest first.
    """
    from torch.profiler import ProfilerActivity

    trainer.take("graph", "cached")
    trainer.time(WARM_UP)
    on_gpu = trainer.device.type == "cuda"
    kinds = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * on_gpu
    with torch.profiler.profile(activities=kinds) as seen:
        trainer.time(iterations)
    field = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    events = [e for e in seen.key_averages() if not on_gpu or "CUDA" in str(e.device_type)]
    events.sort(key=lambda e: -getattr(e, field))
    total = sum(getattr(e, field) for e in events) or 1
    return [
        {
            "name": event.key,
            "calls": event.count / iterations,
            "milliseconds": getattr(event, field) / 1000 / iterations,
            "share": getattr(event, field) / total,
        }
        for event in events[:TOP]
    ]


def full(trainer: Trainer, iterations: int) -> float:
    """Run a whole schedule as a graph with cached data; the minutes that it takes."""
    trainer.take("graph", "cached")
    start, step = time.perf_counter(), max(1, iterations // 20)
    for done in range(0, iterations, step):
        trainer.time(min(step, iterations - done))
        minutes = (time.perf_counter() - start) / 60
        print(f"{min(done + step, iterations)} of {iterations}: {minutes:.2f} min", flush=True)
    return (time.perf_counter() - start) / 60


def copy_bandwidth(device: torch.device) -> float:
    """Bytes per second that a copy within the GPU's memory reads and writes."""
    source = torch.empty(1 << 28, device=device)
    target = torch.empty_like(source)
    for _ in range(3):
        target.copy_(source)
    torch.cuda.synchronize(device)
    start = time.perf_counter()
    for _ in range(20):
        target.copy_(source)
    torch.cuda.synchronize(device)
    return 20 * 2 * source.numel() * source.element_size() / (time.perf_counter() - start)
