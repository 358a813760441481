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

if TYPE_CHECKING:
    from caffe.solver import Solver

TOOLS = {  # each is a module of caffe/tools/ with flags and a -help of its own
    "convert_imageset": "images and their labels into an LMDB",
    "compute_image_mean": "the mean image of an LMDB",
    "extract_features": "blobs of a net into LMDBs",
    "convert_mnist_data": "MNIST into an LMDB",
    "convert_cifar_data": "CIFAR-10 into LMDBs",
    "upgrade_net_proto_text": "an old net in Caffe 1.0's form",
    "upgrade_net_proto_binary": "an old .caffemodel in Caffe 1.0's form",
    "upgrade_solver_proto_text": "an old solver in Caffe 1.0's form",
    "parse_log": "a training log as tables and a picture",
    "download_model_binary": "the weights that a model's readme.md names",
}
USAGE = (
    """caffe: command line brew
usage: caffe <command> <args>

commands:
  train           train or finetune a model
  test            score a model
  device_query    show GPU diagnostic information
  time            benchmark model execution time
  help            print this text

train:  -solver FILE [-snapshot FILE.solverstate | -resume [auto] | -weights FILE[,FILE]]
        [-restart_data] [-keep N] [-gpu ID[,ID]|all] [-level N] [-stage A,B]
        [-sigint_effect snapshot|stop|none] [-sighup_effect snapshot|stop|none]
        [-collapsed_outputs VARIANCE] [-on_nan stop|rollback]
        [-tensorboard DIR] [-plot FILE.html] [-noeta]
        [-precision fp32|tf32|bf16|auto]
test:   -model FILE -weights FILE[,FILE] [-iterations 50] [-gpu ID] [-level N] [-stage A,B]
        [-precision fp32|tf32|bf16|auto]
time:   -model FILE [-iterations 50] [-gpu ID] [-phase TRAIN|TEST] [-level N] [-stage A,B]
        [-precision fp32|tf32|auto]
device_query: -gpu ID|all

-resume resumes from the newest good snapshot of the solver's snapshot_prefix, or starts from the
beginning if there is none; -resume FILE.solverstate is the same as -snapshot FILE.solverstate.
-restart_data resumes as Caffe does: with the first record, and random numbers from random_seed.
-gpu all, or several numbers, trains with a process per GPU; torchrun starts them on any number of
machines.  The batch is then batch_size times the number of processes.
-keep N removes all but the N newest snapshots whenever one is written (default: all are kept).
-collapsed_outputs: at each displayed iteration, the log warns if the outputs vary less than this
between the images of a batch (default 1e-7; 0: never).
-on_nan says what happens when the loss or a weight is NaN or infinite: the training stops, or goes
back to its last good snapshot with a tenth of the learning rate, up to three times (rollback).
-tensorboard DIR writes the scalars of each display and test for TensorBoard (-log_dir is glog's).
-plot FILE.html draws the curves of loss and test outputs at each display.
-precision: fp32 gives Caffe's numbers; tf32 and bf16 are faster on GPUs from Ampere on; auto takes
tf32 where the GPU has it, else fp32.
-noeta: no line with the time left, which is shown at each display if it is a minute or more.

tools (caffe <tool> -help says more):
"""
    + "".join(f"  {name:26}{purpose}\n" for name, purpose in TOOLS.items())
    + """
Every command takes the flags of glog and gflags: -log_dir DIR, -minloglevel N, -flagfile FILE,
-version, ...
"""
)
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
    "precision": {"choices": (*precision.PRECISIONS, precision.AUTO), "default": "fp32"},
    "eta": {"action": "store_true", "default": True},
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the console command; returns the exit status."""
    words = sys.argv[1:] if arguments is None else [str(word) for word in arguments]
    if words and words[0] in TOOLS:
        return importlib.import_module(f"caffe.tools.{words[0]}").main(words[1:])
    return command_line.run(act, "caffe.cpp:1", words, USAGE, help_status=1, bare_status=0)


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
    try:
        commands[name](args)
    finally:
        processes.leave()


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
    """Set the precision from -precision, for the device that was chosen, and log it."""
    precision.set_precision(args.precision)
    chosen = precision.of_new_net(mode.device())
    log.info("caffe.cpp:209", f"Precision: {chosen}")


def train(args: argparse.Namespace) -> None:
    """caffe train: start with fresh or given weights, or resume from a snapshot."""
    from caffe import shared_training
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
