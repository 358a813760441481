"""What looks on at a training: TensorBoard's files, the page with the curve, the time left."""

import json
import math
import re
import struct
import time

import h5py
import numpy as np
import pytest

import caffe
from caffe import cli, event_file, log_grammar, loss_page, progress, wire
from caffe.event_file import EventFile
from caffe.loss_page import LOSS, LossPage
from caffe.tools.parse_log import parse_log

NET = """
layer { name: "x" type: "Data" top: "x" include { phase: TRAIN }
  data_param { source: "%(folder)s/db" backend: LMDB batch_size: 3 } }
layer { name: "x" type: "Data" top: "x" include { phase: TEST }
  data_param { source: "%(folder)s/db" backend: LMDB batch_size: 3 } }
layer { name: "t" type: "DummyData" top: "t" dummy_data_param { shape { dim: 3 dim: 2 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "loss" }
"""


@pytest.fixture
def solver_file(tmp_path, float_lmdb):
    """The file of a solver: 6 updates, each second one displayed, a test before each third."""
    float_lmdb(np.random.default_rng(0).standard_normal((5, 4)))
    (tmp_path / "net.prototxt").write_text(NET % {"folder": tmp_path})
    path = tmp_path / "solver.prototxt"
    path.write_text(
        f'net: "{tmp_path}/net.prototxt" base_lr: 0.1 lr_policy: "step" gamma: 0.5 stepsize: 4'
        f" max_iter: 6 display: 2 test_iter: 2 test_interval: 3 random_seed: 3"
        f' snapshot: 4 snapshot_prefix: "{tmp_path}/s"'
    )
    return path


class Recorder(progress.Watcher):
    """Keeps what it is told."""

    def __init__(self):
        self.points, self.tests, self.begun = [], [], []

    def begin(self, iteration):
        self.begun.append(iteration)

    def train(self, point):
        self.points.append(point)

    def test(self, iteration, index, outputs):
        self.tests.append((iteration, index, outputs))


def run(path, *watchers, resume=None):
    """Train, with watchers; the solver."""
    solver = caffe.get_solver(str(path))
    solver.training_log.watchers.extend(watchers)
    solver.solve(resume)
    solver.close()
    return solver


# ------------------------------------------------------------------------------ what is told


def test_watchers_are_told_of_each_display_and_test(solver_file, capfd, monkeypatch):
    """The same numbers as in the log."""
    monkeypatch.setenv("GLOG_minloglevel", "0")
    seen = Recorder()
    run(solver_file, seen)
    text = capfd.readouterr().err
    assert [point.iteration for point in seen.points] == [0, 2, 4]
    assert [point.rate for point in seen.points] == pytest.approx([0.1, 0.1, 0.05])
    shown = re.findall(r"Iteration \d+ \(.*\), loss = (\S+)", text)
    assert [point.loss for point in seen.points] == pytest.approx([float(x) for x in shown], 1e-5)
    assert [point.outputs["loss"] for point in seen.points] == pytest.approx(
        [float(x) for x in re.findall(r"Train net output #0: loss = (\S+)", text)], rel=1e-5
    )
    assert [(i, index) for i, index, _ in seen.tests] == [(0, 0), (3, 0), (6, 0)]
    assert [outputs["loss"] for _, _, outputs in seen.tests] == pytest.approx(
        [float(x) for x in re.findall(r"Test net output #0: loss = (\S+)", text)], rel=1e-5
    )
    assert all(point.variances["loss"] > 0 for point in seen.points)


def test_images_per_second_and_the_wait_for_data(solver_file, monkeypatch, capfd):
    """Two updates of three images each take what the clock says; part of it is waited for data."""
    monkeypatch.setenv("GLOG_minloglevel", "0")
    seconds = iter(range(10**6))
    monkeypatch.setattr(progress.time, "perf_counter", lambda: next(seconds) * 0.5)
    seen = Recorder()
    solver = caffe.get_solver(str(solver_file))
    solver.training_log.watchers.append(seen)
    solver.param.test_interval = 0
    solver.training_log.shows_wait = True
    solver.step(3)
    solver.close()
    first, second = seen.points
    assert first.images_per_second is None
    assert first.data_wait is None
    # the clock is read at each display and, twice, at each of two forwards: five half seconds
    assert second.images_per_second == pytest.approx(2 * 3 / 2.5)
    assert second.data_wait == pytest.approx(2 * 0.5 / 2.5)
    shown = [row for row in capfd.readouterr().err.splitlines() if "Waited for data" in row]
    assert [row.partition("] ")[2] for row in shown] == ["    Waited for data: 40.0 % of the time"]
    # what BVLC's parse_log.py and parse_log.sh search for
    assert not re.search(r"Iteration (\d+)|net output #|lr = |Solving|loss|Test|Train", shown[0])


