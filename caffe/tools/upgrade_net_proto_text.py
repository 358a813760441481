"""upgrade_net_proto_text: an old net's prototxt (V0, V1, `input_dim`) in Caffe 1.0's form (Caffe:
upgrade_net_proto_text.cpp).
"""

import sys

from caffe import prototxt, upgrade, upgrade_file
from caffe.proto import caffe_pb2


def read(path):
    """A net's prototxt as NetParameter, as it is."""
    return prototxt.read_message(path, caffe_pb2.NetParameter())


def main(arguments=None):
    """Entry point of the console command; returns the exit status."""
    places = "V0_NET_PROTO_FILE_IN NET_PROTO_FILE_OUT"
    here = "upgrade_net_proto_text.cpp"
    return upgrade_file.main(
        arguments,
        here,
        places,
        read,
        upgrade.upgrade_net,
        lambda net: prototxt.to_text(net).encode(),
    )


if __name__ == "__main__":
    sys.exit(main())
