"""experiments/text_records.py: a retrieval set as a train dict, and the order of the scripts."""

import shutil
from pathlib import Path

import pytest

from texttopicnet import artefacts, child_process, json_files, retrieval


@pytest.fixture(scope="module")
def script(load_script):
    return load_script("experiments/text_records.py")


@pytest.fixture
def retrieval_set(tmp_path):
    folder = tmp_path / "sets" / "Wikipedia"
    folder.mkdir(parents=True)
    (folder / "categories.list").write_text("visual arts\r\n\n war \n")
    (folder / retrieval.TRAIN_LIST).write_text("t1\ti1\t1\r\n\nt2\ti2\t2\n")
    (folder / retrieval.TEST_LIST).write_text("t3\ti3\t2\n")
    return folder


def test_a_list_as_a_train_dict(script, retrieval_set):
    """Categories of several words, blank lines and carriage returns."""
    assert script.train_dict(retrieval_set, retrieval.TRAIN_LIST) == {
        "images/visual arts/i1.jpg": "texts/t1.xml",
        "images/war/i2.jpg": "texts/t2.xml",
    }


def test_the_scripts_and_what_is_kept(script, retrieval_set, tmp_path, monkeypatch, accept):
    """Labels after 1 and 20 passes are kept; the train dict of the test texts comes last."""
    made, ran = tmp_path / "made", []

    def run(command):
        name, options = Path(command[1]).name, list(map(str, command[2:]))
        accept(Path(command[1]).relative_to(artefacts.ROOT), options)
        ran.append((name, options))
        work = Path(options[options.index("--work") + 1]) if "--work" in options else None
        outputs = {
            "generate_train_dict.py": [artefacts.TRAIN_DICT],
            "learn_LDA_model.py": [artefacts.BOW],
            "choose_topics.py": ["LDA/choose_topics.json", "LDA/choose_topics.png"],
        }
        for output in outputs.get(name, []):
            (work / output).parent.mkdir(parents=True, exist_ok=True)
            (work / output).write_text(" ".join(options))
        return child_process.Ended(0, 0)

    monkeypatch.setattr(script, "MADE", made)
    monkeypatch.setattr(script.child_process, "run", run)
    (made / script.TEXT_RESULTS).mkdir(parents=True)
    data = tmp_path / "books"
    shutil.copytree(retrieval_set, data / "Wikipedia")
    script.measure(retrieval_set, data, "", tmp_path / "labels.json")

    one = ["learn_LDA_model.py", "generate_train_labels.py"]
    corpus = [*one, *one, "generate_train_labels.py"]
    assert [name for name, _ in ran] == [
        *("text_to_text_retrieval.py", "text_to_text_retrieval.py", "generate_train_dict.py"),
        *(*corpus, *corpus, "label_distribution.py", "choose_topics.py", "choose_topics.py"),
    ]
    assert "learnt from the articles of books" in ran[1][1]
    learnt = [options for name, options in ran if name == "learn_LDA_model.py"]
    assert [o[o.index("--passes") + 1] for o in learnt] == ["1", "20", "1", "20"]
    assert learnt[0][2:6] == ["--data", str(retrieval_set.parent), "--collection", "Wikipedia"]
    labels = artefacts.training_labels()
    assert ran[-3][1][:-2] == [
        f"authors' ImageCLEF labels={tmp_path}/labels.json",
        *(f"wikipedia, passes {n}={made}/wikipedia-{n}/{labels}" for n in (1, 20)),
        f"wikipedia, passes 20, texts not learnt from={made}/wikipedia/{labels}",
        *(f"books, passes {n}={made}/books-{n}/{labels}" for n in (1, 20)),
        f"books, passes 20, texts not learnt from={made}/books/{labels}",
    ]
    for name in ("wikipedia", "books"):
        assert not (made / name / artefacts.BOW).exists()
        assert "--passes 20" in (made / f"{name}-20" / artefacts.BOW).read_text()
        for end in ("json", "png"):
            assert (made / script.TEXT_RESULTS / f"choose_topics_{name}.{end}").is_file()
    pairs = json_files.read(made / "wikipedia-1" / artefacts.TRAIN_DICT, "the test")
    assert len(pairs) == 2
    pairs = json_files.read(made / "wikipedia" / artefacts.TRAIN_DICT, "the test")
    assert pairs == {"images/war/i3.jpg": "texts/t3.xml"}


def test_the_first_script_that_fails_ends_it(script, monkeypatch):
    monkeypatch.setattr(script.child_process, "run", lambda _: child_process.Ended(4, 0))
    with pytest.raises(script.Failed) as caught:
        script.run("LDA/choose_topics.py")
    assert caught.value.args == (4,)