def test_all_layers_that_read_are_waited_for(net_from, tmp_path):
    """HDF5Data has no reader thread: reading its rows is a wait.  Input reads nothing."""
    with h5py.File(tmp_path / "rows.h5", "w") as f:
        f["x"] = np.zeros((2, 3), dtype=np.float32)
    (tmp_path / "list.txt").write_text(f"{tmp_path}/rows.h5")
    net = net_from(
        'layer { name: "x" type: "HDF5Data" top: "x" hdf5_data_param {'
        f' source: "{tmp_path}/list.txt" batch_size: 2 }} }}'
    )
    assert progress.waited(net) == 0
    net.forward()
    assert progress.waited(net) > 0
    given = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 } } }'
    assert progress.waited(net_from(given)) is None


def test_a_watcher_that_fails_does_not_end_the_training(solver_file, capfd):
    class Full(progress.Watcher):
        def train(self, point):
            raise OSError(28, "No space left on device")

    seen = Recorder()
    assert run(solver_file, Full(), seen).iter == 6
    assert len(seen.points) == 3
    error = capfd.readouterr().err
    assert error.count("No space left on device; the training continues without it") == 1


# ------------------------------------------------------------------------------ TensorBoard


def read_events(path):
    """[(step, {tag: value}, restarts)] of an event file, its checksums checked."""
    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        length, check = struct.unpack_from("<QI", data, at)
        assert check == event_file.masked_crc(data[at : at + 8])
        event = data[at + 12 : at + 12 + length]
        assert struct.unpack_from("<I", data, at + 12 + length)[0] == event_file.masked_crc(event)
        at += 16 + length
        fields = {number: value for number, _, value, _ in wire.fields(memoryview(event))}
        assert abs(struct.unpack("<d", fields[1])[0] - time.time()) < 600
        scalars = {}
        for _, _, value, _ in wire.fields(fields.get(5, memoryview(b""))):
            inner = {number: content for number, _, content, _ in wire.fields(value)}
            scalars[bytes(inner[1]).decode()] = struct.unpack("<f", inner[2])[0]
        found.append((fields.get(2, 0), scalars, bytes(fields.get(7, b""))))
        if not found[1:]:
            assert bytes(fields[3]) == b"brain.Event:2"
    return found


@pytest.mark.parametrize(
    ("data", "crc"), [(b"123456789", 0xE3069283), (bytes(32), 0x8A9136AA), (b"", 0)]
)
def test_the_checksum_is_crc_32c(data, crc):
    """Published values (RFC 3720 and the check value of CRC-32C), masked as TFRecord does."""
    masked = ((crc >> 15 | crc << 17) & 0xFFFFFFFF) + 0xA282EAD8 & 0xFFFFFFFF
    assert event_file.masked_crc(data) == masked


def test_the_event_file_holds_what_was_told(solver_file, tmp_path):
    events, seen = EventFile(tmp_path / "new" / "logs"), Recorder()
    run(solver_file, events, seen)
    (path,) = (tmp_path / "new" / "logs").iterdir()
    assert path.name.startswith("events.out.tfevents.")
    _, restart, *found = read_events(path)
    assert restart == (0, {}, b"\x08\x01")  # the session starts at step 0
    wanted = {(p.iteration, "loss"): p.loss for p in seen.points} | {
        (p.iteration, "lr"): p.rate for p in seen.points
    }
    for p in seen.points:
        wanted[p.iteration, "train/loss"] = p.outputs["loss"]
        wanted[p.iteration, "output_variance/loss"] = p.variances["loss"]
        if p.images_per_second is not None:
            wanted[p.iteration, "images_per_second"] = p.images_per_second
            wanted[p.iteration, "data_wait"] = p.data_wait
    wanted |= {(i, f"test_{n}/loss"): outputs["loss"] for i, n, outputs in seen.tests}
    got = {(step, tag): value for step, scalars, _ in found for tag, value in scalars.items()}
    assert got == pytest.approx(wanted, rel=1e-6)


