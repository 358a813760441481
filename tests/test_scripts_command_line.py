"""Numbers on the command line: what is taken, and what is one sentence in every script."""

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from texttopicnet import artefacts, command_line
from texttopicnet.errors import UserError


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (command_line.whole("--x"), "1", 1),
        (command_line.whole("--x"), "2147483647", 2**31 - 1),
        (command_line.whole("--x", 0, 5), "0", 0),
        (command_line.seed(), "0", 0),
        (command_line.seed(), "4294967295", 2**32 - 1),
        (command_line.share("--x"), "0.5", 0.5),
        (command_line.share("--x", zero=True), "0", 0),
        (command_line.share("--x", one=True), "1", 1),
    ],
)
def test_numbers_that_are_accepted(parse, text, value):
    assert parse(text) == value


@pytest.mark.parametrize(
    ("parse", "text", "message"),
    [
        (command_line.whole("--x"), "0", "--x 0: must be 1 or more"),
        (command_line.whole("--x"), "-1", "--x -1: must be 1 or more"),
        (command_line.whole("--x"), "2.5", "--x 2.5: must be a whole number"),
        (command_line.whole("--x"), "many", "--x many: must be a whole number"),
        (command_line.whole("--x", 0, 5), "6", "--x 6: must be 5 or less"),
        (command_line.seed(), "-1", "--seed -1: must be 0 or more"),
        (
            command_line.seed("--seeds"),
            "4294967296",
            "--seeds 4294967296: must be 4294967295 or less",
        ),
        (command_line.share("--x"), "0", "--x 0: must be a share, above 0 and below 1"),
        (command_line.share("--x"), "1", "--x 1: must be a share, above 0 and below 1"),
        (
            command_line.share("--x", one=True),
            "50",
            "--x 50: must be a share, above 0 and 1 or less",
        ),
        (
            command_line.share("--x", zero=True),
            "-0.1",
            "--x -0.1: must be a share, 0 or more and below 1",
        ),
        (
            command_line.share("--x", one=True),
            "nan",
            "--x nan: must be a share, above 0 and 1 or less",
        ),
        (command_line.share("--x"), "half", "--x half: must be a share, above 0 and below 1"),
    ],
)
def test_numbers_that_are_refused(parse, text, message):
    with pytest.raises(UserError) as caught:
        parse(text)
    assert str(caught.value) == message


# every script with numbers on its command line, and values that it refuses
SCRIPTS = {
    "LDA/generate_train_dict.py": "--workers 0",
    "LDA/learn_LDA_model.py": "--topics 0|--topics -1|--passes 0|--workers 0"
    "|--update-every 0|--seed -1|--no-below -1|--no-above 50|--no-above 0",
    "LDA/generate_train_labels.py": "--topics 0|--seed 4294967296|--workers 0",
    "LDA/show_topics.py": "--topics -1|--words 0|--images -1",
    "LDA/choose_topics.py": "--topics 1|--passes 0|--seeds -1|--update-every 0"
    "|--workers 0|--held-out 1|--coherence-articles 0",
    "CNN/create_lmdb.py": "--topics 0|--seed -1|--val-fraction 1|--size 0|--workers 0",
    "experiments/extract_features.py": "--batch 0",
    "experiments/voc_2007_classification.py": "--workers 0|--seed -1",
    "experiments/voc_2007_fine_tuning.py": "--seed -1",
    "experiments/image_classification.py": "--folds 0|--splits 1|--seed -1",
    "experiments/multi_modal_retrieval.py": "--topics 0|--seed -1|--passes 0|--no-below -1"
    "|--no-above 50",
    "experiments/retrieval_baselines.py": "--seed -1",
    "experiments/number_of_topics.py": "--topics 1|--iterations 0|--passes 0|--no-below -1"
    "|--no-above 50|--workers 0|--seed -1",
    "experiments/voc_2007_detection.py": "--first 0|--seed -1",
    "experiments/demo.py": "--topics 0|--seed -1|--port 0|--port 65536",
    "CNN/train_fast_rcnn.py": "--seed -1",
    "experiments/text_to_text_retrieval.py": "--topics 0|--passes 0|--seeds -1"
    "|--no-below -1|--no-above 50|--workers 0",
    "CNN/train_cnn.py": "--seed -1|--classes 0",
    "experiments/diagram_share.py": "--sample 0|--seed -1",
    "experiments/evidence.py": "--at -1|--seeds -1|--snapshot 0|--topics 0",
    "scripts/chain.py": "--from 0|--to 15|--topics 0|--passes 0|--workers 0|--seed -1|--no-below -1"
    "|--no-above 50",
    "data/sample/make_sample.py": "--articles 0|--pairs 0|--voc-images 0|--seed -1",
}


def test_every_script_with_numbers_is_in_the_list():
    folders = ("LDA", "CNN", "experiments", "scripts", "data/sample")
    found = {
        path
        for folder in folders
        for path in (artefacts.ROOT / folder).glob("*.py")
        if re.search(r"command_line\.(whole|share|seed|add)", path.read_text())
    }
    without_numbers = {
        "LDA/preprocess_text.py",
        "CNN/write_fast_rcnn_prototxts.py",
        "CNN/write_prototxts.py",
        "experiments/label_distribution.py",
        "experiments/make_tables.py",
        "experiments/make_text_tables.py",
        "experiments/text_records.py",
        "scripts/get_wordnet.py",
    }
    assert {path.relative_to(artefacts.ROOT).as_posix() for path in found} - without_numbers == set(
        SCRIPTS
    )
    assert not [
        path
        for folder in folders
        for path in (artefacts.ROOT / folder).glob("*.py")
        if "type=int" in path.read_text()
    ]


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_refuses_in_one_sentence(load_script, script, monkeypatch, tmp_path):
    cases = SCRIPTS[script]
    module = load_script(script)
    for case in cases.split("|"):
        option, value = case.split()
        monkeypatch.setattr(sys, "argv", ["x", option, value])
        with pytest.raises(UserError, match=f"^{option} {value}: must be "):
            module.main()


def test_a_script_refuses_a_number_without_a_traceback(tmp_path):
    def run(arguments):
        command = [
            sys.executable,
            artefacts.ROOT / arguments[0],
            *arguments[1:],
            "--work",
            tmp_path,
        ]
        return subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=tmp_path)

    commands = [
        ["LDA/learn_LDA_model.py", "--topics", "0"],
        ["LDA/show_topics.py", "--topics", "-1"],
    ]
    with ThreadPoolExecutor(2) as threads:
        for command, done in zip(commands, threads.map(run, commands), strict=True):
            assert (done.returncode, done.stdout) == (1, "")
            assert done.stderr == f"error: --topics {command[2]}: must be 1 or more\n"
    assert list(tmp_path.iterdir()) == []
