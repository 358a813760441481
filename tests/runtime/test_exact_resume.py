"""A resumed training has the weights and the log of one that was never stopped."""

import hashlib
import re

import cv2
import h5py
import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

import caffe
import caffe.cli
from caffe import mode, resume, resume_point, snapshot
from caffe.database import Writer
from caffe.proto import caffe_pb2

ITERATIONS = 8
ABOVE = """
layer {{ name: "ip" type: "InnerProduct" bottom: "x" top: "h"
  inner_product_param {{ num_output: 5 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "relu" type: "ReLU" bottom: "h" top: "h" }}
layer {{ name: "drop" type: "Dropout" bottom: "h" top: "h" }}
layer {{ name: "scores" type: "InnerProduct" bottom: "h" top: "y"
  inner_product_param {{ num_output: 4 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "y" bottom: "t" top: "loss" }}
"""
CROP = "transform_param {{ crop_size: 5 mirror: true scale: 0.01 }}"  # for str.format
ONE_PHASE = "include { phase: TRAIN }", "include { phase: TEST }"
LMDB = (
    f'layer {{{{ name: "d" type: "Data" top: "x" top: "t" {{phase}} {CROP}'
    ' data_param {{ source: "{folder}/{file}" backend: LMDB batch_size: 3 rand_skip: 3 }} }}'
)
IMAGES = (
    f'layer {{{{ name: "d" type: "ImageData" top: "x" top: "t" {{phase}} {CROP}'
    ' image_data_param {{ source: "{folder}/{file}" batch_size: 3 shuffle: true }} }}'
)
HDF5 = (
    'layer {{ name: "d" type: "HDF5Data" top: "x" top: "t" {phase}'
    ' hdf5_data_param {{ source: "{folder}/{file}" batch_size: 3 shuffle: true }} }}'
)
SOURCES = {  # the layer, and the files of the training net and of the test net
    "lmdb": (LMDB, "lmdb_7", "lmdb_5"),
    "images": (IMAGES, "list_7", "list_5"),
    "in order": (IMAGES.replace("shuffle: true", "rand_skip: 4"), "list_7", "list_5"),
    "hdf5": (HDF5, "h5_two", "h5_one"),
}
DRAWN = """
layer { name: "d" type: "DummyData" top: "x" top: "t" dummy_data_param {
  shape { dim: 3 dim: 6 } shape { dim: 3 }
  data_filler { type: "gaussian" } data_filler { type: "constant" value: 2 } } }
"""
SEQUENCES = """
layer { name: "d" type: "DummyData" top: "x" top: "cont" top: "t" dummy_data_param {
  shape { dim: 2 dim: 3 dim: 4 } shape { dim: 2 dim: 3 } shape { dim: 2 dim: 3 dim: 4 }
  data_filler { type: "uniform" } data_filler { type: "constant" value: 1 }
  data_filler { type: "uniform" } } }
layer { name: "lstm" type: "LSTM" bottom: "x" bottom: "cont" top: "y"
  recurrent_param { num_output: 4 weight_filler { type: "uniform" min: -0.5 max: 0.5 } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "loss" }
"""


def pixels(number):
    """An image (7, 8, 3) that differs from the others."""
    return np.random.default_rng(number).integers(0, 256, (7, 8, 3), dtype=np.uint8)


