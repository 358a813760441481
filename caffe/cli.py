"""The `caffe` command: caffe train | test | time | device_query, and Caffe's tools as sub-commands.

Flags, with one dash or two, and log lines are Caffe's.
"""

import argparse
import importlib
import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from caffe import command_line, launch, log, mode, precision, processes, prototxt
from caffe.command_line import Fatal
from caffe.proto import caffe_pb2
from caffe.signals import EFFECTS, Signals
from caffe.usage import OWN, TOOLS, USAGE

if TYPE_CHECKING:
    from caffe.solver import Solver

PLACES = ("ram", "gpu")  # as in caffe/record_cache.py, which is imported later
SHORTEST = 60  # seconds: a shorter time left is not logged
FLAGS = {
    "solver": {"default": ""},
    "model": {"default": ""},
    "weights": {"default": ""},
    "snapshot": {"default": ""},
    "resume": {"action": "optional", "const": "auto", "default": ""},
    "restart_data": {"action": "store_true"},
    "keep": {"type": int, "default": 0},
    "gpu": {"default": ""},
    "phase": {"default": ""},
    "stage": {"default": ""},
    "level": {"type": int, "default": 0},
    "iterations": {"type": int, "default": 50},
    "sigint_effect": {"choices": EFFECTS, "default": "stop"},
    "sighup_effect": {"choices": EFFECTS, "default": "snapshot"},
    "collapsed_outputs": {"type": float, "default": None},
    "on_nan": {"choices": ("stop", "rollback"), "default": "stop"},
    "tensorboard": {"default": ""},
    "plot": {"default": ""},
    "cache": {"choices": ("none", *PLACES), "default": "none"},
    "precision": {"choices": (*precision.PRECISIONS, precision.AUTO), "default": "fp32"},
    "eta": {"action": "store_true", "default": True},
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the console command; returns the exit status."""
    words = sys.argv[1:] if arguments is None else [str(word) for word in arguments]
    if words and (words[0] in TOOLS or words[0] in OWN):
        module = OWN[words[0]][0] if words[0] in OWN else words[0]
        return importlib.import_module(f"caffe.tools.{module}").main(words[1:])
    status = 1
    try:
        status = command_line.run(act, "caffe.cpp:1", words, USAGE, help_status=1, bare_status=0)
    finally:
        if status and arguments is None:
            processes.end(status)
        processes.leave()
    return status


def act(arguments: list[str]) -> None:
    """Run the command that is the one word among the flags."""
    commands = {"train": train, "test": test, "time": time, "device_query": device_query}
    args = command_line.flags(arguments, FLAGS, "caffe.cpp:1", "<command>")
    (name,) = args.rest
    if name == "help":
        print(USAGE, end="")
        return
    if name not in commands:
        log.error("caffe.cpp:78", "Available caffe actions:")
        for action in sorted(commands):
            log.error("caffe.cpp:81", f"\t{action}")
        raise Fatal("caffe.cpp:83", f"Unknown action: {name}")
    args.words = arguments
    commands[name](args)


def choose_device(chosen: str, position: str, explicit: bool = True) -> None:
    """Set the mode from -gpu: nothing, device numbers, or all.

    Without a GPU it is an error if the command line says so (`explicit`).  What a prototxt says is
    then computed by the CPU, with a warning.
    """
    if not chosen:
        log.info(position, "Use CPU.")
        mode.set_mode_cpu()
        return
    numbers = launch.devices(chosen)
    if explicit:
        mode.require_gpu(f"-gpu {chosen}")
    log.info("caffe.cpp:204", f"Using GPUs {chosen}")
    if len(numbers) > 1 and not processes.launched():
        log.warning("caffe.cpp:204", f"-gpu {chosen}: only the first device is used")
    mode.set_device(launch.own_device(numbers))
    mode.set_mode_gpu()
    on_gpu = mode.device().type == "cuda"
    log.info(
        "caffe.cpp:208", f"GPU {mode.device().index}: {mode.gpu_name()}" if on_gpu else "Use CPU."
    )


def choose_precision(args: argparse.Namespace) -> None:
    """Set the precision from -precision, for the device that was chosen; log it and the cache."""
    precision.set_precision(args.precision)
    chosen = precision.of_new_net(mode.device())
    log.info("caffe.cpp:209", f"Precision: {chosen}; cache: {args.cache}")


def train(args: argparse.Namespace) -> None:
    """caffe train: start with fresh or given weights, or resume from a snapshot."""
    from caffe import record_cache, shared_training
    from caffe.rollback import Rollback
    from caffe.solver import Solver

    if not args.solver:
        raise Fatal("caffe.cpp:167", "Need a solver definition to train: give -solver FILE")
    if args.resume and (args.snapshot or args.weights):
        raise Fatal(
            "caffe.cpp:169",
            "-resume finds the snapshot, or names it: give neither -snapshot nor -weights with it",
        )
    if args.resume not in ("", "auto"):
        args.snapshot, args.resume = args.resume, ""
    if args.snapshot and args.weights:
        raise Fatal(
            "caffe.cpp:169",
            "Give a snapshot to resume training or weights to finetune but not both.",
        )
    if args.restart_data and not (args.resume or args.snapshot):
        raise Fatal("caffe.cpp:169", "-restart_data says how to resume: give -resume or -snapshot")
    if args.keep < 0:
        raise Fatal("caffe.cpp:167", f"-keep takes a number of snapshots, not {args.keep}")
    collapsed = args.collapsed_outputs
    if collapsed is not None and not 0 <= collapsed < math.inf:
        raise Fatal(
            "caffe.cpp:167",
            f"-collapsed_outputs takes a variance, or 0 for no warning, not {collapsed:g}",
        )
    param = prototxt.read_solver(args.solver)
    if (args.tensorboard or args.plot) and not param.display:
        raise Fatal(
            "caffe.cpp:167",
            "-tensorboard and -plot show what is displayed: set display in the solver",
        )
    if args.on_nan == "rollback" and not (param.snapshot or args.snapshot or args.resume):
        raise Fatal(
            "caffe.cpp:167", "-on_nan rollback goes back to a snapshot: set snapshot in the solver"
        )
    param.train_state.level = args.level
    param.train_state.stage.extend(args.stage.split(","))
    gpu = args.gpu
    if not gpu and param.solver_mode == caffe_pb2.SolverParameter.GPU:
        gpu = str(param.device_id)
    if launch.needed(gpu):
        launch.train_on(gpu, args.words)
        return
    processes.join()
    choose_device(gpu, "caffe.cpp:197", explicit=bool(args.gpu))
    choose_precision(args)
    if args.snapshot or args.weights:
        del param.weights[:]
    if args.weights:
        param.weights.append(args.weights)
    solver = Solver(param, args.solver)
    for net in (solver.net, *solver.test_nets):
        net.keep_blobs = False  # nothing reads the blobs here
    try:
        if args.cache != "none":
            record_cache.cache((solver.net, *solver.test_nets), args.cache)
        with Signals(args.sigint_effect, args.sighup_effect) as signals:
            solver.request = signals
            solver.keep = args.keep
            if collapsed is not None:
                solver.collapsed_outputs = collapsed
            if args.on_nan == "rollback":
                solver.rollback = Rollback()
            watch(solver, args)
            if args.snapshot and mode.root_solver():
                log.info("caffe.cpp:235", f"Resuming from {args.snapshot}")
                solver.restore(args.snapshot, args.restart_data)
            elif args.resume and mode.root_solver():
                solver.restore_newest(args.restart_data)
            shared_training.share_start(solver)
            log.info("caffe.cpp:239", "Starting Optimization")
            solver.solve()
    finally:
        solver.training_log.watchers.tell("close")
        solver.close()
    log.info("caffe.cpp:250", "Optimization Done.")


def watch(solver: "Solver", args: argparse.Namespace) -> None:
    """Let the solver show what -eta, -tensorboard and -plot ask for."""
    from caffe.event_file import EventFile
    from caffe.loss_page import LossPage

    if not mode.root_solver():
        return
    solver.training_log.shows_wait = True
    solver.training_log.shows_variance = True
    if args.eta:
        solver.training_log.time_left = SHORTEST
    if args.tensorboard:
        solver.training_log.watchers.append(EventFile(args.tensorboard))
    if args.plot:
        solver.training_log.watchers.append(LossPage(args.plot, args.solver))


def test(args: argparse.Namespace) -> None:
    """caffe test: the mean of every output over -iterations batches."""
    from caffe.pycaffe import TEST, Net
    from caffe.training_log import output_texts

    if not args.model:
        raise Fatal("caffe.cpp:258", "Need a model definition to score: give -model FILE")
    if not args.weights:
        raise Fatal("caffe.cpp:259", "Need model weights to score: give -weights FILE")
    choose_device(args.gpu, "caffe.cpp:275")
    choose_precision(args)
    net = Net(args.model, TEST, level=args.level, stages=args.stage.split(","))
    net.keep_blobs = False
    for path in args.weights.split(","):
        net.copy_from(path)
    if args.iterations < 1:
        raise Fatal("caffe.cpp:281", f"-iterations must be at least 1, it is {args.iterations}")
    log.info("caffe.cpp:281", f"Running for {args.iterations} iterations.")
    sums, total = [0.0] * len(net.output_blobs), 0.0
    for batch in range(args.iterations):
        total += float(net.forward_backward(backward=False))
        net.check_indices()
        for i, blob in enumerate(net.output_blobs):
            for value in blob.tensor().reshape(-1).tolist():
                log.info("caffe.cpp:304", f"Batch {batch}, {blob.name} = {log.number(value)}")
            sums[i] = sums[i] + blob.tensor().double()
    net.close()
    log.info("caffe.cpp:309", f"Loss: {log.number(total / args.iterations)}")
    for text in output_texts(net, [values / args.iterations for values in sums]):
        log.info("caffe.cpp:321", text)


def time(args: argparse.Namespace) -> None:
    """caffe time: how long each layer of a net takes."""
    from caffe.benchmark import benchmark
    from caffe.pycaffe import TEST, TRAIN, Net

    if not args.model:
        raise Fatal("caffe.cpp:328", "Need a model definition to time: give -model FILE")
    if args.phase not in ("", "TRAIN", "TEST"):
        raise Fatal("caffe.cpp:328", f'phase must be "TRAIN" or "TEST", not "{args.phase}"')
    if args.iterations < 1:
        raise Fatal("caffe.cpp:328", f"-iterations must be at least 1, it is {args.iterations}")
    if args.precision == "bf16":
        raise Fatal(
            "caffe.cpp:328", "caffe time runs layer by layer, which -precision bf16 does not change"
        )
    choose_device(args.gpu, "caffe.cpp:339")
    choose_precision(args)
    net = Net(
        args.model,
        TEST if args.phase == "TEST" else TRAIN,
        level=args.level,
        stages=args.stage.split(","),
    )
    try:
        benchmark(net, args.iterations)
    finally:
        net.close()


def device_query(args: argparse.Namespace) -> None:
    """caffe device_query: log what the GPUs are."""
    import torch

    count = torch.cuda.device_count()
    log.info("caffe.cpp:138", f"Querying GPUs {args.gpu or 'all'}")
    if not count:
        raise Fatal("caffe.cpp:138", "PyTorch finds no CUDA device here")
    chosen = (
        range(count)
        if args.gpu in ("", "all")
        else [int(i) if i.isdigit() else -1 for i in args.gpu.split(",")]
    )
    for i in chosen:
        if not 0 <= i < count:
            raise Fatal("caffe.cpp:138", f"-gpu {args.gpu}: there are devices 0 to {count - 1}")
        p = torch.cuda.get_device_properties(i)
        log.info("common.cpp:177", f"Device id:                     {i}")
        log.info("common.cpp:178", f"Major revision number:         {p.major}")
        log.info("common.cpp:179", f"Minor revision number:         {p.minor}")
        log.info("common.cpp:180", f"Name:                          {p.name}")
        log.info("common.cpp:181", f"Total global memory:           {p.total_memory}")
        log.info("common.cpp:199", f"Number of multiprocessors:     {p.multi_processor_count}")


if __name__ == "__main__":
    sys.exit(main())
