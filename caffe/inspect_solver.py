"""What a solver's prototxt holds: its settings, and the nets that it trains and tests."""

from __future__ import annotations

from typing import Any

from caffe import prototxt
from caffe.data_shapes import beside
from caffe.error import CaffeError
from caffe.inspect_files import Options, read_net
from caffe.proto import caffe_pb2

NETS = ("net", "net_param", "train_net", "train_net_param", "test_net", "test_net_param")


def read_solver(path: str, options: Options) -> dict[str, Any]:
    """Describe a solver and its nets.

    A net that is neither where its path says nor at that path from the solver's folder is noted,
    not an error.

    Returns
    -------
    dict
        `settings` ({field: value} as the prototxt gives them), `nets` (as inspect_files.read gives
        them) and `notes`.

    Raises
    ------
    CaffeError
        A file cannot be read, or a net is refused.
    """
    solver = prototxt.read_solver(path)
    settings = {}
    for field, value in solver.ListFields():
        if field.name not in NETS or not field.name.endswith("_param"):
            settings[field.name] = _plain(field, value)
    nets, notes = [], []
    for phase, field, given, state in _nets(solver, options.phase):
        file = path
        if isinstance(given, str):
            file = beside(given, path)
            try:
                net = prototxt.read_message(file, caffe_pb2.NetParameter())
            except CaffeError as error:
                notes.append(f"{field}: {error}")
                continue
            if file != given:
                notes.append(f"{field}: {given} is taken from the solver's folder")
        else:
            net = given
        chosen = Options(
            phase,
            options.level or state.level,
            [*state.stage, *options.stages],
            options.shapes,
        )
        nets.append({"file": file} | read_net(net, file, chosen, solver.type))
    return {
        "kind": "solver",
        "format": "prototxt",
        "type": solver.type,
        "settings": settings,
        "nets": nets,
        "notes": list(dict.fromkeys(notes)),
    }


def _nets(solver: caffe_pb2.SolverParameter, phase: str):
    """(phase, field, file or NetParameter, NetState) per net, each test net once."""
    found = [
        ("TRAIN", field, getattr(solver, field), solver.train_state)
        for field in ("train_net_param", "train_net", "net_param", "net")
        if solver.HasField(field)
    ]
    tests = [("test_net_param", net) for net in solver.test_net_param]
    tests += [("test_net", name) for name in solver.test_net]
    for field in ("net_param", "net"):
        if solver.HasField(field):
            tests += [(field, getattr(solver, field))] * (len(solver.test_iter) - len(tests))
    seen = set()
    for i, (field, given) in enumerate(tests):
        state = solver.test_state[i] if i < len(solver.test_state) else caffe_pb2.NetState()
        key = field, str(given), str(state)
        if key not in seen:
            seen.add(key)
            found.append(("TEST", field, given, state))
    return [row for row in found if phase in ("", row[0])]


def _plain(field: Any, value: Any) -> Any:
    """A field's value for JSON."""
    if field.type == field.TYPE_MESSAGE:
        messages = [value] if hasattr(value, "DESCRIPTOR") else value
        return "; ".join(" ".join(prototxt.to_text(message).split()) for message in messages)
    if field.type == field.TYPE_ENUM:
        return field.enum_type.values_by_number[value].name
    if isinstance(value, float):
        return float(f"{value:.7g}")
    return value if isinstance(value, (int, str, bool)) else list(value)