def make_lmdb(path, count):
    with Writer(path) as database:
        for i in range(count):
            datum = caffe_pb2.Datum(channels=3, height=7, width=8, label=i % 4)
            datum.data = pixels(i).transpose(2, 0, 1).tobytes()
            database.put(f"{i:04}", datum)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The sources of SOURCES."""
    folder = tmp_path_factory.mktemp("data")
    for count in (5, 7):
        make_lmdb(folder / f"lmdb_{count}", count)
        lines = []
        for i in range(count):
            cv2.imwrite(f"{folder}/{count}_{i}.png", pixels(i))
            lines.append(f"{folder}/{count}_{i}.png {i % 4}\n")
        (folder / f"list_{count}").write_text("".join(lines))
    for name, rows in (("a", 5), ("b", 4)):
        with h5py.File(folder / f"{name}.h5", "w") as f:
            f["x"] = np.random.default_rng(rows).normal(size=(rows, 6))
            f["t"] = np.arange(rows) % 4
    (folder / "h5_two").write_text(f"{folder}/a.h5\n{folder}/b.h5\n")
    (folder / "h5_one").write_text(f"{folder}/b.h5\n")
    return folder


def net_text(source, folder):
    if source in SOURCES:
        layer, *files = SOURCES[source]
        return (
            "".join(
                layer.format(folder=folder, file=file, phase=phase)
                for file, phase in zip(files, ONE_PHASE, strict=True)
            )
            + ABOVE.format()
        )
    return {"drawn": DRAWN + ABOVE.format(), "sequences": SEQUENCES}[source]


class Training:
    """Trainings of one net by one solver, in a folder of their own."""

    def __init__(self, folder, data, capfd, source, settings):
        self.folder, self.capfd = folder, capfd
        self.hdf5 = "snapshot_format: HDF5" in settings
        self.file = folder / "solver.prototxt"
        (folder / "net.prototxt").write_text(net_text(source, data))
        self.settings = (
            f'net: "{folder}/net.prototxt" lr_policy: "fixed" random_seed: 3 max_iter: {ITERATIONS}'
            f' snapshot_prefix: "{folder}/s" display: 1 {settings}'
        )
        if "base_lr" not in settings:
            self.settings += " base_lr: 0.05"
        self.write()

    def write(self, more="snapshot_after_train: false"):
        self.file.write_text(f"{self.settings} {more}")

    def state(self, iteration):
        end = ".h5" if self.hdf5 else ""
        return self.folder / f"s_iter_{iteration}.solverstate{end}"

    def solver(self):
        return caffe.get_solver(str(self.file))

    def solve(self, state=None, restart_data=False, request=None):
        """Train until the end or the request; the log's lines of numbers, and the weights."""
        self.capfd.readouterr()
        solver = self.solver()
        if request is not None:
            solver.request = request
        if state is not None:
            solver.restore(str(state), restart_data)
        solver.solve()
        solver.close()
        return self.lines(), weights(solver)

    def lines(self):
        """What the log says of losses, outputs and tests, without times and speeds."""
        found = []
        for line in self.capfd.readouterr().err.splitlines():
            text = re.sub(r" \(\S+ iter/s, \S+ iters\)", "", line.partition("] ")[2])
            if text.startswith("    T") or re.match(r"Iteration \d+, (loss|lr|Testing)", text):
                found.append(text)
        return found


def weights(solver):
    """A checksum of all weights."""
    digest = hashlib.sha256()
    for layer in solver.net.layers:
        for blob in layer.blobs:
            digest.update(blob.data.tobytes())
    return digest.hexdigest()


def from_iteration(lines, iteration):
    """The log from an iteration's test or loss on."""
    start = next(i for i, text in enumerate(lines) if re.match(rf"Iteration {iteration}\b", text))
    return lines[start:]


@pytest.fixture
def training(tmp_path, data, capfd, monkeypatch):
    """training(source, settings): a Training whose log can be read."""
    monkeypatch.setenv("GLOG_minloglevel", "0")
    return lambda source, settings="momentum: 0.9": Training(
        tmp_path, data, capfd, source, settings
    )