def test_tensorboard_reads_the_event_file(solver_file, tmp_path):
    """A resumed training writes a second file; TensorBoard shows each iteration once."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    seen, again = Recorder(), Recorder()
    run(solver_file, EventFile(tmp_path / "logs"), seen)
    time.sleep(1.1)  # TensorBoard sorts files by the seconds in their names
    run(
        solver_file,
        EventFile(tmp_path / "logs"),
        again,
        resume=str(tmp_path / "s_iter_4.solverstate"),
    )
    events = accumulator.EventAccumulator(str(tmp_path / "logs")).Reload()
    losses = [point.loss for point in seen.points]
    assert [event.step for event in events.Scalars("loss")] == [0, 2, 4]
    assert [event.value for event in events.Scalars("loss")] == pytest.approx(losses)
    assert [event.step for event in events.Scalars("test_0/loss")] == [0, 3, 6]


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(caffe.CaffeError, match=r"file/logs/events.*: cannot be written \("):
        EventFile(tmp_path / "file" / "logs")


# ------------------------------------------------------------------------------ the page


def point(iteration, loss):
    return progress.Point(iteration, loss, {}, 0.1, None, None, {})


def polylines(page):
    """{class: [(x, y), ...]} of a page with one curve per class."""
    found = re.findall(r'<polyline class="(\w+)" points="([^"]*)"', page)
    return {name: [tuple(map(float, p.split(","))) for p in text.split()] for name, text in found}


def test_the_page_draws_the_curves_to_scale(tmp_path):
    """The panel's inside is 760 x 212 at (70, 24): iterations 0 to 40, losses 1 (bottom) to 5."""
    page = LossPage(tmp_path / "loss.html", "a <solver>")
    for iteration, loss in ((0, 5.0), (10, 3.0), (20, math.nan), (40, 1.0)):
        page.train(point(iteration, loss))
    page.test(40, 0, {"accuracy": 0.25})
    text = (tmp_path / "loss.html").read_text("utf-8")
    lines = polylines(text)
    assert lines["raw"] == [(70, 24), (260, 130), (830, 236)]
    assert lines["smooth"] == [(70, 24), (260, 77), (830, 130)]  # 5, 4, 3
    assert lines["test"] == [(830, 130)]
    assert "training loss: 1; dark: smoothed" in text
    assert "test net #0: accuracy: 0.25" in text
    assert "a &lt;solver&gt;" in text
    assert not re.search(r"src=|href=|https?:", text)
    assert [path.name for path in tmp_path.iterdir()] == ["loss.html"]


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [(0, 5, [0, 1, 2, 3, 4, 5]), (-3, 17, range(-2, 17, 2)), (0, 26, range(0, 26, 5))],
)
def test_ticks_are_round_numbers(low, high, wanted):
    assert loss_page.ticks(low, high) == pytest.approx(list(wanted))


def test_a_flat_curve_is_drawn_in_the_middle(tmp_path):
    page = LossPage(tmp_path / "loss.html")
    page.train(point(0, 0.0))
    page.train(point(10, 0.0))
    assert polylines((tmp_path / "loss.html").read_text())["raw"] == [(70, 130), (830, 130)]


def test_a_long_curve_is_thinned_out_evenly(tmp_path, monkeypatch):
    page = LossPage(tmp_path / "loss.html")
    monkeypatch.setattr(page, "_write", lambda: None)
    for iteration in range(0, 20 * 4 * loss_page.MOST_POINTS + 1, 20):
        page.train(point(iteration, iteration))
    curve = page.curves[LOSS]
    assert loss_page.MOST_POINTS / 2 - 1 <= len(curve) <= loss_page.MOST_POINTS
    assert curve[-1] == (iteration, iteration)
    assert set(np.diff([i for i, _ in curve[:-1]])) == {20 * 8}


def test_a_resumed_training_goes_on_with_the_same_curve(solver_file, tmp_path):
    path = tmp_path / "loss.html"
    whole = run(solver_file, LossPage(path, "t")).training_log.watchers[0].curves
    before = path.read_text()
    run(solver_file, LossPage(path, "t"), resume=str(tmp_path / "s_iter_4.solverstate"))
    assert {name: [i for i, _ in curve] for name, curve in whole.items()} == {
        LOSS: [0, 2, 4],
        "test net #0: loss": [0, 3, 6],
    }
    assert path.read_text() == before


@pytest.mark.parametrize(
    "text",
    ["", "<html>mine</html>", loss_page.render("mine", {}).replace(">{}<", ">[1]<")],
    ids=["empty", "a page", "a page without curves"],
)
def test_another_file_is_not_overwritten(tmp_path, text):
    path = tmp_path / "loss.html"
    path.write_text(text)
    with pytest.raises(caffe.CaffeError, match=r"loss.html: is there, and is not the page"):
        LossPage(path)
    assert path.read_text() == text


# ------------------------------------------------------------------------------ the time left


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (60, "1 min"),
        (3599, "1 h 0 min"),
        (2 * 86400 + 5 * 60, "2 d 0 h 5 min"),
        (90061, "1 d 1 h 1 min"),
    ],
)
def test_the_time_left_in_words(seconds, text):
    assert progress.time_left(seconds).startswith(f"    Time left: {text}, until 2")


