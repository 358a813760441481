"""Scripts set how threads wait, as `import caffe` does, unless the user has chosen."""

import os
import subprocess
import sys

import pytest

from caffe import waiting
from texttopicnet import startup


@pytest.fixture
def variables(monkeypatch):
    for name in startup.CHOICES:
        monkeypatch.delenv(name, raising=False)
    yield monkeypatch
    for name in startup.WAITING:
        os.environ.pop(name, None)


def test_scripts_and_caffe_wait_in_the_same_way():
    assert startup.WAITING == waiting.POLICY
    assert (*waiting.POLICY, *waiting.INTELS) == startup.CHOICES


def test_the_policy_is_set(variables):
    startup.wait_briefly()
    assert {name: os.environ.get(name) for name in startup.CHOICES} == {
        "OMP_WAIT_POLICY": "PASSIVE",
        "GOMP_SPINCOUNT": "10000",
        "KMP_BLOCKTIME": None,
        "KMP_LIBRARY": None,
    }


@pytest.mark.parametrize("name", startup.CHOICES)
def test_the_users_choice_stays(variables, name):
    variables.setenv(name, "7")
    startup.wait_briefly()
    assert {n: os.environ[n] for n in startup.CHOICES if n in os.environ} == {name: "7"}


def test_a_program_of_the_users_is_left_alone():
    environment = {n: value for n, value in os.environ.items() if n not in startup.CHOICES}
    program = "import os, texttopicnet.startup; print('OMP_WAIT_POLICY' in os.environ)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stdout == "False\n", done.stderr