TESTS = "test_iter: 2 test_interval: 3"
MOMENTUM = f"momentum: 0.9 {TESTS}"
ADAM = f'type: "Adam" momentum: 0.9 momentum2: 0.99 base_lr: 0.01 snapshot_format: HDF5 {TESTS}'
MANY = f"momentum: 0.9 iter_size: 2 average_loss: 3 test_initialization: false {TESTS}"
CASES = [
    ("lmdb", MOMENTUM),
    ("lmdb", ADAM),
    ("lmdb", MANY),
    ("images", MOMENTUM),
    ("images", ADAM),
    ("images", f"{MANY} snapshot_format: HDF5"),
    ("in order", MOMENTUM),
    ("hdf5", MOMENTUM),
    ("hdf5", ADAM),
    ("hdf5", MANY),
    ("drawn", MANY),
    ("drawn", ADAM),
    ("sequences", MOMENTUM),
    ("sequences", ADAM),
]


@pytest.mark.parametrize(("source", "settings"), CASES)
def test_from_every_iteration(training, source, settings):
    run = training(source, settings)
    lines, final = run.solve()
    assert len([text for text in lines if ", loss = " in text]) == ITERATIONS + 1
    run.write("snapshot: 1")
    assert run.solve() == (lines, final)  # taking snapshots changes nothing
    run.write()
    for iteration in range(1, ITERATIONS):
        assert run.solve(run.state(iteration)) == (from_iteration(lines, iteration), final)


@pytest.mark.parametrize("settings", [MANY, MOMENTUM], ids=["many", "momentum"])
@pytest.mark.parametrize("source", ["lmdb", "images", "hdf5", "drawn", "sequences"])
def test_several_resumptions_in_a_row(training, source, settings):
    """Stopped after one or two iterations each time, or in the middle of a round of tests."""
    run = training(source, settings)
    lines, final = run.solve()
    run.write("")  # a training that is stopped writes a snapshot
    state, iteration, seen, stops = None, 0, [], 0
    while not seen or not seen[-1].startswith(f"Iteration {ITERATIONS}, loss"):
        requests = iter(["none"] * (1 + stops % 2) + ["stop"])
        found, end = run.solve(state, request=lambda waiting=requests: next(waiting, "none"))
        if seen and "Testing" in seen[-1]:
            del seen[-1]  # tested again
        seen += found
        iteration = max(int(path.stem.split("_")[2]) for path in run.folder.glob("s_iter*state"))
        state = run.state(iteration)
        stops += 1
    assert stops > 4
    assert seen == lines
    assert end == final


SNAPSHOTS = [f"momentum: 0.9 {TESTS}", f"momentum: 0.9 {TESTS} snapshot_format: HDF5"]


def drop_point(path):
    """Make a state one of BVLC Caffe's, which holds no resume point."""
    if path.suffix == ".h5":
        with h5py.File(path, "r+") as f:
            del f["resume_point"]
    else:
        state = caffe_pb2.SolverState.FromString(path.read_bytes())
        state.ClearField("resume_point")
        path.write_bytes(state.SerializeToString())


def change_point(path, change):
    """Let `change` edit the ResumePoint, or return other bytes for it."""
    point = caffe_pb2.ResumePoint()
    if path.suffix == ".h5":
        with h5py.File(path, "r+") as f:
            point.ParseFromString(f["resume_point"][()].tobytes())
            del f["resume_point"]
            other = change(point) or point.SerializeToString()
            f["resume_point"] = np.frombuffer(other, dtype=np.uint8)
    else:
        state = caffe_pb2.SolverState.FromString(path.read_bytes())
        point.ParseFromString(state.resume_point)
        state.resume_point = change(point) or point.SerializeToString()
        path.write_bytes(state.SerializeToString())


def stopped_at_4(run):
    """The state of a training that was stopped after four iterations."""
    run.write("snapshot: 4")
    whole = run.solve()
    run.write()
    return run.state(4), whole


