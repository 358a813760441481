"""benchmarks/gpu*.py: the floor by hand, the table and the check of everything, on the CPU."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BENCHMARKS = ROOT / "benchmarks"


@pytest.fixture(scope="module")
def floor(load_script):
    return load_script("benchmarks/gpu_floor.py")


@pytest.fixture(scope="module")
def net(floor):
    return floor.caffenet(64)


def of(work, phase, name):
    return next(each for each in work[phase] if each.name == name)


def test_the_floor_of_layers_by_hand(floor, net):
    """conv1 has 96 filters of 3x11x11 at 55x55 places, conv2 two groups of 48 channels, fc6 a
    matrix of 4096 x 9216.

    The image needs no gradient, so backward through conv1 computes that of the weights only.
    """
    work = floor.phases(net, "fp32")
    conv1 = 2 * 64 * 96 * 55 * 55 * 3 * 11 * 11
    image, top, weights = 64 * 3 * 227 * 227, 64 * 96 * 55 * 55, 96 * 3 * 11 * 11 + 96
    assert of(work, "forward", "conv1").flop == conv1
    assert of(work, "forward", "conv1").bytes == 4 * (image + top + weights)
    assert of(work, "backward", "conv1").flop == conv1
    assert of(work, "backward", "conv1").bytes == 4 * (top + image + weights)
    assert of(work, "forward", "conv2").flop == 2 * 64 * 256 * 27 * 27 * 48 * 5 * 5
    fc6 = 2 * 64 * 4096 * 9216
    assert of(work, "forward", "fc6").flop == fc6
    assert of(work, "backward", "fc6").flop == 2 * fc6
    # read dy, x and the weights; write dx and the gradient of the weights
    numbers = 64 * 4096 + 2 * 64 * 9216 + 2 * (4096 * 9216 + 4096)
    assert of(work, "backward", "fc6").bytes == 4 * numbers
    # pool1 reads its bottom and writes its top; both ways, it multiplies nothing
    assert of(work, "forward", "pool1").bytes == 4 * (top + 64 * 96 * 27 * 27)
    assert of(work, "forward", "pool1").flop == 0
    assert not [each for each in work["forward"] if each.name.startswith(("relu", "drop"))]


def test_the_floor_of_the_update_and_of_half_the_bytes(floor, net):
    parameters = 34944 + 307456 + 885120 + 663936 + 442624 + 37752832 + 16781312 + 163880
    (update,) = floor.phases(net, "bf16")["update"]
    assert update.bytes == 20 * parameters  # weight, gradient, history read; two of them written
    # bf16: activations of two bytes, weights of four
    pool = of(floor.phases(net, "bf16"), "forward", "pool1")
    assert pool.bytes == of(floor.phases(net, "fp32"), "forward", "pool1").bytes / 2
    weights = 4 * (96 * 3 * 11 * 11 + 96)
    whole, half = (
        of(floor.phases(net, p), "forward", "conv1").bytes - weights for p in ("fp32", "bf16")
    )
    assert half == whole / 2


def test_the_larger_of_arithmetic_and_memory_counts(floor):
    peak = floor.Peak({"fp32": 10.0}, 2.0, "a GPU of ten operations and two bytes per second")
    assert floor.Work("a", 50, 4).seconds(peak, "fp32") == 5
    assert floor.Work("b", 50, 20).seconds(peak, "fp32") == 10
    work = {"forward": [floor.Work("a", 50, 4), floor.Work("b", 50, 20)]}
    assert floor.seconds(work, peak, "fp32") == {"forward": 15}
    assert floor.peak_of("NVIDIA H100 80GB HBM3").flops["tf32"] == 494.7e12
    assert floor.peak_of("NVIDIA H100 PCIe") is None


def test_the_readme_shows_this_floor(floor, net):
    text = (BENCHMARKS / "README.md").read_text("utf-8")
    table = floor.table(net, floor.PEAKS[floor.REFERENCE])
    assert table in text, "python benchmarks/gpu_floor.py prints the table of benchmarks/README.md"


def test_the_whole_program_on_the_cpu(tmp_path):
    """Every mode and kind of data, the profile and a short schedule; tf32 is left out there."""
    out = tmp_path / "gpu.json"
    small = ["--device", "cpu", "--net", "CaffeNetSample", "--images", "12", "--batch", "4"]
    more = ["--iterations", "2", "--precision", "fp32,tf32", "--profile", "--full", "3"]
    more += ["--without", "overlap"]
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "gpu.py"), *small, *more, "--out", str(out)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(out.read_text())
    cells = found["values"]["cells"]
    assert [(c["mode"], c["data"]) for c in cells] == [
        *(("graph", "lmdb"), ("eager", "lmdb"), ("graph", "cached"), ("eager", "cached"))
    ]
    for cell in cells:
        assert cell["iterations"] == 2
        assert cell["images_per_second"] == pytest.approx(4000 / cell["milliseconds"])
        minutes = 160_000 * 64 / cell["images_per_second"] / 60
        assert cell["schedule_minutes"] == pytest.approx(minutes)
        assert 0 < cell["floor_share"] < 1
        assert 0 <= cell["data_wait"] <= 1
        assert f"| 4 | fp32 | {cell['mode']} | {cell['data']} | overlap |" in done.stdout
    assert cells[2]["data_wait"] == cells[3]["data_wait"] == 0
    assert "4 tf32 overlap: precision tf32 needs a GPU" in found["values"]["left out"][0]
    assert found["values"]["full"]["iterations"] == 3
    assert "3 of 3" in done.stdout
    kernels = found["values"]["profile"]
    assert len(kernels) == 15
    assert kernels[0]["milliseconds"] >= kernels[-1]["milliseconds"] > 0
    assert found["hardware"]["gpu"] == "none"


@pytest.mark.parametrize("more", [["--without", "ways,algorithms"], ["--full"]])
def test_without_algorithms_runs_alone(load_script, capsys, more):
    """Rows before it would leave tried algorithms in cuDNN's memory, or have none for rows after
    it."""
    options = ["--device", "cpu", "--without", "algorithms", *more]
    with pytest.raises(SystemExit):
        load_script("benchmarks/gpu.py").main(options)
    assert "--without algorithms needs a run of its own" in capsys.readouterr().err


def test_the_record_has_the_fields_of_the_others(load_script, tmp_path):
    measuring, gpu = load_script("benchmarks/measuring.py"), load_script("benchmarks/gpu.py")
    args = gpu.parser().parse_args(["--device", "cpu"])
    assert set(gpu.record(args, {}, 1.0)) == set(measuring.FIELDS)


def test_without_a_gpu_it_says_what_to_do(monkeypatch, load_script, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert load_script("benchmarks/gpu.py").main([]) == 1
    assert "PyTorch finds no CUDA device here; --device cpu" in capsys.readouterr().out


# ----------------------------------------------------------------------- everything in one call


@pytest.fixture
def check(load_script):
    return load_script("benchmarks/gpu_check.py")


def test_every_file_of_gpu_tests_is_run_and_nccl_last(check, tmp_path):
    """NCCL may wait for a network until the limit of its step."""
    steps = check.steps(tmp_path, "cuda")
    files = [word for step in steps for word in step.command if "/tests/gpu/test_" in word]
    assert sorted(files) == sorted(map(str, (ROOT / "tests" / "gpu").glob("test_*.py")))
    assert files[-1].endswith("test_several_processes_on_gpus.py")


@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_the_commands_of_the_steps_are_understood(check, load_script, tmp_path, device):
    """And cuDNN's algorithms are left out in a process that does nothing else."""
    gpu, without = load_script("benchmarks/gpu.py"), {}
    for step in check.steps(tmp_path, device):
        if step.command[0].endswith("gpu.py"):
            without[step.name] = gpu.parser().parse_args(step.command[1:]).without
    assert without["untried"] == ["algorithms"]
    assert not any("algorithms" in words for name, words in without.items() if name != "untried")


