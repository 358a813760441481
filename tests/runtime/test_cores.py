"""How many cores a process may use: its affinity, and the quotas of its control groups."""

import os
import subprocess
import sys

import pytest
import torch

from caffe import cores, work_sharing


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """machine(cgroup, files): a machine with 8 cores, the text of /proc/self/cgroup and files."""

    def machine(cgroup, files):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
        for name, text in {"proc/self/cgroup": cgroup, **files}.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return tmp_path

    return machine


GROUP = "sys/fs/cgroup"


@pytest.mark.parametrize(
    ("cgroup", "files", "expected"),
    [
        ("0::/\n", {}, 8),
        ("0::/\n", {f"{GROUP}/cpu.max": "max 100000\n"}, 8),
        ("0::/\n", {f"{GROUP}/cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {f"{GROUP}/cpu.max": "250000 100000\n"}, 3),
        ("0::/\n", {f"{GROUP}/cpu.max": "1000 100000\n"}, 1),
        ("0::/\n", {f"{GROUP}/cpu.max": "1600000 100000\n"}, 8),
        # its own group has more than the one that it is in
        (
            "0::/a/b\n",
            {f"{GROUP}/a/cpu.max": "300000 100000\n", f"{GROUP}/a/b/cpu.max": "max 100000\n"},
            3,
        ),
        # in a container: the path is the one outside, the files are those of its own group
        ("0::/docker/1234\n", {f"{GROUP}/cpu.max": "400000 100000\n"}, 4),
        # the first version of control groups
        (
            "3:cpuset:/\n2:cpu,cpuacct:/job\n",
            {
                f"{GROUP}/cpu/job/cpu.cfs_quota_us": "500000\n",
                f"{GROUP}/cpu/job/cpu.cfs_period_us": "100000\n",
            },
            5,
        ),
        (
            "2:cpu:/\n",
            {f"{GROUP}/cpu/cpu.cfs_quota_us": "-1\n", f"{GROUP}/cpu/cpu.cfs_period_us": "100000\n"},
            8,
        ),
        ("0::/\n", {f"{GROUP}/cpu.max": "\n"}, 8),
    ],
)
def test_quotas(machine, cgroup, files, expected):
    assert cores.usable(machine(cgroup, files)) == expected


def test_without_control_groups(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 3, 4}, raising=False)
    assert cores.usable(tmp_path) == 3


@pytest.mark.parametrize(("usable", "expected"), [(1, 1), (3, 3), (64, 4)])
def test_readers(monkeypatch, usable, expected):
    """Threads that decode images."""
    monkeypatch.setattr(cores, "usable", lambda: usable)
    assert work_sharing.threads(work_sharing.BESIDE_CPU) == expected


@pytest.fixture
def three_threads(monkeypatch):
    for name in cores.CHOSEN:
        monkeypatch.delenv(name, raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield monkeypatch
    torch.set_num_threads(before)


def test_torch_gets_no_more_threads_than_cores(three_threads):
    three_threads.setattr(cores, "usable", lambda: 2)
    cores.limit_torch()
    assert torch.get_num_threads() == 2


def test_torch_keeps_fewer_threads(three_threads):
    three_threads.setattr(cores, "usable", lambda: 16)
    cores.limit_torch()
    assert torch.get_num_threads() == 3


def test_the_users_number_of_threads_stays(three_threads):
    three_threads.setattr(cores, "usable", lambda: 2)
    three_threads.setenv("OMP_NUM_THREADS", "3")
    cores.limit_torch()
    assert torch.get_num_threads() == 3


def test_the_command_limits_torch():
    """Within a quota of one core; torch itself sees the affinity only."""
    program = (
        "import torch; from caffe import cli, cores; cores.usable = lambda: 1;"
        " torch.set_num_threads(2); cli.main(['help']); cli.device_query = print;"
        " cli.main(['device_query']); print(torch.get_num_threads())"
    )
    environment = {name: v for name, v in os.environ.items() if name not in cores.CHOSEN}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stdout.split()[-1] == "1", done.stderr