@pytest.mark.parametrize("settings", SNAPSHOTS, ids=["binary", "HDF5"])
def test_restart_data_and_states_of_bvlc_caffe_start_at_the_first_record(training, settings):
    run = training("lmdb", settings)
    state, (lines, final) = stopped_at_4(run)
    exact, restarted = run.solve(state), run.solve(state, restart_data=True)
    assert exact == (from_iteration(lines, 4), final)
    assert restarted[1] != final
    first_losses = [next(t for t in found if "4, loss" in t) for found in (exact[0], restarted[0])]
    assert first_losses[0] != first_losses[1]
    drop_point(state)
    assert run.solve(state) == restarted


def test_the_parser_of_bvlc_caffe_reads_the_state(training):
    """Its SolverState ends with field 4, as here; what it does not know it keeps."""
    run = training("lmdb", SNAPSHOTS[0])
    state, _ = stopped_at_4(run)
    file = descriptor_pb2.FileDescriptorProto()
    caffe_pb2.DESCRIPTOR.CopyToProto(file)
    file.name, file.package = "bvlc.proto", "bvlc"
    kept = [m for m in file.message_type if m.name in ("BlobShape", "BlobProto", "SolverState")]
    del file.message_type[:], file.enum_type[:]
    file.message_type.extend(kept)
    (solver_state,) = (m for m in file.message_type if m.name == "SolverState")
    del solver_state.field[4:]
    for message in file.message_type:
        for field in message.field:
            if field.type_name:
                field.type_name = field.type_name.replace(".caffe.", ".bvlc.")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    bvlc = message_factory.GetMessageClass(pool.FindMessageTypeByName("bvlc.SolverState"))
    theirs = bvlc.FromString(state.read_bytes())
    mine = snapshot.read_solverstate(state)
    assert [field.name for field, _ in theirs.ListFields()] == [
        "iter",
        "learned_net",
        "history",
        "current_step",
    ]
    assert (theirs.iter, theirs.learned_net) == (4, str(run.folder / "s_iter_4.caffemodel"))
    for blob, array in zip(theirs.history, mine.history, strict=True):
        np.testing.assert_array_equal(np.reshape(blob.data, tuple(blob.shape.dim)), array)
    kept = caffe_pb2.SolverState.FromString(theirs.SerializeToString())
    assert kept.resume_point == mine.resume_point != b""


def test_hdf5_holds_the_point_beside_what_bvlc_caffe_opens(training):
    """BVLC opens four members of the file by name, and counts those of /history."""
    run = training("lmdb", SNAPSHOTS[1])
    state, _ = stopped_at_4(run)
    with h5py.File(state) as f:
        assert set(f) == {"iter", "learned_net", "current_step", "history", "resume_point"}
        assert sorted(f["history"]) == ["0", "1", "2", "3"]
        assert f["resume_point"].dtype == np.uint8


# ----------------------------------------------------------------------------- points of all kinds


@pytest.mark.parametrize("when", ["on_start", "on_gradients_ready"])
def test_a_snapshot_in_a_callback_resumes_at_the_beginning_of_the_iteration(training, when):
    """At iteration 3 the tests have run by then; for the second callback the batch is read."""
    run = training("lmdb", MOMENTUM)
    lines, final = run.solve()
    solver = run.solver()
    callbacks = dict.fromkeys(("on_start", "on_gradients_ready"), lambda: None)
    callbacks[when] = lambda: solver.iter == 3 and solver.snapshot()
    solver.add_callback(**callbacks)
    solver.solve()
    solver.close()
    assert run.solve(run.state(3)) == (from_iteration(lines, 3), final)


def test_restoring_in_the_same_solver_repeats_the_iterations(training):
    run = training("lmdb", MOMENTUM)
    solver = run.solver()
    solver.step(2)
    _, state = solver.snapshot()
    run.lines()
    solver.step(4)
    first = run.lines(), weights(solver)
    solver.restore(state)
    run.lines()
    solver.step(4)
    assert (run.lines(), weights(solver)) == first
    solver.close()


MEMORY = """
layer { name: "d" type: "MemoryData" top: "x" top: "t"
  memory_data_param { batch_size: 2 channels: 3 height: 1 width: 1 } }
"""


