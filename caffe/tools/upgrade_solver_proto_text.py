"""upgrade_solver_proto_text: a solver's prototxt with `type` instead of `solver_type` (Caffe:
upgrade_solver_proto_text.cpp).
"""

import sys
from collections.abc import Sequence

from caffe import upgrade, upgrade_file
from caffe.proto import caffe_pb2


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the console command; returns the exit status."""
    return upgrade_file.main_text(
        arguments,
        "upgrade_solver_proto_text.cpp",
        "OLD_SOLVER_PROTO_FILE_IN SOLVER_PROTO_FILE_OUT",
        caffe_pb2.SolverParameter,
        upgrade.upgrade_solver,
    )


if __name__ == "__main__":
    sys.exit(main())
