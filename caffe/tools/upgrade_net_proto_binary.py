"""upgrade_net_proto_binary: an old .caffemodel (V0, V1) in the form of Caffe 1.0, weights included."""

import sys

from caffe import regular_file, upgrade, upgrade_file
from caffe.error import CaffeError
from caffe.proto import caffe_pb2


def read(path):
    """A .caffemodel as NetParameter, as it is."""
    net = caffe_pb2.NetParameter()
    regular_file.check(path)
    try:
        with open(path, "rb") as f:
            net.ParseFromString(f.read())
    except OSError as error:
        raise CaffeError(f"{path}: {error.strerror or error}") from error
    except Exception as error:  # protobuf's DecodeError, by a name that changes between its versions
        raise CaffeError(f"{path}: is truncated or no Caffe file") from error
    if not net.layer and not net.layers:
        raise CaffeError(f"{path}: holds no layers; is it a .caffemodel?")
    return net


def main(arguments=None):
    """Entry point of the console command; returns the exit status."""
    places = "V0_NET_PROTO_FILE_IN NET_PROTO_FILE_OUT"
    here = "upgrade_net_proto_binary.cpp"
    return upgrade_file.main(arguments, here, places, read, upgrade.upgrade_net, lambda net: net.SerializeToString())


if __name__ == "__main__":
    sys.exit(main())
