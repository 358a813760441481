"""Numbers of topics end to end: the record, resuming, the copied net; the scripts themselves run in
the sample's chain.
"""

import argparse
import json
import sys

import pytest

from caffe import prototxt
from texttopicnet import artefacts
from texttopicnet.errors import UserError


@pytest.fixture(scope="module")
def script(load_script):
    return load_script("experiments/number_of_topics.py")


@pytest.fixture
def folder(tmp_path):
    """A work folder with a train dict, and a VOC set with its lists of images."""
    (tmp_path / "LDA").mkdir()
    (tmp_path / artefacts.TRAIN_DICT).write_text('{"images/1.jpg": "text/1"}')
    main = tmp_path / "VOCdevkit" / "VOC2007" / "ImageSets" / "Main"
    main.mkdir(parents=True)
    for split, ids in {
        "train": "1 2 3",
        "val": "4 5",
        "trainval": "1 2 3 4 5",
        "test": "6",
    }.items():
        (main / f"{split}.txt").write_text("\n".join(ids.split()))
        labels = [f"{i} {1 if k % 2 else -1}\n" for k, i in enumerate(ids.split())]
        (main / f"cat_{split}.txt").write_text("".join(labels))
    return tmp_path


@pytest.fixture
def run(script, folder, monkeypatch):
    """run("--topics", ...): the record; the scores of a number are made up, and counted."""
    scores = {5: 0.5, 10: 0.75, 20: 0.75, 40: 0.25}
    measured = []

    def measure(args, work, topics):
        assert (work / artefacts.TRAIN_DICT).read_text().startswith("{")
        if topics not in scores:
            raise script.Failed(7)
        measured.append(topics)
        on_val = {"cat": scores[topics]}
        row = {"topics": topics, "val": scores[topics], "test": scores[topics] / 2}
        return row | {"classes": on_val, "seconds": 2.0}

    monkeypatch.setattr(script, "measure", measure)

    def run(*arguments):
        common = ["--work", str(folder), "--voc", str(folder), "--data", str(folder)]
        common += ["--net", "CaffeNetSample", "--solver", "solver.prototxt"]
        monkeypatch.setattr(sys, "argv", ["x", *common, *arguments])
        status = script.main()
        record = json.loads((folder / artefacts.TOPIC_NUMBERS_RECORD).read_text())
        return record, measured.copy(), status

    return run


def test_the_best_number_on_val(run, folder):
    record, measured, status = run("--topics", "20", "5", "10")
    assert (status, measured) == (0, [5, 10, 20])
    assert [row["topics"] for row in record["rows"]] == [5, 10, 20]
    # of two equal ones the smaller
    assert record["values"] == {"best": 10, "val": 0.75, "test": 0.375}
    assert record["split"] == {"train": 3, "val": 2}
    assert record["seconds"] == 6
    assert record["settings"]["iterations"] == 240
    assert not record["paper_set"]
    assert (folder / artefacts.TOPIC_NUMBERS_PLOT).read_bytes().startswith(b"\x89PNG")


def test_a_number_is_measured_once(run):
    run("--topics", "5")
    record, measured, _ = run("--topics", "5", "40")
    assert measured == [5, 40]
    assert record["values"]["best"] == 5
    _, measured, _ = run("--topics", "5", "--force")
    assert measured == [5, 40, 5]


def test_a_script_that_fails_keeps_what_was_measured(run):
    record, measured, status = run("--topics", "5", "30", "40")
    assert (status, measured) == (7, [5])
    assert [row["topics"] for row in record["rows"]] == [5]


def test_other_settings_are_not_mixed(run):
    run("--topics", "5")
    with pytest.raises(UserError, match=r"was measured with another settings .*--force"):
        run("--topics", "10", "--iterations", "3")
    with pytest.raises(UserError, match="was measured with another seed"):
        run("--topics", "10", "--seed", "3")


def test_other_articles_begin_anew(run, script, folder):
    run("--topics", "5")
    (folder / script.FOLDER / "LDA" / "ldamodel5.lda").write_text("of other articles")
    (folder / artefacts.TRAIN_DICT).write_text('{"images/2.jpg": "text/2"}')
    run("--topics", "5", "--force")
    assert not (folder / script.FOLDER / "LDA" / "ldamodel5.lda").exists()


def test_no_train_dict_is_one_sentence(run, folder):
    (folder / artefacts.TRAIN_DICT).unlink()
    with pytest.raises(UserError, match=r"generate_train_dict.py"):
        run("--topics", "5")


def test_no_list_of_images_is_one_sentence(run, folder):
    (folder / "VOCdevkit/VOC2007/ImageSets/Main/train.txt").unlink()
    with pytest.raises(UserError, match=r"Main/train.txt does not exist: data/VOC2007/README.md"):
        run("--topics", "5")


def test_the_net_has_as_many_outputs_as_topics(script, tmp_path):
    args = argparse.Namespace(net="CaffeNetSample", solver="solver.prototxt", iterations=60, seed=4)
    solver = script.copy_net(args, tmp_path, 7)
    assert (solver.max_iter, solver.random_seed) == (60, 4)
    assert solver.stepsize == 50  # 200 of 240
    for name in ("train_val.prototxt", "deploy.prototxt"):
        layers = {x.name: x for x in prototxt.read_net(tmp_path / name).layer}
        assert layers["fc8"].inner_product_param.num_output == 7
        assert layers["fc7"].inner_product_param.num_output == 256
    assert prototxt.read_solver(tmp_path / script.SOLVER).max_iter == 60


def test_the_commands_of_one_number(script, folder, monkeypatch, tmp_path):
    """Each script is called once, and skipped where its output exists."""
    commands = []

    def record(command, *_):
        commands.append([str(part) for part in command])

    monkeypatch.setattr(script, "run", record)
    args = argparse.Namespace(
        data=tmp_path,
        collection="c",
        seed=0,
        passes=2,
        workers=1,
        no_below=3,
        no_above=None,
    )
    work = tmp_path / "w"
    script.label(args, work, 5)
    learn, label = commands
    assert learn[1].endswith("LDA/learn_LDA_model.py")
    assert learn[-2:] == ["--no-below", "3"]
    assert label[1].endswith("LDA/generate_train_labels.py")
    (work / "LDA").mkdir(parents=True)
    (work / artefacts.lda_model(5)).write_text("x")
    (work / artefacts.training_labels(5)).write_text("x")
    script.label(args, work, 5)
    assert len(commands) == 2
