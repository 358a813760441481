"""extract_features: run a net over its data layer and save blobs of it, each in an LMDB of Datum
(Caffe: extract_features.cpp).
"""

import contextlib
import sys
from collections.abc import Sequence

from caffe import command_line, log, mode
from caffe.command_line import Fatal
from caffe.database import Writer
from caffe.proto import caffe_pb2
from caffe.pycaffe import TEST, Net
from caffe.weights_file import host

ARGUMENTS = (
    "PRETRAINED_NET_PARAM FEATURE_EXTRACTION_PROTO BLOB1[,BLOB2,...] DB1[,DB2,...]"
    " NUM_MINI_BATCHES DB_TYPE [CPU|GPU]"
)
USAGE = f"""extract_features: Run a net over its data layer and save blobs, one database per blob.
usage: caffe extract_features {ARGUMENTS} [DEVICE_ID=0]

The records have the keys 0000000000, 0000000001, ... in the order of the data layer, and the
blob's channels, height and width.
DB_TYPE is lmdb.
"""
HERE = "extract_features.cpp"


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the console command; returns the exit status."""
    return command_line.run(extract, f"{HERE}:1", arguments, USAGE)


def extract(arguments: Sequence[str]) -> None:
    """Read the command line and the net, and save the blobs."""
    args = command_line.flags(arguments, {}, f"{HERE}:1", f"{ARGUMENTS} [DEVICE_ID]")
    weights, model, blobs, targets, batches, kind, *device = args.rest
    blobs, targets = blobs.split(","), targets.split(",")
    if len(blobs) != len(targets) or len(set(targets)) != len(targets):
        raise Fatal(
            f"{HERE}:112",
            f"give each blob its own database, not {len(blobs)} blobs and {len(set(targets))}"
            " databases",
        )
    if not batches.isdigit() or int(batches) < 1:
        raise Fatal(f"{HERE}:123", f"NUM_MINI_BATCHES must be at least 1, it is '{batches}'")
    if kind != "lmdb":
        raise Fatal("db.cpp:20", f"the database type {kind} is not supported, only lmdb is")
    choose_device(device)
    databases = [Writer(target) for target in targets]
    net = Net(model, TEST, weights=weights)
    try:
        save(net, blobs, databases, int(batches))
    finally:
        net.close()
    log.info(f"{HERE}:181", "Successfully extracted the features!")


def choose_device(words: Sequence[str]) -> None:
    """Set the mode from the words after DB_TYPE: nothing, CPU, GPU, or GPU and a number.

    The number is written as DEVICE_ID=1 or as 1.
    """
    chosen, *number = words or ["CPU"]
    device_id = number[0].removeprefix("DEVICE_ID=") if number else "0"
    if chosen not in ("CPU", "GPU") or not device_id.isdigit():
        raise Fatal(
            f"{HERE}:52",
            f"after DB_TYPE expected CPU, GPU or GPU DEVICE_ID=0, not '{' '.join(words)}'",
        )
    log.info(f"{HERE}:{53 if chosen == 'GPU' else 63}", f"Using {chosen}")
    if chosen == "GPU":
        mode.require_gpu(" ".join(words))
        log.info(f"{HERE}:59", f"Using Device_id={device_id}")
        mode.set_device(device_id)
        mode.set_mode_gpu()
    else:
        mode.set_mode_cpu()


def save(net: Net, blobs: Sequence[str], databases: Sequence[Writer], batches: int) -> None:
    """Run a number of batches; all databases are written whole, or none.

    Raises
    ------
    Fatal
        The net does not have one of the blobs.
    """
    for blob in blobs:
        if blob not in net.blobs:
            raise Fatal(
                f"{HERE}:118", f"Unknown feature blob name {blob} in the network {net.file}"
            )
    with contextlib.ExitStack() as stack:
        for database in databases:
            log.info(f"{HERE}:127", f"Opening dataset {database.path}")
            stack.enter_context(database)
        log.info(f"{HERE}:133", "Extracting Features")
        for _ in range(batches):
            net.forward_backward(backward=False)
            net.check_indices()
            for blob, database in zip(blobs, databases, strict=True):
                append(net, blob, database)
        for blob, database in zip(blobs, databases, strict=True):
            log.info(
                f"{HERE}:176",
                f"Extracted features of {database.count} query images for feature blob {blob}",
            )


def append(net: Net, name: str, database: Writer) -> None:
    """Put one batch of a blob into its database."""
    blob = net.blobs[name]
    shape = {"channels": blob.channels, "height": blob.height, "width": blob.width}
    for values in host(blob.tensor()).reshape(blob.num, -1):
        database.put(f"{database.count:010d}", caffe_pb2.Datum(float_data=values.tolist(), **shape))
        if database.count % 1000 == 0:
            log.info(
                f"{HERE}:161",
                f"Extracted features of {database.count} query images for feature blob {name}",
            )


if __name__ == "__main__":
    sys.exit(main())
