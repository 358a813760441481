"""After any change, a second run in a work folder leaves the bytes of a run in a new one."""

import bz2
import json
import os
import shutil
import sys

import cv2
import numpy as np
import pytest

from texttopicnet import artefacts, article_files, json_files, token_rows
from texttopicnet.errors import UserError
from texttopicnet.token_store import TokenStore

MADE = (
    "dictionary.dict",
    "bow.mm",
    "bow.mm.index",
    "ldamodel2.lda",
    "ldamodel2.lda.state",
    "training_labels2.json",
)
WORDS = ["piano", "violin", "harbour", "castle", "glacier", "volcano", "guitar", "museum"]


def sentence(seed, count=60):
    return " ".join(np.random.default_rng(seed).choice(WORDS, count))


class Work:
    """A work folder, and the first three stages as functions that run in it."""

    def __init__(self, scripts, monkeypatch, data, work):
        self.scripts, self.monkeypatch, self.data, self.work = scripts, monkeypatch, data, work

    def run(self, script, *arguments):
        command = [
            "x",
            "--data",
            str(self.data),
            "--work",
            str(self.work),
            "--workers",
            "1",
            *map(str, arguments),
        ]
        self.monkeypatch.setattr(sys, "argv", command)
        assert self.scripts[script].main() == 0

    def pair(self, *arguments):
        self.run("generate_train_dict", *arguments)

    def learn(self, *arguments):
        self.run(
            "learn_LDA_model", "--topics", "2", "--no-below", "1", "--no-above", "1", *arguments
        )

    def label(self, *arguments):
        self.run("generate_train_labels", "--topics", "2", *arguments)

    def __getitem__(self, name):
        return (self.work / "LDA" / name).read_bytes()

    def assert_equal(self, other):
        for name in MADE:
            assert self[name] == other[name], name


@pytest.fixture(scope="module")
def scripts(load_script):
    names = ("generate_train_dict", "learn_LDA_model", "generate_train_labels")
    return {name: load_script(f"LDA/{name}.py") for name in names}


@pytest.fixture
def work_in(scripts, monkeypatch, tmp_path):
    return lambda name: Work(scripts, monkeypatch, tmp_path / "data", tmp_path / name)


# -------------------------------------------------------------------------------- articles in files
@pytest.fixture
def articles(tmp_path):
    """The folder of six articles and seven images."""
    folder = tmp_path / "data/ImageCLEF_Wikipedia/text"
    folder.mkdir(parents=True)
    for i in range(6):
        (folder / str(i)).write_text(sentence(i))
    for name in ("used", "fresh"):
        pairs = {f"images/{i}.jpg": f"text/{i}" for i in range(6)} | {"images/6.jpg": "text/2"}
        json_files.write(tmp_path / name / artefacts.TRAIN_DICT, pairs)
    return folder


@pytest.fixture
def used(articles, work_in):
    """A work folder in which a model and labels were made."""
    work = work_in("used")
    work.learn()
    work.label()
    return work


def test_an_article_is_edited_before_labels_are_made(used, articles, work_in, capsys):
    """Making labels refreshes the tokens; the next learning must still notice the change."""
    (articles / "3").write_text(sentence(99))
    capsys.readouterr()
    used.label("--force")
    said = capsys.readouterr().out
    assert (
        f"{used.work / 'LDA/ldamodel2.lda'} was learnt from other articles, or from other texts"
        " of them" in said
    )
    used.learn("--force")
    assert "exist already" not in capsys.readouterr().out
    used.label("--force")
    assert "was learnt from other articles" not in capsys.readouterr().out
    fresh = work_in("fresh")
    fresh.learn()
    fresh.label()
    used.assert_equal(fresh)


@pytest.mark.parametrize(
    "change",
    ["edited", "same size and time", "replaced by a rename", "other images", "renamed article"],
)
def test_a_model_of_another_number_of_topics_sees_every_change(
    used, articles, work_in, tmp_path, capsys, change
):
    """Without --force, the bags are reused only if they are those of the current articles."""
    path = articles / "3"
    if change == "edited":
        path.write_text(sentence(99))
    elif change == "same size and time":
        status = path.stat()
        path.write_text(path.read_text()[::-1])
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    elif change == "replaced by a rename":
        (articles / "new").write_text(sentence(98))
        (articles / "new").replace(path)
    else:
        pairs = json.loads(used["train_dict_ImageCLEF_Wikipedia.json"])
        if change == "other images":
            pairs["images/6.jpg"] = "text/3"
        else:
            path.rename(articles / "3b")
            pairs["images/3.jpg"] = "text/3b"
        for name in ("used", "fresh"):
            json_files.write(tmp_path / name / artefacts.TRAIN_DICT, pairs)
    capsys.readouterr()
    used.learn("--topics", "3")
    assert "exist already" not in capsys.readouterr().out
    fresh = work_in("fresh")
    fresh.learn("--topics", "3")
    for name in ("dictionary.dict", "bow.mm", "ldamodel3.lda", "ldamodel3.lda.state"):
        assert used[name] == fresh[name], name


