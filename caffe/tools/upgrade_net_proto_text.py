"""upgrade_net_proto_text: an old net's prototxt (V0, V1, `input_dim`) in Caffe 1.0's form (Caffe:
upgrade_net_proto_text.cpp).
"""

import sys
from collections.abc import Sequence

from caffe import prototxt, upgrade, upgrade_file
from caffe.proto import caffe_pb2

HERE = "upgrade_net_proto_text.cpp"
ARGUMENTS = "V0_NET_PROTO_FILE_IN NET_PROTO_FILE_OUT"


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the console command; returns the exit status."""
    return upgrade_file.main(
        arguments, HERE, ARGUMENTS, read, upgrade.upgrade_net, upgrade_file.text
    )


def read(path: str) -> caffe_pb2.NetParameter:
    """Read a net's prototxt without upgrading it."""
    return prototxt.read_message(path, caffe_pb2.NetParameter())


if __name__ == "__main__":
    sys.exit(main())
