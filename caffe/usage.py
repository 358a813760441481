"""What `caffe help` prints, and Caffe's tools as sub-commands."""

OWN = {  # not BVLC's: {sub-command: (its module in caffe/tools/, purpose)}
    "inspect": ("inspect_file", "what a net, weights, a solver state, a mean or an LMDB holds"),
    "classify": ("classify", "the classes that a net finds most likely for images"),
    "draw": ("draw_net", "a picture of a net"),
    "export": ("export_net", "a trained net as ONNX, or its weights for PyTorch"),
}
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
        [-tensorboard DIR] [-plot FILE.html] [-noeta] [-cache ram|gpu]
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
-cache decodes the records of Data and ImageData layers once, and keeps them in memory (ram) or on
the GPU (gpu); the batches are the same as without it.
-precision: fp32 gives Caffe's numbers; tf32 and bf16 are faster on GPUs from Ampere on; auto takes
tf32 where the GPU has it, else fp32.
-noeta: no line with the time left, which is shown at each display if it is a minute or more.

tools (caffe <tool> -help says more):
"""
    + "".join(f"  {name:26}{purpose}\n" for name, (_, purpose) in OWN.items())
    + "".join(f"  {name:26}{purpose}\n" for name, purpose in TOOLS.items())
    + """
Every command takes the flags of glog and gflags: -log_dir DIR, -minloglevel N, -flagfile FILE,
-version, ...
"""
)
