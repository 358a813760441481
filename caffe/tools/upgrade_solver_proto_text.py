"""upgrade_solver_proto_text: a solver's prototxt with `type` for the old `solver_type` (Caffe: upgrade_solver_proto_text.cpp)."""

import sys

from caffe import command_line, log, prototxt, upgrade
from caffe.proto import caffe_pb2
from caffe.snapshot import renamed_when_whole

USAGE = "usage: upgrade_solver_proto_text OLD_SOLVER_PROTO_FILE_IN SOLVER_PROTO_FILE_OUT\n"
HERE = "upgrade_solver_proto_text.cpp"


def main(arguments=None):
    """Entry point of the console command; returns the exit status."""
    return command_line.run(upgrade_file, f"{HERE}:1", arguments, USAGE)


def upgrade_file(arguments):
    source, target = command_line.flags(arguments, {}, f"{HERE}:1", "OLD_SOLVER_PROTO_FILE_IN SOLVER_PROTO_FILE_OUT").rest
    old = prototxt.parse(prototxt.read_text(source), caffe_pb2.SolverParameter(), source)
    solver = caffe_pb2.SolverParameter()
    solver.CopyFrom(old)
    upgrade.upgrade_solver(solver, source)
    if solver == old:
        log.warning(f"{HERE}:43", f"File already in latest proto format: {source}")
    with renamed_when_whole(target) as temporary, open(temporary, "w", encoding="utf-8") as f:
        f.write(prototxt.to_text(solver))
    log.info(f"{HERE}:49", f"Wrote upgraded SolverParameter text proto to {target}")


if __name__ == "__main__":
    sys.exit(main())
