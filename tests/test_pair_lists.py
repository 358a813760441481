"""Corpora as a list of images and texts: its formats, its bad rows, and the stages that follow."""

import json
import sys

import cv2
import lmdb
import numpy as np
import pytest

from caffe.proto import caffe_pb2
from texttopicnet import artefacts, pair_lists
from texttopicnet.counts import Tally
from texttopicnet.errors import UserError
from texttopicnet.pair_lists import Entry
from texttopicnet.token_store import TokenStore


def read(folder, name, content):
    """The entries of a list, and the lines about the rows that were left out."""
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    left_out = Tally()
    return list(pair_lists.entries(path, left_out)), left_out.lines()


TWO = [Entry("a.jpg", "texts/a.txt", "", None), Entry("b/b.png", "texts/b.txt", "", None)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("l.csv", "image,text_file\na.jpg,texts/a.txt\nb/b.png,texts/b.txt\n"),
        ("l.csv", "Image ; TEXT_FILE\r\na.jpg;texts/a.txt\r\nb/b.png; texts/b.txt"),
        ("l.tsv", "text_file\timage\ntexts/a.txt\ta.jpg\ntexts/b.txt\tb/b.png\n"),
        ("l.CSV", '"image"|"text_file"\n"a.jpg"|"texts/a.txt"\n\n"b/b.png"|"texts/b.txt"\n'),
        ("l.csv", "\ufeffimage,text_file\n./a.jpg,texts//a.txt\nb\\b.png,texts/./b.txt\n"),
        (
            "l.csv",
            "image,text_file\na.jpg,texts/a.txt\nb/b.png,texts/b.txt\n".encode("utf-16"),
        ),
        (
            "l.json",
            '[{"image": "a.jpg", "text_file": "texts/a.txt"},'
            ' {"text_file": "texts/b.txt", "image": "b/b.png", "more": {"x": [1]}}]',
        ),
        (
            "l.json",
            '\ufeff[{"image": "a.jpg", "text_file": "texts/a.txt", "id": null},'
            '{"image": "b/b.png", "text_file": "texts/b.txt"}]',
        ),
        (
            "l.jsonl",
            '{"image": "a.jpg", "text_file": "texts/a.txt"}\n\n'
            '{"image": "b/b.png", "text_file": "texts/b.txt"}\n',
        ),
    ],
)
def test_the_formats(tmp_path, name, content):
    assert read(tmp_path, name, content) == (TWO, [])


def test_the_example_of_the_readme(tmp_path):
    text = (artefacts.ROOT / "data" / "README.md").read_text("utf-8")
    example = text.partition("```\nimage,")[2].partition("```")[0]
    (harbour, violin), lines = read(tmp_path, "l.csv", f"image,{example}")
    assert harbour == Entry("photos/harbour.jpg", "texts/harbour.txt", "", None)
    assert violin.text == 'A violin has four strings, "G, D, A and E".'
    assert (violin.title, lines) == ("The violin", [])


def test_a_path_below_the_lists_folder_may_be_absolute(tmp_path):
    found, _ = read(tmp_path, "l.csv", f"image,text_file\n{tmp_path}/a.jpg,{tmp_path}/t/a.txt\n")
    assert found == [Entry("a.jpg", "t/a.txt", "", None)]


def test_texts_in_the_list_keep_quotes_delimiters_and_lines(tmp_path):
    content = 'image,title,text\na.jpg,"A, B","one, ""two""\nthree"\nb.jpg,,plain\n'
    (first, second), lines = read(tmp_path, "l.csv", content)
    assert first.text == 'one, "two"\nthree'
    assert (first.title, second.title, second.text) == ("A, B", "", "plain")
    assert first.article.startswith("#")
    assert len(first.article) == 33
    assert lines == []