def test_the_time_left_follows_from_the_last_displays(monkeypatch):
    """Ten displays of 5 iterations in 2 s each, after slower ones, leave 100 iterations in 40 s."""
    clock = [0.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: clock[0])
    pace = progress.Pace(20)
    assert pace.mark(20) == (0, 0)
    assert pace.seconds_left(100) is None
    for i, seconds in enumerate([50] * 3 + [2] * 10):
        clock[0] += seconds
        assert pace.mark(25 + 5 * i) == (5, seconds)
    assert pace.seconds_left(100) == pytest.approx(40)


def test_the_tables_of_a_log_are_the_same_with_the_time_left(
    solver_file, tmp_path, capfd, monkeypatch
):
    """The line is there at each display that knows the speed; no pattern of parse_log is in it."""
    monkeypatch.setenv("GLOG_minloglevel", "0")
    monkeypatch.setattr(cli, "SHORTEST", 0)
    rows = {}
    for flag in ("-eta", "-noeta"):
        capfd.readouterr()
        assert cli.main(["train", "-solver", str(solver_file), flag]) == 0
        (tmp_path / f"{flag}.log").write_text(capfd.readouterr().err)
        lines = (tmp_path / f"{flag}.log").read_text().splitlines()
        # when the reader starts again depends on timing
        rows[flag] = [row for row in lines if "Restarting data prefetching" not in row]
    left = [row for row in rows["-eta"] if "Time left: " in row]
    assert len(left) == 2
    assert not any("Time left" in row for row in rows["-noeta"])
    assert len(rows["-eta"]) == len(rows["-noeta"]) + 2
    for row in left:
        parsed = log_grammar.parse(row, 2026)
        assert parsed.position == "solver.cpp:258"
        assert re.fullmatch(r"    Time left: \d+ min, until [-\d]+ [:\d]+", parsed.text)
        # BVLC's parse_log.py searches for the first four, parse_log.sh also for the others
        assert not re.search(r"Iteration (\d+)|net output #|lr = |Solving|loss|Test|Train", row)
    tables = [parse_log(str(tmp_path / f"{flag}.log")) for flag in rows]
    for table in tables:
        for entry in (*table[0], *table[1]):
            entry["Seconds"] = 0
    assert tables[0] == tables[1]


def test_a_short_time_left_is_not_logged(solver_file, capfd, monkeypatch):
    monkeypatch.setenv("GLOG_minloglevel", "0")
    assert cli.main(["train", "-solver", str(solver_file)]) == 0
    assert "Time left" not in capfd.readouterr().err


# ------------------------------------------------------------------------------ the flags


def test_the_command_writes_both(solver_file, tmp_path):
    flags = ["-tensorboard", str(tmp_path / "tb"), "-plot", str(tmp_path / "p.html")]
    assert cli.main(["train", "-solver", str(solver_file), *flags]) == 0
    (path,) = (tmp_path / "tb").iterdir()
    tags = {tag for _, scalars, _ in read_events(path) for tag in scalars}
    assert {"loss", "lr", "test_0/loss", "data_wait", "images_per_second"} <= tags
    curves = json.loads(loss_page.MARK.search((tmp_path / "p.html").read_text())[1])
    assert [i for i, _ in curves[LOSS]] == [0, 2, 4]


@pytest.mark.parametrize("flag", ["-plot", "-tensorboard"])
def test_nothing_displayed_is_nothing_to_show(solver_file, tmp_path, fatal, flag):
    solver_file.write_text(solver_file.read_text().replace("display: 2", ""))
    line = fatal(cli.main, "train", "-solver", solver_file, flag, tmp_path / "x")
    assert "show what is displayed: set display in the solver" in line
    assert not (tmp_path / "x").exists()


def test_the_variance_of_the_outputs_is_logged(solver_file, monkeypatch, capfd):
    """As TensorBoard gets it; BVLC's parse_log.py finds nothing of its own in the line."""
    monkeypatch.setenv("GLOG_minloglevel", "0")
    seen = Recorder()
    solver = caffe.get_solver(str(solver_file))
    solver.training_log.watchers.append(seen)
    solver.training_log.shows_variance = True
    solver.step(3)
    solver.close()
    shown = [row for row in capfd.readouterr().err.splitlines() if "Output variance" in row]
    found = [log_grammar.VARIANCE.search(row) for row in shown]
    assert [match[1] for match in found] == ["loss"] * len(seen.points)
    assert [float(match[2]) for match in found] == pytest.approx(
        [point.variances["loss"] for point in seen.points], rel=1e-4
    )
    assert not re.search(r"Iteration (\d+)|net output #|lr = |Solving|, loss = |Test", shown[0])
