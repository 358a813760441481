"""upgrade_net_proto_text: an old net's prototxt (V0, V1, `input_dim`) in Caffe 1.0's form (Caffe:
upgrade_net_proto_text.cpp).
"""

import sys
from collections.abc import Sequence

from caffe import upgrade, upgrade_file
from caffe.proto import caffe_pb2


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the console command; returns the exit status."""
    return upgrade_file.main_text(
        arguments,
        "upgrade_net_proto_text.cpp",
        "V0_NET_PROTO_FILE_IN NET_PROTO_FILE_OUT",
        caffe_pb2.NetParameter,
        upgrade.upgrade_net,
    )


if __name__ == "__main__":
    sys.exit(main())