def test_memory_data_resumes_if_the_arrays_are_there(training):
    run = training("drawn")
    (run.folder / "net.prototxt").write_text(MEMORY + ABOVE.format())
    arrays = np.random.default_rng(0).normal(size=(6, 3, 1, 1)), np.arange(6) % 4

    def solver():
        made = run.solver()
        made.net.set_input_arrays(*arrays)
        return made

    whole = solver()
    whole.step(2)
    _, state = whole.snapshot()
    whole.step(3)
    resumed = solver()
    resumed.restore(state)
    resumed.step(3)
    assert weights(resumed) == weights(whole)
    run.capfd.readouterr()
    empty = run.solver()
    empty.restore(state)
    assert "hand it over before the snapshot is restored" in run.capfd.readouterr().err
    empty.net.set_input_arrays(*arrays)
    empty.step(1)
    np.testing.assert_array_equal(empty.net.blobs["x"].data, arrays[0][:2].astype(np.float32))


# ----------------------------------------------------------------------------- what does not fit


def first_of_batch(net):
    """The number of the record with which the next batch begins."""
    return net.nodes[0].layer.position().cursor


def warnings(run):
    return [line for line in run.capfd.readouterr().err.splitlines() if line.startswith("W")]


def test_other_data_starts_at_the_first_record_with_a_warning(training, data, tmp_path):
    run = training("lmdb", MOMENTUM)
    state, _ = stopped_at_4(run)
    make_lmdb(tmp_path / "longer", 9)
    net = tmp_path / "net.prototxt"
    net.write_text(net.read_text().replace(f"{data}/lmdb_7", f"{tmp_path}/longer"))
    solver = run.solver()
    start = first_of_batch(solver.net)
    run.capfd.readouterr()
    solver.restore(str(state))
    (warning,) = warnings(run)
    assert warning.endswith(
        f"{net}: its data starts at the first record, as in Caffe, not where {state} was:"
        " layer 'd' (Data): has 9 records, not 7"
    )
    assert first_of_batch(solver.net) == start
    assert solver.iter == 4
    # the test net's data is what it was: two tests of two batches of 3 among 5 records
    rand_skip = first_of_batch(run.solver().test_nets[0])
    assert first_of_batch(solver.test_nets[0]) == (rand_skip + 12) % 5


def test_layers_move_together_or_not_at_all(training):
    """Two sources that belong together stay in step even if only one of them fits."""
    run = training("lmdb")
    two = (run.folder / "net.prototxt").read_text() + MEMORY.replace('"d"', '"m"').replace(
        'top: "x" top: "t"', 'top: "m" top: "n"'
    )
    (run.folder / "net.prototxt").write_text(
        two + 'layer { name: "silence" type: "Silence" bottom: "m" bottom: "n" }'
    )

    def solver(items):
        made = run.solver()
        made.net.layer_dict["m"].reset(np.zeros((items, 3, 1, 1)), np.zeros(items))
        return made

    whole = solver(6)
    whole.step(2)
    _, state = whole.snapshot()
    other = solver(8)
    before = first_of_batch(other.net)
    run.capfd.readouterr()
    other.restore(state)
    (warning,) = warnings(run)
    assert "layer 'm' (MemoryData): has 8 items in batches of 2" in warning
    assert first_of_batch(other.net) == before != first_of_batch(whole.net)
    for made in (whole, other):
        made.close()


PYTHON = """
import caffe

class Ones(caffe.Layer):
    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        top[0].reshape(3)

    def forward(self, bottom, top):
        top[0].data[...] = 1
"""