def test_a_model_that_is_older_than_the_dictionary_is_reported(used, articles, capsys):
    """The dictionary was rebuilt for another number of topics, with the same words; the first
    model's record shows it.
    """
    (articles / "3").write_text(sentence(99))
    used.learn("--topics", "3")
    capsys.readouterr()
    used.label("--force")
    assert (
        "ldamodel2.lda was learnt from other articles, or from other texts of them"
        in capsys.readouterr().out
    )


def test_without_a_change_the_bags_are_reused(used, capsys):
    capsys.readouterr()
    used.learn("--topics", "3")
    assert (
        "dictionary.dict and bow.mm exist already, made from the same articles"
        in capsys.readouterr().out
    )


@pytest.mark.parametrize("name", ["dictionary.dict", "bow.mm", "bow.mm.index"])
def test_bags_of_another_program_are_not_reused(used, work_in, name):
    path = used.work / "LDA" / name
    path.write_bytes(path.read_bytes()[:-20] if name == "bow.mm" else b"x")
    used.learn("--topics", "3")
    fresh = work_in("fresh")
    fresh.learn("--topics", "3")
    for made in ("dictionary.dict", "bow.mm", "bow.mm.index", "ldamodel3.lda"):
        assert used[made] == fresh[made], made


def test_force_rebuilds_dictionary_and_bags(used):
    before = (used.work / artefacts.BOW).stat().st_mtime_ns
    used.learn("--force")
    assert (used.work / artefacts.BOW).stat().st_mtime_ns > before


