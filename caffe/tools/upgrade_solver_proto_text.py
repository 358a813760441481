"""upgrade_solver_proto_text: a solver's prototxt with `type` instead of `solver_type` (Caffe:
upgrade_solver_proto_text.cpp).
"""

import sys
from collections.abc import Sequence

from caffe import prototxt, upgrade, upgrade_file
from caffe.proto import caffe_pb2

HERE = "upgrade_solver_proto_text.cpp"
ARGUMENTS = "OLD_SOLVER_PROTO_FILE_IN SOLVER_PROTO_FILE_OUT"


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the console command; returns the exit status."""
    return upgrade_file.main(
        arguments, HERE, ARGUMENTS, read, upgrade.upgrade_solver, upgrade_file.text
    )


def read(path: str) -> caffe_pb2.SolverParameter:
    """Read a solver's prototxt without upgrading it."""
    return prototxt.read_message(path, caffe_pb2.SolverParameter())


if __name__ == "__main__":
    sys.exit(main())