def test_equal_texts_are_one_article_and_an_id_shares_a_text(tmp_path):
    rows = [
        {"image": "1.jpg", "text": "piano"},
        {"image": "2.jpg", "text": "piano"},
        {"image": "3.jpg", "text": "violin", "id": 7},
        {"image": "4.jpg", "id": "7"},
        {"image": "5.jpg", "text": "violin", "id": "7"},
        {"image": "6.jpg", "text": "harp", "id": "7"},
    ]
    found, lines = read(tmp_path, "l.json", json.dumps(rows))
    articles = [entry.article for entry in found]
    assert articles[0] == articles[1] != articles[2]
    assert articles[2:] == ["#7"] * 3
    assert [entry.text for entry in found] == ["piano", "piano", "violin", None, "violin"]
    (line,) = lines
    assert line.startswith("1 row (another text than an earlier row with the same id): ")
    assert line.endswith("l.json, entry 6")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"text": "x"}, "has no image"),
        ({"image": "a.jpg"}, "has no text"),
        ({"image": "a.jpg", "text": " \n"}, "has no text"),
        ({"image": "a.jpg", "text": "x", "text_file": "a.txt"}, "has both a text and a text_file"),
        ({"image": 5, "text": "x"}, "its image is not a string"),
        ({"image": "a.jpg", "text": ["x"]}, "its text is not a string"),
        ({"image": "../a.jpg", "text": "x"}, "image: its name leads out of the collection"),
        ({"image": "/etc/a.jpg", "text": "x"}, "image: its name leads out of the collection"),
        ({"image": "C:\\a.jpg", "text": "x"}, "image: its name leads out of the collection"),
        ({"image": "a.jpg", "text_file": "/etc/passwd"}, "text_file: its name leads out"),
        ({"image": "a.jpg", "text_file": "b\\..\\..\\c"}, "text_file: its name leads out"),
        ({"image": "a\0.jpg", "text": "x"}, "image: its name holds a NUL character"),
        ({"image": "a.jpg", "text": "x", "id": "a/../../b"}, "its id is not a name"),
        ({"image": "a.jpg", "text": "x", "id": "i" * 201}, "its id is not a name"),
        (["a.jpg", "x"], "not an object with the keys image and text"),
        ("a.jpg", "not an object with the keys image and text"),
    ],
)
@pytest.mark.parametrize("name", ["l.json", "l.jsonl"])
def test_a_bad_row_is_left_out_with_its_reason(tmp_path, name, row, reason):
    rows = [row, {"image": "good.jpg", "text": "good"}]
    text = json.dumps(rows) if name == "l.json" else "\n".join(map(json.dumps, rows))
    found, lines = read(tmp_path, name, text)
    assert [entry.image for entry in found] == ["good.jpg"]
    (line,) = lines
    assert line.startswith(f"1 row ({reason}")
    assert line.endswith(f"{name}, {'entry' if name == 'l.json' else 'line'} 1")


def test_a_surrogate_is_not_utf_8(tmp_path):
    found, lines = read(tmp_path, "l.jsonl", '{"image": "\\ud800.jpg", "text": "x"}')
    assert not found
    assert lines[0].startswith("1 row (image: its name is not UTF-8)")


def test_bad_rows_of_csv_are_counted_with_their_lines(tmp_path):
    content = (
        b'image,text\na.jpg,one, two\nb.jpg,"x"y\nc.jpg\nd\xff.jpg,x\ne.jpg,caf\xe9\nf.jpg,ok\n'
    )
    found, lines = read(tmp_path, "l.csv", content)
    assert [entry.image for entry in found] == ["e.jpg", "f.jpg"]
    where = tmp_path / "l.csv"
    assert lines == [
        f"1 row (has no text): {where}, line 4",
        f"1 row (image: its name is not UTF-8): {where}, line 5",
        f"1 row (more fields than columns: a text with a delimiter needs quotes): {where}, line 2",
        f"1 row (not a row of CSV): {where}, line 3",
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("l.txt", "image,text\n", "--pairs takes a list named .csv, .tsv, .json or .jsonl"),
        ("l.csv", "", "its first row, '', does not name the columns"),
        ("l.csv", "a.jpg,piano\n", "its first row, 'a.jpg,piano', does not name the columns"),
        ("l.csv", "image,text,text\n", "does not name the columns, each of them once"),
        ("l.csv", b"\x89PNG\r\n\x1a\n\0\0", "does not name the columns"),
        (
            "l.csv",
            'image,text\na.jpg,"never\nclosed\n',
            "line 2 opens a quote that is never closed",
        ),
        ("l.csv", "image,text\na.jpg," + "x" * 300, "line 2 has more than 200 characters"),
        ("l.json", '{"image": "a.jpg"}', "is not a JSON list of objects"),
        ("l.json", '[{"image": "a.jpg", "text": "x"}, {"image"', "is not valid JSON in UTF-8"),
        ("l.json", '[{"image": "a.jpg", "text": "x"}, {"image"', "after entry 1"),
        ("l.json", b'[{"image": "\xff"}]', "is not valid JSON in UTF-8"),
        ("l.json", "[" * 200, "nested more than 100 levels deep"),
    ],
)
def test_a_list_that_cannot_be_read_is_one_sentence(tmp_path, monkeypatch, name, content, message):
    monkeypatch.setattr(pair_lists, "LONGEST", 200)
    with pytest.raises(UserError) as caught:
        read(tmp_path, name, content)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_a_missing_list_or_a_folder(tmp_path):
    (tmp_path / "d.csv").mkdir()
    for name in ("none.csv", "d.csv"):
        with pytest.raises(UserError, match=f"{name}: cannot be read"):
            list(pair_lists.entries(tmp_path / name, Tally()))


