"""upgrade_net_proto_binary: an old .caffemodel (V0, V1) with its weights in Caffe 1.0's form
(Caffe: upgrade_net_proto_binary.cpp).
"""

import sys
from collections.abc import Sequence

from caffe import upgrade, upgrade_file, wire
from caffe.error import CaffeError
from caffe.proto import caffe_pb2
from caffe.regular_file import open_regular

HERE = "upgrade_net_proto_binary.cpp"
ARGUMENTS = "V0_NET_PROTO_FILE_IN NET_PROTO_FILE_OUT"


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the console command; returns the exit status."""
    return upgrade_file.main(
        arguments,
        HERE,
        ARGUMENTS,
        read,
        upgrade.upgrade_net,
        caffe_pb2.NetParameter.SerializeToString,
    )


def read(path: str) -> caffe_pb2.NetParameter:
    """Read a .caffemodel without upgrading it.

    Raises
    ------
    CaffeError
        The file is not a NetParameter, or has no layers.
    """
    complaint = f"{path}: is truncated or not a Caffe file"
    with open_regular(path) as f:
        net = wire.make_readable(wire.parse(caffe_pb2.NetParameter(), f.read(), complaint))
    if not net.layer and not net.layers:
        raise CaffeError(f"{path}: has no layers; is it a .caffemodel?")
    return net


if __name__ == "__main__":
    sys.exit(main())
