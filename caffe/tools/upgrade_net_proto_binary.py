"""upgrade_net_proto_binary: an old .caffemodel (V0, V1) in the form of Caffe 1.0, weights included."""

import sys

from caffe import upgrade, upgrade_file, wire
from caffe.error import CaffeError
from caffe.proto import caffe_pb2
from caffe.regular_file import open_regular


def read(path):
    """A .caffemodel as NetParameter, as it is."""
    complaint = f"{path}: is truncated or not a Caffe file"
    with open_regular(path) as f:
        net = wire.make_readable(wire.parse(caffe_pb2.NetParameter(), f.read(), complaint))
    if not net.layer and not net.layers:
        raise CaffeError(f"{path}: holds no layers; is it a .caffemodel?")
    return net


def main(arguments=None):
    """Entry point of the console command; returns the exit status."""
    places = "V0_NET_PROTO_FILE_IN NET_PROTO_FILE_OUT"
    here = "upgrade_net_proto_binary.cpp"
    return upgrade_file.main(
        arguments, here, places, read, upgrade.upgrade_net, lambda net: net.SerializeToString()
    )


if __name__ == "__main__":
    sys.exit(main())