def test_a_python_source_restarts_the_data_of_its_net(training, monkeypatch):
    run = training("lmdb")
    net = run.folder / "net.prototxt"
    (run.folder / "ones_for_test.py").write_text(PYTHON)
    monkeypatch.syspath_prepend(run.folder)
    net.write_text(
        f'{net.read_text()} layer {{ name: "p" type: "Python" top: "p" python_param'
        ' { module: "ones_for_test" layer: "Ones" } }'
        ' layer { name: "silence" type: "Silence" bottom: "p" }'
    )
    state, _ = stopped_at_4(run)
    solver = run.solver()
    start = first_of_batch(solver.net)
    run.capfd.readouterr()
    solver.restore(str(state))
    (warning,) = warnings(run)
    assert "layer 'p' (Python): a snapshot does not hold the position" in warning
    assert first_of_batch(solver.net) == start


def test_several_solvers(training):
    run = training("lmdb")
    state, _ = stopped_at_4(run)
    mode.set_solver_count(2)
    try:
        solver = run.solver()
        start = first_of_batch(solver.net)
        run.capfd.readouterr()
        solver.restore(str(state))
    finally:
        mode.set_solver_count(1)
    (warning,) = warnings(run)
    assert "was written by solver 0 of 1, this is solver 0 of 2" in warning
    assert first_of_batch(solver.net) == start


def no_stream(point):
    point.cpu_stream = b"123"


def bad_json(point):
    point.net[0].layer[0].stream[0] = "{"


def other_generator(point):
    point.net[0].layer[0].stream[0] = '{"bit_generator": "MT19937", "state": {}}'


DAMAGES = [lambda _: b"\xff\xff", no_stream, bad_json, other_generator]


@pytest.mark.parametrize("settings", SNAPSHOTS, ids=["binary", "HDF5"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_point_is_one_sentence(training, settings, damage):
    """The state is refused as a whole, for its other half may be damaged, too."""
    run = training("lmdb", settings)
    run.write("snapshot: 2")
    run.solve()
    run.write()
    state = run.state(8)
    change_point(state, damage)
    solver = run.solver()
    before = weights(solver)
    with pytest.raises(caffe.CaffeError) as caught:
        solver.restore(str(state))
    assert str(caught.value) == (
        f"{state}: its data positions and random streams are damaged; -restart_data resumes"
        " without them"
    )
    assert (weights(solver), solver.iter) == (before, 0)
    solver.restore(str(state), restart_data=True)
    assert solver.iter == 8
    solver = run.solver()
    assert solver.restore_newest() == str(run.state(6))


def outside(point):
    point.net[0].layer[0].cursor = 7


def not_an_order(point):
    point.net[0].layer[0].order[0] = point.net[0].layer[0].order[1]


def other_layers(point):
    point.net[0].layer[0].name = "e"


def fewer_nets(point):
    del point.net[1]


@pytest.mark.parametrize(
    ("source", "change", "message"),
    [
        ("lmdb", outside, "has 7 records, but none with the number 7"),
        ("images", outside, "has 7 records, but none with the number 7"),
        ("images", not_an_order, "has 7 records; the order in the snapshot names others"),
        ("hdf5", outside, r"h5 has \d rows, but none with the number 7"),
        ("lmdb", other_layers, r"the layers that read data are 'd' \(Data\), not 'e' \(Data\)"),
        ("lmdb", fewer_nets, r"was written with 0 test net\(s\), this solver has 1"),
    ],
)
def test_positions_that_do_not_fit_are_one_warning(training, source, change, message):
    run = training(source, MOMENTUM)
    state, _ = stopped_at_4(run)
    change_point(state, change)
    solver = run.solver()
    net = solver.test_nets[0] if change is fewer_nets else solver.net
    start = net.nodes[0].layer.position()
    run.capfd.readouterr()
    solver.restore(str(state))
    (warning,) = warnings(run)
    assert re.search(message, warning)
    assert net.nodes[0].layer.position() == start
    solver.step(1)
    solver.close()


def test_a_point_survives_its_bytes(training):
    run = training("images", MOMENTUM)
    solver = run.solver()
    solver.step(3)
    point = resume_point.take(solver)
    read = resume_point.read(point.to_bytes(), "x")
    assert read.nets == point.nets
    assert [float(loss) for loss in read.losses] == [float(loss) for loss in point.losses]
    assert read.cpu_stream.equal(point.cpu_stream)
    solver.close()


# ----------------------------------------------------------------------------- the command


def train(run, *flags):
    """caffe train; the log's lines of numbers."""
    run.capfd.readouterr()
    assert caffe.cli.main(["train", "--solver", str(run.file), *flags]) == 0
    return run.lines()


@pytest.mark.parametrize("flags", [["-resume"], ["--resume", "auto"], ["-resume=auto"], None])
def test_the_command_resumes_exactly(training, flags):
    run = training("lmdb", MOMENTUM)
    lines = train(run)
    run.write("snapshot: 3")
    train(run)
    run.state(8).unlink()  # of the end: 6 is the newest one
    run.write()
    flags = flags or ["--resume", str(run.state(6))]
    assert train(run, *flags) == from_iteration(lines, 6)
    assert train(run, *flags, "--restart-data") != from_iteration(lines, 6)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["-restart_data"], "give -resume or -snapshot"),
        (["-keep", "-1"], "-keep takes a number of snapshots, not -1"),
        (["-resume", "a.solverstate", "-weights", "w"], "give neither -snapshot nor -weights"),
        (["-resume", "no.solverstate"], "no.solverstate"),
    ],
)
def test_flags_that_contradict_each_other(training, fatal_line, flags, message):
    run = training("lmdb")
    assert message in fatal_line(run, *flags)


