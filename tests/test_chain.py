"""scripts/chain.py: the table of stages, and the rules by which a stage runs."""

import itertools
import os
import shlex
import sys
from pathlib import Path

import pytest

from texttopicnet import artefacts, child_process
from texttopicnet.errors import UserError

ROOT = artefacts.ROOT


@pytest.fixture(scope="module")
def chain(load_script):
    return load_script("scripts/chain.py")


@pytest.fixture
def table(chain, tmp_path):
    """table("--option", ...): the stages of a command line; data and work are in tmp_path."""

    def table(*arguments):
        (tmp_path / "data").mkdir(exist_ok=True)
        given = ["--data", str(tmp_path / "data"), "--work", str(tmp_path / "w"), *arguments]
        return chain.table(chain.settings(chain.parser().parse_args(given)))

    return table


@pytest.fixture
def written(tmp_path):
    """written("name", seconds): a file with that time of modification."""

    def written(name, seconds, content="x"):
        path = tmp_path / name
        path.write_text(content)
        os.utime(path, (seconds, seconds))
        return path

    return written


def of(arguments, option):
    """The value of an option in a command line; None if the option is missing."""
    return arguments[arguments.index(option) + 1] if option in arguments else None


def test_every_stage_has_its_script_and_reads_what_the_one_before_wrote(table, tmp_path):
    for folder in ("VOCdevkit", "Wikipedia", "STL10"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    stages = table()
    assert [stage.number for stage in stages] == list(range(1, 15))
    for stage in stages:
        assert (ROOT / "scripts" / f"{stage.script}.sh").is_file()
        assert bool(stage.left_out) == (stage.number in (11, 12, 13)), stage.script
    for before, stage in itertools.pairwise(stages[:7]):
        assert stage.inputs == [before.outputs[0]]
    work = tmp_path / "w"
    outputs = [[str(path.relative_to(work)) for path in stage.outputs] for stage in stages]
    assert outputs[:6] == [
        ["LDA/train_dict_ImageCLEF_Wikipedia.json"],
        ["LDA/ldamodel40.lda"],
        ["LDA/training_labels40.json"],
        ["CNN/CaffeNet/train_images_lmdb/data.mdb", "CNN/CaffeNet/train_labels_lmdb/data.mdb"],
        ["CNN/CaffeNet/trained.caffemodel", "CNN/CaffeNet/untrained.caffemodel"],
        [
            "experiments/features/voc2007_fc7_untrained.npz",
            "experiments/features/wikipedia_prob.npz",
        ],
    ]
    assert len(outputs[6]) == 8
    assert stages[7].inputs == [work / "experiments/features/wikipedia_prob.npz"]
    results = "experiments/results"
    assert outputs[7] == [f"{results}/retrieval.json"]
    assert outputs[8] == [f"{results}/voc2007_fine_tuning_{n}.json" for n in artefacts.NETS]
    assert outputs[9] == [
        f"{results}/classification_stl10_{layer}_{net}.json"
        for net in artefacts.NETS
        for layer in artefacts.LAYERS
    ]
    assert outputs[10:13] == [[name] for name in artefacts.MORE_RECORDS]
    assert outputs[13] == ["experiments/report.html"]


def test_every_script_takes_the_arguments_that_the_table_gives_it(table, accept, tmp_path):
    """The parsers of the scripts accept the longest command lines of the table."""
    (tmp_path / "data" / "SUN397").mkdir(parents=True)
    stages = table(
        *("--scheduler", "tcp://a:1", "--dump", "d", "--images", "i", "--no-below", "1"),
        *("--no-above", "1", "--trust-pickle"),
    )
    for stage in stages:
        _, shell_script, *arguments = stage.command(force=True)
        last = Path(shell_script).read_text().splitlines()[-1]
        accept(last.partition("$ROOT/")[2].partition('"')[0], arguments)


def test_stages_without_their_data_are_left_out_with_a_reason(table, tmp_path):
    (seventh, eighth) = table()[6:8]
    assert seventh.left_out == (
        f"{tmp_path}/data/VOCdevkit does not exist (--voc names the folder that holds it)"
    )
    assert eighth.left_out == (
        f"{tmp_path}/data/Wikipedia does not exist (data/README.md says what belongs there)"
    )
    (tmp_path / "data" / "Wikipedia").mkdir()
    assert not table()[7].left_out
    assert table("--embedding", "lsi")[7].left_out == (
        "retrieval compares topics, and the net has learnt lsi"
    )


def test_voc_may_be_in_its_own_folder(table, tmp_path):
    (tmp_path / "data" / "VOC2007" / "VOCdevkit").mkdir(parents=True)
    stages = table()
    assert of(stages[6].arguments, "--voc") == f"{tmp_path}/data/VOC2007"
    assert not stages[6].left_out


@pytest.mark.parametrize(
    ("embedding", "solver", "labels"),
    [
        ("lda", "solver.prototxt", "training_labels40.json"),
        ("tfidf", "solver.prototxt", "training_labels_tfidf40.json"),
        ("lsi", "solver_euclidean.prototxt", "training_labels_lsi40.json"),
        ("word2vec", "solver_euclidean.prototxt", "training_labels_word2vec40.json"),
    ],
)
def test_the_embedding_chooses_solver_and_labels(table, embedding, solver, labels):
    stages = table("--embedding", embedding)
    assert of(stages[4].arguments, "--solver") == solver
    assert stages[2].outputs[0].name == labels
    assert of(table("--solver", "x.prototxt")[4].arguments, "--solver") == "x.prototxt"


@pytest.mark.parametrize(("net", "size"), [("CaffeNet", "256"), ("CaffeNetSample", "76")])
def test_images_are_stored_as_large_as_the_nets_crop_needs(table, net, size):
    """256 for the crop of 227; 67 * 256 / 227 = 75.6."""
    assert of(table("--net", net)[3].arguments, "--size") == size


def test_the_note_says_what_the_net_was_trained_on(table):
    lda = of(table("--passes", "20", "--topics", "30")[4].arguments, "--note")
    assert lda == "trained on data: 30 topics, 20 passes; CaffeNet, 160000 iterations"
    lsi = of(table("--embedding", "lsi", "--solver", "none")[4].arguments, "--note")
    assert lsi == "trained on data: lsi of 40 numbers; CaffeNet, ? iterations"


def test_the_iterations_are_read_whatever_shares_their_line(table, chain, monkeypatch, tmp_path):
    net = tmp_path / "CNN" / "Own"
    net.mkdir(parents=True)
    (net / "solver.prototxt").write_text('net: "n" max_iter: 7 base_lr: 1 # max_iter: 9')
    monkeypatch.setattr(chain, "ROOT", tmp_path)
    note = of(table("--net", "Own")[4].arguments, "--note")
    assert note.endswith("Own, 7 iterations")


def test_the_samples_settings(chain):
    s = chain.settings(chain.parser().parse_args(["--sample"]))
    assert (s.data, s.work) == (ROOT / "data" / "sample", ROOT / "work" / "sample")
    assert (s.net, s.passes, s.workers, s.seed) == ("CaffeNetSample", 10, 1, 0)


def test_the_gpu_trains_and_extracts(chain, table, monkeypatch):
    """By default where the solver says GPU and there is one, explicitly with --gpu."""

    def on_gpu(*arguments):
        return [stage.number for stage in table(*arguments) if "--gpu" in stage.arguments]

    monkeypatch.setattr(chain, "gpu_exists", lambda: False)
    assert on_gpu() == on_gpu("--net", "CaffeNetSample") == []
    assert {5, 6} <= set(on_gpu("--gpu"))
    monkeypatch.setattr(chain, "gpu_exists", lambda: True)
    # the solver of stage 5 says it itself
    assert 6 in on_gpu()
    assert 5 not in on_gpu()
    assert on_gpu("--net", "CaffeNetSample") == []  # its solver says CPU
    assert {5, 6} <= set(on_gpu("--net", "CaffeNetSample", "--gpu"))
    assert {12, 13} <= set(on_gpu("--sample", "--gpu"))


def test_where_the_work_goes(chain, tmp_path):
    def work(*arguments):
        return chain.settings(chain.parser().parse_args(list(arguments))).work

    assert work() == ROOT
    assert work("--data", str(tmp_path)) == ROOT / "work" / tmp_path.name
    assert work("--data", str(tmp_path), "--work", "w") == Path.cwd() / "w"


def stage_of(chain, outputs, inputs=(), **more):
    return chain.Stage("03_generate_train_labels", list(inputs), outputs, ["--a", "b"], **more)


def test_a_stage_is_done_when_all_its_outputs_exist(chain, written, tmp_path):
    one, two = written("one", 20), tmp_path / "two"
    stage = stage_of(chain, [one, two])
    assert chain.decide(stage, force=False) == chain.Decision(True, True, f"{two} is missing")
    written("two", 5)
    assert chain.decide(stage, force=False) == chain.Decision(
        False, False, f"is done: {one} exists (--force runs it again)"
    )
    assert chain.decide(stage, force=True) == chain.Decision(True, True, "--force")


def test_an_interrupted_stage_starts_over_or_resumes(chain, written, tmp_path):
    """A stage that starts over needs --force only if some of its outputs exist."""
    one, two = tmp_path / "one", tmp_path / "two"
    assert not chain.decide(stage_of(chain, [one, two]), force=False).force
    written("one", 1)
    assert chain.decide(stage_of(chain, [one, two]), force=False).force
    assert not chain.decide(stage_of(chain, [one, two], resumes=True), force=False).force
    assert chain.decide(stage_of(chain, [one, two], resumes=True), force=True).force


def test_the_stages_that_take_long_resume(table):
    assert [stage.number for stage in table() if stage.resumes] == [5, 6, 7, 9, 10, 12, 13]


def test_a_fine_tuning_takes_the_trainings_solver_if_its_net_has_one(table):
    def solvers(*arguments):
        return [of(stage.arguments, "--solver") for stage in table(*arguments)[8:10]]

    assert solvers() == ["solver.prototxt"] * 2
    assert solvers("--solver", "solver_short.prototxt") == [
        "solver_short.prototxt",
        "solver.prototxt",
    ]
    assert solvers("--embedding", "lsi") == ["solver.prototxt"] * 2


def test_image_classification_takes_the_sets_that_exist(chain, table, tmp_path):
    (tmp_path / "data" / "SUN397").mkdir(parents=True)
    data = str(tmp_path / "data")
    stage = table()[9]
    at = stage.arguments.index("--data")
    assert stage.arguments[at : at + 3] == ["--data", "sun397", f"{data}/SUN397"]
    sample = table("--sample")[9]
    at = sample.arguments.index("--data")
    assert sample.arguments[at + 1 : at + 3] == ["folder", f"{data}/Wikipedia/images"]
    assert len(sample.outputs) == len(artefacts.LAYERS) + 1  # of the trained net alone


def test_a_net_that_cannot_be_fine_tuned_is_left_out(chain, table, monkeypatch, tmp_path):
    (tmp_path / "data" / "VOCdevkit").mkdir(parents=True)
    net = tmp_path / "CNN" / "Own"
    net.mkdir(parents=True)
    (net / "solver.prototxt").write_text('net: "n" max_iter: 7')
    monkeypatch.setattr(chain, "ROOT", tmp_path)
    monkeypatch.setattr(artefacts, "ROOT", tmp_path)
    (ninth,) = (stage for stage in table("--net", "Own") if stage.number == 9)
    assert ninth.left_out.endswith("finetune_voc2007_own does not exist: Own has no fine-tuned net")


def test_a_stage_older_than_its_input_is_refused(chain, written, tmp_path):
    made, output = written("made", 10), written("out", 9)
    stage = stage_of(chain, [output], [made])
    with pytest.raises(UserError) as caught:
        chain.decide(stage, force=False)
    assert str(caught.value) == (
        f"stage 3 is older than what it reads: {made} was made after {output}; give --from 3"
        " --force to run it again, or another --work folder to keep it"
    )
    assert chain.decide(stage, force=True).runs
    written("out", 10)
    assert not chain.decide(stage, force=False).runs
    with pytest.raises(UserError, match="older than what it reads"):
        chain.decide(stage, force=False, rewritten=[made])
    assert not chain.decide(stage_of(chain, [output], [tmp_path / "none"]), force=False).runs


def test_a_model_from_elsewhere_is_not_advised_to_be_replaced(chain, written):
    made, model = written("made", 10), written("model", 9, "no mark")
    stage = chain.Stage("02_learn_LDA_model", [made], [model], [])
    with pytest.raises(UserError) as caught:
        chain.decide(stage, force=False)
    assert str(caught.value) == (
        f"{model} was not made here, and not from {made}: give --from 3 to use it anyway, or"
        " another --work folder"
    )
    written("model", 9, "... dictionary_sha256 ...")
    with pytest.raises(UserError, match="--from 2 --force"):
        chain.decide(stage, force=False)


def test_a_stage_that_is_left_out_does_not_run(chain, written):
    stage = stage_of(chain, [], left_out="no set")
    assert chain.decide(stage, force=True) == chain.Decision(False, False, "is left out: no set")


def test_stage_9_runs_always_and_replaces_its_page(table, chain, written):
    last = table()[-1]
    last.outputs[0].parent.mkdir(parents=True)
    last.outputs[0].write_text("old")
    decision = chain.decide(last, force=False)
    assert (decision.runs, decision.force) == (True, True)
    assert last.command(decision.force)[-1] == "--force"


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({}, []),
        ({"a_b": 1, "c": None, "d": False}, ["--a-b", "1"]),
        ({"force": True, "seed": 0}, ["--force", "--seed", "0"]),
    ],
)
def test_options(chain, values, found):
    assert chain.options(**values) == found