def test_all_together_take_eight_minutes_at_most(check, tmp_path, monkeypatch, capsys):
    """The steps that must not be missing have their time even if all of them use it up."""
    for device in ("cuda", "cpu"):
        steps = check.steps(tmp_path, device)
        names = [step.name for step in steps[:5]]
        assert names == ["versions", "parity", "layers", "tests", "table"]
        assert sum(step.limit for step in steps[:5]) <= 400
    limits = []

    def run(step, out, device, left):
        limits.append((step.name, left))
        clock[0] += min(step.limit, left)
        return "ok", 1.0

    clock = [1000.0]
    monkeypatch.setattr(check.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(check, "run", run)
    monkeypatch.setattr(sys, "argv", ["x", str(tmp_path)])
    assert check.main() == 1
    assert clock[0] <= 1470
    assert limits[0] == ("versions", 470)
    assert limits[-1][1] < 60
    table = capsys.readouterr().out
    assert f"{limits[-1][0]:9}     1 s  ok" in table
    assert table.count("left out, no time was left") == len(steps) - len(limits) > 0


def test_sigterm_ends_the_step_and_shows_the_table(check, tmp_path, monkeypatch, capsys):
    program = [
        check.Step("first", 60, ["-c", "print('seven')"]),
        check.Step("long", 60, ["-c", f"import os, signal, time; os.kill({os.getpid()}, 15)"
                                      "; time.sleep(99)"]),
        check.Step("last", 60, ["-c", "print('eight')"]),
    ]  # fmt: skip
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(check, "steps", lambda *_: program)
    monkeypatch.setattr(sys, "argv", ["x", str(tmp_path), "--device", "cpu"])
    collect = check.collect

    def with_a_log(folder, *rest):  # of a step that had no time to write its record
        (folder / "table.log").write_text("| batch |\n|---|\n| 64 | tf32 |\nand more\n")
        collect(folder, *rest)

    monkeypatch.setattr(check, "collect", with_a_log)
    try:
        assert check.main() == 1
    finally:
        signal.signal(signal.SIGTERM, before)
    table = capsys.readouterr().out
    assert re.search(r"^first .* ok +seven$", table, re.M)
    assert re.search(r"^long .* interrupted", table, re.M)
    assert re.search(r"^last +left out, no time was left$", table, re.M)
    assert "| 64 | tf32 |\n" in table  # no record, but the log
    assert "===== last" not in (tmp_path / "logs.txt").read_text()


def test_a_step_that_fails_or_hangs_does_not_stop_the_others(check, tmp_path, monkeypatch, capsys):
    children = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    program = [
        check.Step("good", 60, ["-c", "print('seven')"]),
        check.Step("bad", 60, ["-c", "import sys; print('why'); sys.exit(3)"]),
        check.Step(
            "hangs", 2, ["-c", f"{children.replace('input()', 'import time; time.sleep(99)')}"]
        ),
        check.Step(
            "last",
            60,
            ["-c", "import os; print(os.environ['TTN_TEST_DEVICE'], os.environ['PYTHONPATH'])"],
        ),
    ]
    monkeypatch.setattr(check, "steps", lambda *_: program)
    monkeypatch.setattr(sys, "argv", ["x", str(tmp_path / "out"), "--device", "cpu"])
    monkeypatch.setenv("PYTHONPATH", "/of/the/user")
    assert check.main() == 1
    table = capsys.readouterr().out
    assert re.search(r"^good .* ok +seven$", table, re.M)
    assert re.search(r"^bad .* failed, status 3 +why$", table, re.M)
    assert re.search(r"^hangs .* stopped after 2 s", table, re.M)
    assert re.search(rf"^last .* ok +cpu {re.escape(str(ROOT))}:/of/the/user$", table, re.M)
    # few files, so that they are easy to carry; what a step prints when it fails is also shown
    out = tmp_path / "out"
    assert sorted(p.name for p in out.iterdir()) == ["logs.txt", "records.json", "table.txt"]
    assert "===== bad\nwhy\n" in (out / "logs.txt").read_text()
    assert (out / "table.txt").read_text() in table
    assert "why\nhangs (at most" in table


def test_the_results_of_tests_and_tables(check, tmp_path):
    (tmp_path / "tests.xml").write_text(
        '<testsuites><testsuite tests="9" failures="1" errors="1" skipped="2"/></testsuites>'
    )
    assert check.result(check.Step("tests", 1, []), tmp_path) == "5 passed, 2 failed, 2 skipped"
    cell = {"batch": 64, "precision": "tf32", "mode": "graph", "data": "cached", "data_wait": 0.01}
    cell |= {"images_per_second": 1234.5, "milliseconds": 51.84, "floor_share": 0.25}
    cell |= {"schedule_minutes": 138.2, "without": ""}
    values = {"cells": [cell, cell | {"without": "ways"}], "left out": ["64 bf16: why\nand how"]}
    (tmp_path / "table.json").write_text(json.dumps({"values": values}))
    assert check.result(check.Step("table", 1, []), tmp_path) == "2 rows, 1 left out"
    row = (
        "   64 tf32 graph cached     1,234 images/s    51.84 ms   25% of the floor, waits 1.0%,"
        " 160,000 x 64: 138.2 min"
    )
    wanted = ["left out: 64 bf16: why", row, f"{row}, without ways"]
    assert check.rows("table", tmp_path) == wanted


def test_tests_that_were_stopped_are_counted(check, tmp_path):
    """pytest writes its report at the end; until then there are the lines of its log."""
    (tmp_path / "tests.log").write_text(
        "tests/gpu/test_a.py::test_one PASSED [ 20%]\ntests/gpu/test_a.py::test_two FAILED [ 40%]\n"
        "tests/gpu/test_a.py::test_three[SKIPPED] SKIPPED (no) [ 60%]\n"
        "tests/gpu/test_a.py::test_four PASSED [ 80%]\ntests/gpu/test_a.py::test_five "
    )
    step = check.Step("tests", 1, ["-m", "pytest", "-v"])
    assert check.result(step, tmp_path) == "2 passed, 1 failed, 1 skipped, and no more"


def test_missing_packages_are_named_before_anything_runs(check, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        check, "NEEDED", {"no.such.module": "one", "numpy": "numpy", "no_such": "two"}
    )
    monkeypatch.setattr(sys, "argv", ["x", str(tmp_path / "out")])
    assert check.main() == 1
    said = "gpu_check.py: one two is missing: python -m pip install one two\n"
    assert capsys.readouterr().out == said
    assert not (tmp_path / "out").exists()


def test_a_row_that_fails_does_not_stop_the_others(load_script, tmp_path, monkeypatch, capsys):
    """Whatever the error is; its traceback is in the log."""
    gpu = load_script("benchmarks/gpu.py")
    measure = gpu.Trainer.measure

    def failing(trainer, mode, *rest):
        if mode == "eager":
            raise ValueError("a planted error")
        return measure(trainer, mode, *rest)

    monkeypatch.setattr(gpu.Trainer, "measure", failing)
    out = tmp_path / "gpu.json"
    small = ["--device", "cpu", "--net", "CaffeNetSample", "--images", "8", "--batch", "4"]
    more = ["--iterations", "2", "--precision", "fp32", "--data", "cached", "--out", str(out)]
    assert gpu.main([*small, *more]) == 0
    values = json.loads(out.read_text())["values"]
    assert [cell["mode"] for cell in values["cells"]] == ["graph"]
    assert values["left out"] == ["4 fp32 eager cached: a planted error"]
    said = capsys.readouterr().out
    assert "ValueError: a planted error" in said
    assert "left out: 4 fp32 eager cached: a planted error" in said


# -------------------------------------------------------------------------- curves of precisions


def test_a_precision_is_within_the_spread_of_the_seeds(load_script):
    """Seed 1 is 20 % away from seed 0, so that 10 % are good and 30 % are not."""
    curves = load_script("benchmarks/gpu_curves.py")
    found = {"fp32, seed 0": [2.0, 1.0], "fp32, seed 1": [2.2, 0.8]}
    found |= {"tf32, seed 0": [2.2, 1.0], "bf16, seed 0": [2.0, 1.3]}
    distances = curves.compare(found)
    assert distances == pytest.approx(
        {"fp32, seed 1": 0.2, "tf32, seed 0": 0.1, "bf16, seed 0": 0.3}
    )
    assert curves.verdicts(distances) == {"tf32": True, "bf16": False}


def test_curves_on_the_cpu(load_script, tmp_path, capsys):
    """With one seed, bfloat16 sees the same crops as fp32, and its losses are nearly the same."""
    out = tmp_path / "curves.json"
    options = ["--device", "cpu", "--net", "CaffeNetSample", "--images", "8", "--batch", "4"]
    curves = load_script("benchmarks/gpu_curves.py")
    assert curves.main([*options, "--iterations", "3", "--seeds", "2", "--out", str(out)]) == 0
    found = json.loads(out.read_text())
    assert set(found["curves"]) == {"fp32, seed 0", "fp32, seed 1", "bf16, seed 0"}
    assert all(len(values) == 1 and values[0] > 0 for values in found["curves"].values())
    assert 0 < found["distances"]["bf16, seed 0"] < 0.05
    assert "the spread" in capsys.readouterr().out.splitlines()[-1]