@pytest.fixture
def fatal_line():
    def check(run, *flags):
        run.capfd.readouterr()
        assert caffe.cli.main(["train", "--solver", str(run.file), *flags]) == 1
        (line,) = [s for s in run.capfd.readouterr().err.splitlines() if s.startswith("F")]
        return line

    return check


def left(run):
    return sorted(int(re.search(r"iter_(\d+)", p.name)[1]) for p in run.folder.glob("s_iter_*"))


@pytest.mark.parametrize("settings", SNAPSHOTS, ids=["binary", "HDF5"])
@pytest.mark.parametrize(
    ("keep", "iterations"),
    [(0, [1, 2, 3, 4, 5, 6, 7, 8]), (1, [8]), (3, [6, 7, 8]), (20, [1, 2, 3, 4, 5, 6, 7, 8])],
)
def test_keep(training, settings, keep, iterations):
    run = training("drawn", settings.replace(TESTS, "snapshot: 1"))
    others = ["t_iter_1.solverstate", "s_more_iter_1.solverstate", "s_iter_x.solverstate"]
    for name in others:
        (run.folder / name).write_text("another training's")
    train(run, *(["--keep", str(keep)] if keep else []))
    (run.folder / "s_iter_x.solverstate").unlink()
    assert left(run) == sorted(2 * iterations)  # the state and the weights
    assert all((run.folder / name).is_file() for name in others[:2])


def test_keep_spares_weights_alone_and_later_iterations(training):
    run = training("drawn", "momentum: 0.9 snapshot: 2")
    train(run)
    run.state(4).unlink()
    resume.remove_older(f"{run.folder}/s", 6, 1)
    assert left(run) == [4, 6, 6, 8, 8]


def test_old_snapshots_that_cannot_be_removed_are_a_warning(training, monkeypatch):
    run = training("drawn", "momentum: 0.9 snapshot: 4")

    def refuse(path):
        raise PermissionError(1, "Operation not permitted", path)

    monkeypatch.setattr("os.remove", refuse)
    solver = run.solver()
    solver.keep = 1
    run.capfd.readouterr()
    solver.solve()
    (warning,) = warnings(run)
    assert "old snapshots" in warning
    assert "Operation not permitted" in warning
    assert left(run) == [4, 4, 8, 8]
