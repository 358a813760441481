"""upgrade_net_proto_binary: an old .caffemodel (V0, V1) in the form of Caffe 1.0, weights included."""

import sys

from caffe import command_line, log, upgrade
from caffe.error import CaffeError
from caffe.proto import caffe_pb2
from caffe.snapshot import renamed_when_whole

USAGE = "usage: upgrade_net_proto_binary V0_NET_PROTO_FILE_IN NET_PROTO_FILE_OUT\n"
HERE = "upgrade_net_proto_binary.cpp"


def main(arguments=None):
    """Entry point of the console command; returns the exit status."""
    return command_line.run(upgrade_file, f"{HERE}:1", arguments, USAGE)


def upgrade_file(arguments):
    source, target = command_line.flags(arguments, {}, f"{HERE}:1", "V0_NET_PROTO_FILE_IN NET_PROTO_FILE_OUT").rest
    old = read(source)
    net = caffe_pb2.NetParameter()
    net.CopyFrom(old)
    upgrade.upgrade_net(net, source)
    if net == old:
        log.warning(f"{HERE}:43", f"File already in latest proto format: {source}")
    with renamed_when_whole(target) as temporary, open(temporary, "wb") as f:
        f.write(net.SerializeToString())
    log.info(f"{HERE}:49", f"Wrote upgraded NetParameter binary proto to {target}")


def read(path):
    """A .caffemodel as NetParameter, as it is."""
    net = caffe_pb2.NetParameter()
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


if __name__ == "__main__":
    sys.exit(main())