def test_a_run_stops_at_the_first_stage_that_fails(chain, monkeypatch, tmp_path, capsys):
    ran = []

    def run(command):
        ran.append(command)
        return child_process.Ended(3 if "second" in command else 0, 0)

    monkeypatch.setattr(chain.child_process, "run", run)
    stages = [
        chain.Stage(f"0{i}_x", [], [tmp_path / name], [name])
        for i, name in enumerate(("first", "second", "third"), 1)
    ]
    assert chain.run(stages, force=False, dry=False) == 3
    assert [command[2] for command in ran] == ["first", "second"]
    assert capsys.readouterr().out == "stage 1: 01_x\nstage 2: 02_x\n"


def test_a_dry_run_runs_nothing_and_says_why(chain, monkeypatch, tmp_path, capsys):
    data, work = tmp_path / "data", tmp_path / "w"
    (data / "Wikipedia").mkdir(parents=True)
    arguments = ["--data", str(data), "--work", str(work), "--no-below", "2", "--dry-run"]
    monkeypatch.setattr(sys, "argv", ["chain.py", *arguments])
    assert chain.main() == 0
    rows = capsys.readouterr().out.splitlines()
    assert rows[0].startswith(f"stages 1 to 14: data {data}, work {work}, net CaffeNet, ")
    second = f"stage 2 would run ({work}/LDA/ldamodel40.lda is missing): "
    command = shlex.split(rows[2].removeprefix(second))
    assert rows[2].startswith(second)
    assert command[:2] == ["bash", str(ROOT / "scripts/02_learn_LDA_model.sh")]
    assert of(command, "--no-below") == "2"
    assert rows[7].startswith("stage 7 is left out: ")
    assert rows[9].startswith("stage 9 is left out: ")
    assert rows[10].startswith(f"stage 10 is left out: neither {data}/STL10 nor {data}/SUN397")
    assert rows[11] == f"stage 11 is left out: {data}/Wikipedia/raw_features.mat does not exist"
    for number in (12, 13):
        assert rows[number].startswith(f"stage {number} is left out: it takes days")
    assert rows[14].startswith("stage 14 would run (always, because it takes seconds): bash ")
    assert rows[15] == "dry run: nothing was run"
    assert not work.exists()


