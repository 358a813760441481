"""upgrade_net_proto_text: an old net's prototxt (V0, V1, `input_dim`) in Caffe 1.0's form (Caffe: upgrade_net_proto_text.cpp)."""

import sys

from caffe import command_line, log, prototxt, upgrade
from caffe.proto import caffe_pb2
from caffe.snapshot import renamed_when_whole

USAGE = "usage: upgrade_net_proto_text V0_NET_PROTO_FILE_IN NET_PROTO_FILE_OUT\n"
HERE = "upgrade_net_proto_text.cpp"


def main(arguments=None):
    """Entry point of the console command; returns the exit status."""
    return command_line.run(upgrade_file, f"{HERE}:1", arguments, USAGE)


def upgrade_file(arguments):
    source, target = command_line.flags(arguments, {}, f"{HERE}:1", "V0_NET_PROTO_FILE_IN NET_PROTO_FILE_OUT").rest
    old = prototxt.parse(prototxt.read_text(source), caffe_pb2.NetParameter(), source)
    net = caffe_pb2.NetParameter()
    net.CopyFrom(old)
    upgrade.upgrade_net(net, source)
    if net == old:
        log.warning(f"{HERE}:43", f"File already in latest proto format: {source}")
    with renamed_when_whole(target) as temporary, open(temporary, "w", encoding="utf-8") as f:
        f.write(prototxt.to_text(net))
    log.info(f"{HERE}:49", f"Wrote upgraded NetParameter text proto to {target}")


if __name__ == "__main__":
    sys.exit(main())
