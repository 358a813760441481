"""`caffe time`: how long each layer takes, forward and backward."""

import time
from collections.abc import Callable

import torch

from caffe import blob_by_blob, log, progress
from caffe.pycaffe import Net


def _timed(device: torch.device, run: Callable[[], object]) -> float:
    """Milliseconds that `run` takes."""
    start = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return 1000 * (time.perf_counter() - start)


def benchmark(net: Net, iterations: int) -> None:
    """Run a net layer by layer and log the mean milliseconds of each layer and of whole passes.

    If the net reads data, another line says how long it waited for them.  Every layer runs backward
    too, even in a deploy net, which has no loss.

    Parameters
    ----------
    net : Net
    iterations : int
    """
    log.info("caffe.cpp:352", "Performing Forward")
    last = len(net.nodes) - 1
    log.info("caffe.cpp:356", f"Initial loss: {log.number(net.run_layers(0, last))}")
    log.info("caffe.cpp:357", "Performing Backward")
    net.run_layers_back(last, 0)
    # Caffe times every layer's backward, even where no loss needs it: the gradients of its
    # parameters, and of the bottoms for which the net asks or which the type always computes
    for node in net.nodes:
        node.needs_backward = True
    log.info("caffe.cpp:365", "*** Benchmark begins ***")
    log.info("caffe.cpp:366", f"Testing for {iterations} iterations.")
    forward, backward = [0.0] * (last + 1), [0.0] * (last + 1)
    waited_before = progress.waited(net)
    begin = time.perf_counter()
    for j in range(iterations):
        start = time.perf_counter()
        for i in range(last + 1):
            forward[i] += _timed(net.device, lambda i=i: net.run_layers(i, i))
        for i in range(last, -1, -1):
            backward[i] += _timed(net.device, lambda i=i: blob_by_blob.backward_node(net.nodes[i]))
        took = 1000 * (time.perf_counter() - start)
        log.info(
            "caffe.cpp:394", f"Iteration: {j + 1} forward-backward time: {log.number(took)} ms."
        )
    total = 1000 * (time.perf_counter() - begin)
    log.info("caffe.cpp:397", "Average time per layer: ")
    for node, ahead, back in zip(net.nodes, forward, backward, strict=True):
        head = f"{node.name:>10}\t"
        log.info("caffe.cpp:400", f"{head}forward: {log.number(ahead / iterations)} ms.")
        log.info("caffe.cpp:403", f"{head}backward: {log.number(back / iterations)} ms.")
    log.info("caffe.cpp:408", f"Average Forward pass: {log.number(sum(forward) / iterations)} ms.")
    log.info(
        "caffe.cpp:410", f"Average Backward pass: {log.number(sum(backward) / iterations)} ms."
    )
    log.info("caffe.cpp:412", f"Average Forward-Backward: {log.number(total / iterations)} ms.")
    if waited_before is not None:
        waited = 1000 * (progress.waited(net) - waited_before)
        share, waited = f"{100 * waited / total:.1f} %", log.number(waited / iterations)
        log.info(
            "caffe.cpp:412", f"Average wait for data: {waited} ms, {share} of Forward-Backward."
        )
    log.info("caffe.cpp:414", f"Total Time: {log.number(total)} ms.")
    log.info("caffe.cpp:415", "*** Benchmark ends ***")