def test_a_dry_run_stops_where_the_run_would(chain, monkeypatch, tmp_path, capsys):
    """Stage 2 would write a model that is newer than the labels that exist."""
    labels = tmp_path / "w" / "LDA" / "training_labels40.json"
    labels.parent.mkdir(parents=True)
    labels.write_text("{}")
    monkeypatch.setattr(
        sys, "argv", ["x", "--data", str(tmp_path), "--work", str(tmp_path / "w"), "--dry-run"]
    )
    with pytest.raises(UserError, match="stage 3 is older than what it reads"):
        chain.main()
    assert "stage 2 would run" in capsys.readouterr().out


def test_a_dry_run_knows_which_outputs_a_resumed_stage_would_write(chain, written, tmp_path):
    """Stage 6 would add the missing features only; --force would write the others, too."""
    there, missing, svm = written("a.npz", 5), tmp_path / "b.npz", written("svm", 5)
    sixth = chain.Stage("06_x", [], [there, missing], [], resumes=True)
    seventh = chain.Stage("07_x", [there], [svm], [])
    eighth = chain.Stage("08_x", [missing], [svm], [])
    assert chain.run([sixth, seventh], force=False, dry=True) == 0
    with pytest.raises(UserError, match=r"stage 8 is older .*b\.npz was made after"):
        chain.run([sixth, eighth], force=False, dry=True)


def test_stages_in_the_wrong_order(chain, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["x", "--from", "5", "--to", "2"])
    with pytest.raises(UserError, match="--from 5 comes after --to 2"):
        chain.main()
