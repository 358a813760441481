"""The solver classes of pycaffe, one per update rule, and get_solver."""

from __future__ import annotations

import os

from caffe import prototxt
from caffe.proto.caffe_pb2 import SolverParameter
from caffe.solver import Solver
from caffe.update_rule import RULES


def _solver_class(kind: str) -> type[Solver]:
    return type(
        f"{kind}Solver",
        (Solver,),
        {"rule_type": kind, "__doc__": f"A Solver that trains by {kind}, whatever its type says."},
    )


_classes = {kind: _solver_class(kind) for kind in RULES}
SGDSolver, NesterovSolver, AdaGradSolver, RMSPropSolver, AdaDeltaSolver, AdamSolver = (
    _classes.values()
)


def get_solver(solver: str | os.PathLike[str] | SolverParameter) -> Solver:
    """The solver of the type that a prototxt (a path, or a SolverParameter) names."""
    kind = solver.type if isinstance(solver, SolverParameter) else prototxt.read_solver(solver).type
    return _classes.get(kind, Solver)(solver)  # Solver refuses an unknown type