# ------------------------------------------------------------------------------- the chain after it
WORDS = {
    "music": "piano violin melody orchestra",
    "sport": "football stadium goal player",
}


@pytest.fixture
def corpus(tmp_path):
    """Eight drawn images: text in files for the sport, in the list for the music."""
    folder = tmp_path / "my corpus"
    (folder / "pictures").mkdir(parents=True)
    rows = ["image;title;text;text_file"]
    for i in range(8):
        theme = ("music", "sport")[i % 2]
        ending = "png" if i == 2 else "jpg"
        picture = np.full((40, 48, 3), (250 * (i % 2), 40, 20 * i), np.uint8)
        cv2.imwrite(str(folder / "pictures" / f"{i}.{ending}"), picture)
        text = " ".join([WORDS[theme]] * (i + 2))
        if theme == "music":
            rows.append(f'pictures/{i}.{ending};Music {i};"{text}";')
        else:
            (folder / f"{i}.txt").write_text(text)
            rows.append(f"pictures/{i}.{ending};;;{i}.txt")
    (folder / "list.csv").write_text("\n".join(rows))
    return folder


@pytest.fixture
def run(load_script, monkeypatch, tmp_path):
    """run("LDA/x.py", ...): run a script in tmp_path/work; it must succeed."""

    def run(script, *arguments):
        command = [script, "--work", str(tmp_path / "work"), *map(str, arguments)]
        monkeypatch.setattr(sys, "argv", command)
        assert not load_script(script).main()
        return tmp_path / "work"

    return run


PAIR = ("LDA/generate_train_dict.py", "--smallest-side", "32", "--workers", "1", "--pairs")


def test_from_a_list_to_the_lmdbs(corpus, run, capsys):
    work = run(*PAIR, corpus / "list.csv")
    assert capsys.readouterr().out.splitlines()[-1].endswith(f"--collection {corpus}")
    pairs = json.loads((work / artefacts.TRAIN_DICT).read_text())
    assert list(pairs) == [f"pictures/{i}.{'png' if i == 2 else 'jpg'}" for i in range(8)]
    assert [pairs[f"pictures/{i}.jpg"] for i in (1, 3, 5, 7)] == [f"{i}.txt" for i in (1, 3, 5, 7)]
    with TokenStore(work) as store:
        article = pairs["pictures/0.jpg"]
        assert store.tokens(article) == WORDS["music"].split() * 2
        assert store.opening(article) == ("Music 0", " ".join([WORDS["music"]] * 2))
    common = ("--collection", corpus, "--topics", "2", "--workers", "1")
    limits = ("--no-below", "1", "--no-above", "1", "--passes", "20")
    run("LDA/learn_LDA_model.py", *common, *limits)
    run("LDA/generate_train_labels.py", *common)
    labels = json.loads((work / artefacts.training_labels(2)).read_text())
    assert list(labels) == list(pairs)
    themes = [np.argmax(vector) for vector in labels.values()]
    assert themes == themes[:2] * 4  # music and sport, in turn
    assert themes[0] != themes[1]
    run("CNN/create_lmdb.py", *common, "--size", "32")
    folder = work / "CNN" / "CaffeNet"
    with (
        lmdb.open(str(folder / "train_images_lmdb"), readonly=True, lock=False) as database,
        database.begin() as transaction,
    ):
        records = list(transaction.cursor())
    assert len(records) == 8
    for key, value in records:
        i = int(key.decode().partition("pictures/")[2].partition(".")[0])
        data = caffe_pb2.Datum.FromString(value).data
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        assert picture.shape == (32, 32, 3)
        assert abs(picture.mean((0, 1)) - (250 * (i % 2), 40, 20 * i)).max() < 4