def test_an_interrupted_filling_of_the_store(used, articles, work_in, monkeypatch):
    """The run stops after some of the edited articles; the next one preprocesses the rest."""
    for i in (1, 3, 5):
        (articles / str(i)).write_text(sentence(90 + i))
    monkeypatch.setattr(article_files, "GROUP", 1)
    examine, seen = token_rows.text.examine, []

    def fail_at_the_second(data):
        seen.append(data)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return examine(data)

    monkeypatch.setattr(token_rows.text, "examine", fail_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        used.learn("--force")
    monkeypatch.setattr(token_rows.text, "examine", examine)
    used.learn("--force")
    used.label("--force")
    fresh = work_in("fresh")
    fresh.learn()
    fresh.label()
    used.assert_equal(fresh)


def test_a_checkpoint_of_other_texts_is_not_resumed(
    used, articles, work_in, scripts, monkeypatch, capsys
):
    """Only the order of an article's words changes; bags and dictionary do not show it."""
    training = scripts["learn_LDA_model"].topics.lda_training
    write = training.Checkpoint.write_if_due

    def always(self, lda, at):
        self.seconds = 0
        write(self, lda, at)
        raise KeyboardInterrupt

    monkeypatch.setattr(training.Checkpoint, "write_if_due", always)
    with pytest.raises(KeyboardInterrupt):
        used.learn("--force", "--passes", "3")
    assert (used.work / "LDA/ldamodel2.lda.checkpoint").is_file()
    monkeypatch.setattr(training.Checkpoint, "write_if_due", write)
    words = (articles / "3").read_text().split()
    (articles / "3").write_text(" ".join(reversed(words)))
    capsys.readouterr()
    used.learn("--force", "--passes", "3")
    assert (
        "ldamodel2.lda.checkpoint is of another corpus or other settings: learning from the"
        " beginning" in capsys.readouterr().err
    )
    fresh = work_in("fresh")
    fresh.learn("--passes", "3")
    assert used["ldamodel2.lda"] == fresh["ldamodel2.lda"]


def test_a_train_dict_that_names_the_folder_by_its_other_name(articles, work_in):
    articles.rename(articles.with_name("_text"))
    work = work_in("fresh")
    work.learn()
    work.label()
    with TokenStore(work.work) as store:
        assert len(store.tokens("text/0")) == 60


# ---------------------------------------------------------------------------------------- of a dump
def dump_of(pages):
    rows = "".join(
        f"<page><title>Page {number}</title><ns>0</ns><id>{number}</id>"
        f"<revision><text>{text}</text></revision></page>\n"
        for number, text in pages.items()
    )
    return f'<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/">\n{rows}</mediawiki>\n'.encode()


FIRST = {number: sentence(number) for number in range(1, 7)}


@pytest.fixture
def dumps(tmp_path):
    """write(pages): the options that name the dump; one image per page is in the collection."""
    image = cv2.imencode(".jpg", np.full((256, 256, 3), 90, np.uint8))[1].tobytes()
    folder = tmp_path / "data/ImageCLEF_Wikipedia/images/x"
    folder.mkdir(parents=True)
    names = [f"images/x/{number}#a.jpg" for number in range(1, 9)]
    for name in names:
        (folder / name[9:]).write_bytes(image)
    (tmp_path / "list.json").write_text(json.dumps(names))
    path = tmp_path / "wiki.xml.bz2"

    def write(pages, data=None):
        path.write_bytes(bz2.compress(dump_of(pages)) if data is None else data)
        return "--dump", path, "--images", tmp_path / "list.json"

    return write


CHANGED = FIRST | {2: " ".join(reversed(FIRST[2].split())), 5: sentence(55)}
LACKS = {number: text for number, text in CHANGED.items() if number != 4} | {
    7: sentence(7),
    6: "too short now",
}


@pytest.mark.parametrize("second", [CHANGED, LACKS], ids=["same pages", "pages lack"])
def test_another_dump_replaces_the_first(dumps, work_in, second):
    used, fresh = work_in("used"), work_in("fresh")
    options = dumps(FIRST)
    used.pair(*options)
    used.learn()
    used.label()
    dumps(second)
    used.pair(*options, "--force")
    assert set(json.loads(used["train_dict_ImageCLEF_Wikipedia.json"]).values()) == {
        str(number) for number, text in second.items() if len(text.split()) >= 50
    }
    used.learn("--force")
    used.label("--force")
    fresh.pair(*options)
    fresh.learn()
    fresh.label()
    used.assert_equal(fresh)


def test_a_dump_of_the_same_size_and_time(dumps, work_in, tmp_path):
    used, fresh = work_in("used"), work_in("fresh")
    options = dumps(None, dump_of(FIRST))
    path, status = options[1], options[1].stat()
    used.pair(*options)
    used.learn()
    swapped = FIRST | {1: FIRST[1].replace("piano", "organs").replace("violin", "fiddle")}
    swapped[1] = (swapped[1] + " " * 99)[: len(FIRST[1])]
    dumps(None, dump_of(swapped))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size
    used.pair(*options, "--force")
    used.learn("--force")
    used.label()
    fresh.pair(*options)
    fresh.learn()
    fresh.label()
    used.assert_equal(fresh)


def test_pages_are_not_used_until_a_dump_was_read_as_a_whole(dumps, work_in):
    """The second dump ends early: the train dict is the first one's, the pages are of both."""
    used, fresh = work_in("used"), work_in("fresh")
    options = dumps(FIRST)
    used.pair(*options)
    used.learn()
    whole = dump_of(LACKS)
    dumps(None, bz2.compress(whole[: whole.index(b"<title>Page 7")]))
    with pytest.raises(UserError, match="ends early or is damaged"):
        used.pair(*options, "--force")
    for stage in (used.learn, used.label):
        with pytest.raises(
            UserError,
            match=(
                "the page 1 comes from a dump that was not read to its end: read the dump again"
                " with python"
            ),
        ):
            stage("--force")
    dumps(LACKS)
    used.pair(*options, "--force")
    used.learn("--force")
    used.label("--force")
    fresh.pair(*options)
    fresh.learn()
    fresh.label()
    used.assert_equal(fresh)


def test_a_dump_that_could_not_be_paired_is_not_used(dumps, work_in, monkeypatch, scripts):
    """Killed after the pages were stored, before the train dict was written."""
    used = work_in("used")
    options = dumps(FIRST)
    used.pair(*options)
    dumps(CHANGED)

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(json_files, "write", interrupt)
    with pytest.raises(KeyboardInterrupt):
        used.pair(*options, "--force")
    monkeypatch.undo()
    used.monkeypatch = monkeypatch
    with pytest.raises(UserError, match="from a dump that was not read to its end"):
        used.learn()


def test_a_train_dict_of_a_dump_without_its_store(dumps, work_in):
    used = work_in("used")
    options = dumps(FIRST)
    used.pair(*options)
    (used.work / artefacts.TOKENS).unlink()
    with pytest.raises(
        UserError,
        match=(
            "the page 1 is missing or damaged: read the dump again with python LDA/generate_train"
        ),
    ):
        used.learn()
    used.pair(*options, "--force")
    used.learn()


def test_the_errors_of_a_dump_name_its_files(dumps, work_in, tmp_path):
    used = work_in("used")
    options = dumps({1: "too short"})
    with pytest.raises(UserError) as caught:
        used.pair(*options)
    assert str(caught.value) == (
        f"no usable image: are the images that {tmp_path / 'list.json'} lists in"
        f" {tmp_path / 'data/ImageCLEF_Wikipedia'}, and their articles in"
        f" {tmp_path / 'wiki.xml.bz2'}?"
    )
    shutil.rmtree(tmp_path / "data")
    with pytest.raises(UserError, match=r"no usable image: are the images that .*list.json lists"):
        used.pair(*options)
