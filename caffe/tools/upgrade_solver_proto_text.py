"""upgrade_solver_proto_text: a solver's prototxt with `type` for the old `solver_type` (Caffe:
upgrade_solver_proto_text.cpp).
"""

import sys

from caffe import prototxt, upgrade, upgrade_file
from caffe.proto import caffe_pb2


def read(path):
    """A solver's prototxt as SolverParameter, as it is."""
    return prototxt.read_message(path, caffe_pb2.SolverParameter())


def main(arguments=None):
    """Entry point of the console command; returns the exit status."""
    places = "OLD_SOLVER_PROTO_FILE_IN SOLVER_PROTO_FILE_OUT"
    here = "upgrade_solver_proto_text.cpp"
    return upgrade_file.main(
        arguments,
        here,
        places,
        read,
        upgrade.upgrade_solver,
        lambda s: prototxt.to_text(s).encode(),
    )


if __name__ == "__main__":
    sys.exit(main())