def test_bad_files_of_a_list_are_left_out_by_reason(corpus, run, capsys):
    extra = [
        "pictures/0.jpg;;again;",
        "pictures/none.jpg;;text;",
        "pictures/small.png;;text;",
        "list.csv;;text;",
        "pictures/1.png;;;none.txt",
        "pictures/2.png.jpg;;;pictures",
    ]
    cv2.imwrite(str(corpus / "pictures" / "small.png"), np.zeros((31, 90, 3), np.uint8))
    for name in ("1.png", "2.png.jpg"):
        (corpus / "pictures" / name).write_bytes((corpus / "pictures" / "0.jpg").read_bytes())
    with open(corpus / "list.csv", "a") as file:
        file.write("\n" + "\n".join(extra))
    work = run(*PAIR, corpus / "list.csv")
    assert len(json.loads((work / artefacts.TRAIN_DICT).read_text())) == 8
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("left out")]
    assert lines == [
        "left out: 1 image (image cannot be decoded): list.csv",
        "left out: 1 image (image file is missing): pictures/none.jpg",
        "left out: 1 image (smaller than 32 pixels): pictures/small.png",
        "left out: 1 image (text cannot be read: Is a directory): pictures/2.png.jpg",
        "left out: 1 image (text file is missing): pictures/1.png",
        "left out: 1 image (the image is in the list already): pictures/0.jpg",
    ]


def test_an_id_without_any_text_is_left_out(corpus, run, capsys):
    rows = [{"image": "pictures/0.jpg", "id": "a"}, {"image": "pictures/1.jpg", "text": "piano"}]
    (corpus / "l.json").write_text(json.dumps(rows))
    run(*PAIR, corpus / "l.json")
    assert "left out: 1 image (no row with its id has a text): pictures/0.jpg" in (
        capsys.readouterr().out
    )


def test_texts_are_tokenized_again_only_where_they_have_changed(corpus, run, monkeypatch):
    from texttopicnet import token_rows

    run(*PAIR, corpus / "list.csv")
    examine, seen = token_rows.text.examine, []

    def watched(data):
        seen.append(data.decode())
        return examine(data)

    monkeypatch.setattr(token_rows.text, "examine", watched)
    path = corpus / "list.csv"
    path.write_text(path.read_text().replace(WORDS["music"], "harp " + WORDS["music"], 1))
    work = run(*PAIR, path, "--force")
    assert len(seen) == 1
    assert seen[0].startswith("harp ")
    with TokenStore(work) as store:  # the old text is gone
        count = store._database.execute("SELECT count(*) FROM articles").fetchone()[0]
        assert count == 4


def test_a_lost_token_store_is_one_sentence_with_the_command(corpus, run):
    work = run(*PAIR, corpus / "list.csv")
    (work / artefacts.TOKENS).unlink()
    with pytest.raises(
        UserError,
        match=r"the text #\w{32} is missing or damaged: read the list again with python"
        r" LDA/generate_train_dict.py --pairs FILE --force",
    ):
        run("LDA/learn_LDA_model.py", "--collection", corpus, "--topics", "2", "--workers", "1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--pairs", "l.csv", "--dump", "d", "--images", "i"), "--pairs and --dump are two kinds"),
        (("--smallest-side", "9"), "--smallest-side goes with --pairs"),
    ],
)
def test_options_that_do_not_go_together(run, arguments, message):
    with pytest.raises(UserError, match=message):
        run("LDA/generate_train_dict.py", *arguments)


def test_the_whole_chain_takes_a_list(load_script, corpus, accept):
    """Every stage that reads the corpus gets the list's folder as its collection."""
    chain = load_script("scripts/chain.py")
    given = chain.parser().parse_args(["--pairs", str(corpus / "list.csv")])
    settings = chain.settings(given)
    assert settings.work == artefacts.ROOT / "work" / "my corpus"
    assert settings.note.startswith("trained on my corpus: 40 topics")
    stages = chain.table(settings)
    for stage in stages[:4]:
        at = stage.arguments.index("--collection")
        assert stage.arguments[at + 1] == str(corpus)
        accept(f"{'CNN' if stage.number == 4 else 'LDA'}/{stage.script[3:]}.py", stage.arguments)
    assert stages[0].arguments[-2:] == ["--pairs", str(corpus / "list.csv")]
