"""upgrade_solver_proto_text: `type` for the old `solver_type`."""

import functools

import pytest

from caffe.tools.upgrade_solver_proto_text import main


@pytest.fixture
def upgraded(output_of):
    """upgraded(text): the output of the tool for this text."""
    return functools.partial(output_of, main)


@pytest.mark.parametrize(
    ("old", "new"),
    [("ADAGRAD", "AdaGrad"), ("NESTEROV", "Nesterov"), ("SGD", "SGD"), ("RMSPROP", "RMSProp")],
)
def test_by_hand(upgraded, capsys, old, new):
    assert (
        upgraded(f"net: 'a' solver_type: {old} base_lr: 0.01")
        == f'base_lr: 0.01\nnet: "a"\ntype: "{new}"\n'
    )
    log = capsys.readouterr().err
    assert "Wrote upgraded SolverParameter text proto to" in log
    assert "already in latest" not in log


def test_a_current_solver_is_unchanged(upgraded, capsys):
    assert upgraded('base_lr: 0.5 type: "Adam"') == 'base_lr: 0.5\ntype: "Adam"\n'
    assert "File already in latest proto format" in capsys.readouterr().err


def test_refused(fatal, tmp_path, capsys):
    path, out = tmp_path / "in", tmp_path / "out"
    path.write_text('type: "SGD" solver_type: SGD')
    assert "keep `type`" in fatal(main, path, out)
    path.write_text("layer { }")
    assert f"{path}:1: " in fatal(main, path, out)
    assert "No such file" in fatal(main, tmp_path / "none", out)
    assert "expected OLD_SOLVER_PROTO_FILE_IN" in fatal(main, path)
    assert not out.exists()
    assert main(["--help"]) == 0
    assert "usage: caffe upgrade_solver_proto_text" in capsys.readouterr().out
