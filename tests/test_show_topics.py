"""The top words of every topic of the saved model, and the page with their images and articles."""

import base64
import importlib.util
import os
import pickle
import re
import subprocess
import sys

import cv2
import numpy as np
import pytest
import topic_models
from gensim.corpora import Dictionary
from lxml import html

from texttopicnet import artefacts, json_files, token_rows
from texttopicnet.errors import UserError
from texttopicnet.token_store import TokenStore
from texttopicnet.topics import TopicModel

SCRIPT = artefacts.ROOT / "LDA/show_topics.py"
WORDS = ["cannon", "goal", "piano", "violin"]
LABELS = {  # a and b are about topic 1, c about topic 0; a has three images
    "images/a1.jpg": [0.1, 0.9],
    "images/a2.jpg": [0.1, 0.9],
    "images/a3.jpg": [0.1, 0.9],
    "images/b.jpg": [0.0, 0.5],
    "images/c.jpg": [0.75, 0.25],
}
ARTICLES = {
    "text/a": "'''Cannons & <b>battles</b>'''\n[[Cannon|Cannons]] stand in a row.",
    "text/b": "<document>\n&lt;script&gt;alert(1)&amp;lt;/script&gt;Goals\n"
    + "goal after goal " * 50,
    "text/c": "A first line that is too long to be anything like the title of an article in an"
    " encyclopedia of music",
}


@pytest.fixture
def work(tmp_path):
    """A model of two topics whose word counts are set by hand."""
    dictionary = Dictionary([WORDS])
    model = TopicModel.learn(dictionary, [[(0, 1)]], 2, workers=1)
    counts = {"cannon": (1, 6), "goal": (0, 3), "piano": (5, 1), "violin": (4, 0)}  # of 10 each
    model.lda.state.sstats[...] = np.array([counts[dictionary[i]] for i in range(4)]).T
    model.lda.state.eta = np.zeros_like(model.lda.state.eta)  # topics are the counts alone
    topic_models.save(model, tmp_path)
    return tmp_path


@pytest.fixture
def collection(work):
    """Labels, articles and images beside the model; images are of one colour and twice as wide as
    high, c's wider.
    """
    folder = work / "data" / "ImageCLEF_Wikipedia"
    (folder / "images").mkdir(parents=True)
    (folder / "text").mkdir()
    for name, text in ARTICLES.items():
        (folder / name).write_text(text)
    for i, name in enumerate(LABELS):
        pixels = np.full((300, 600 if name != "images/c.jpg" else 1500, 3), 20 + 40 * i, np.uint8)
        cv2.imwrite(str(folder / name), pixels)
    json_files.write(work / artefacts.training_labels(2), LABELS)
    json_files.write(work / artefacts.TRAIN_DICT, {image: f"text/{image[7]}" for image in LABELS})
    return folder


@pytest.fixture
def show(work, monkeypatch, capsys):
    """show(...): the lines the script printed."""
    spec = importlib.util.spec_from_file_location("script", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)

    def show(*arguments):
        command = [
            "x",
            "--work",
            str(work),
            "--data",
            str(work / "data"),
            "--topics",
            "2",
            *arguments,
        ]
        monkeypatch.setattr(sys, "argv", command)
        assert script.main() == 0
        return capsys.readouterr().out.splitlines()

    return show


@pytest.fixture
def page(show, work):
    """page(...): the page as a tree."""

    def page(*arguments):
        show(*arguments)
        return html.fromstring((work / "LDA" / "topics.html").read_text())

    return page


def test_most_probable_words_first_with_their_probabilities(work):
    command = [sys.executable, str(SCRIPT), "--work", str(work), "--topics", "2", "--words", "3"]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "topic 0: piano 0.500, violin 0.400, cannon 0.100",
        "topic 1: cannon 0.600, goal 0.300, piano 0.100",
        f"page: {work / 'LDA' / 'topics.html'}",
    ]


def test_more_words_than_the_model_has(show):
    assert [line.count(",") for line in show()[:2]] == [3, 3]


def test_a_missing_model_is_one_sentence(work):
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--work", str(work)], cwd=work, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stdout == ""
    path = work / "LDA" / "ldamodel40.lda"
    assert (
        done.stderr
        == f"error: {path} does not exist: make it with python LDA/learn_LDA_model.py --topics 40\n"
    )


# ----------------------------------------------------------------------------------------- the page
def texts(tree, path):
    return [" ".join(found.text_content().split()) for found in tree.xpath(path)]


def pictures(section):
    """The thumbnails of a topic as arrays."""
    sources = section.xpath(".//img/@src")
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    data = [np.frombuffer(base64.b64decode(source.split(",")[1]), np.uint8) for source in sources]
    return [cv2.imdecode(d, cv2.IMREAD_COLOR) for d in data]


def test_topics_in_the_order_of_their_share(collection, page):
    # topic 0 has 3 * 0.1 + 0 + 0.75 = 1.05 of the sum 4.5 (an article counts once for each image),
    # topic 1 has 3.45
    tree = page()
    assert texts(tree, "//h2") == [
        "Topic 1 76.7 % of the corpus; the largest topic of 2 articles",
        "Topic 0 23.3 % of the corpus; the largest topic of 1 article",
    ]
    assert texts(tree, "//nav//span[@class='name']") == [
        "cannon, goal, piano",
        "piano, violin, cannon",
    ]
    assert tree.xpath("//nav//span[@class='fill']/@style") == ["width: 100.0%", "width: 30.4%"]


def test_words_with_bars_of_their_probability(collection, page):
    section = page("--words", "3").xpath("//section[@id='topic0']")[0]
    assert texts(section, ".//ol/li/span[@class='word']") == ["piano", "violin", "cannon"]
    assert texts(section, ".//ol/li/span[@class='number']") == ["0.500", "0.400", "0.100"]
    assert section.xpath(".//ol//span[@class='fill']/@style") == [
        "width: 100.0%",
        "width: 80.0%",
        "width: 20.0%",
    ]


def test_one_image_per_article_the_most_typical_first(collection, page):
    first, second = page().xpath("//section")
    assert first.xpath(".//img/@alt") == ["images/a1.jpg", "images/b.jpg", "images/c.jpg"]
    assert texts(first, ".//figcaption") == ["0.90", "0.50", "0.25"]
    assert second.xpath(".//img/@alt") == [
        "images/c.jpg",
        "images/a1.jpg",
    ]  # b has nothing of topic 0
    assert [picture.shape for picture in pictures(first)] == [
        (208, 416, 3)
    ] * 3  # c, five times as wide, is cropped
    assert [int(picture[100, 100, 0]) for picture in pictures(first)] == pytest.approx(
        [20, 140, 180], abs=3
    )
    assert len(page("--images", "1").xpath("//img")) == 2


def test_articles_with_their_openings(collection, page):
    first, _ = page().xpath("//section")
    assert texts(first, ".//ul/li/strong") == [
        "Cannons & battles",
        "alert(1)&lt;/script>Goals",
        "c",
    ]
    quotes = texts(first, ".//ul/li/q")
    assert quotes[0] == "Cannons stand in a row."
    assert quotes[2] == ARTICLES["text/c"]
    assert quotes[1].startswith("goal after goal")
    assert quotes[1].endswith(" …")
    assert len(quotes[1]) <= 182


def test_the_page_is_one_file_and_escapes_what_it_shows(collection, page, work):
    tree = page()
    assert tree.xpath("//link | //script | //iframe | //@onload") == []
    assert all(source.startswith("data:") for source in tree.xpath("//@src"))
    assert all(target.startswith("#topic") for target in tree.xpath("//@href"))
    raw = (work / "LDA" / "topics.html").read_text()
    assert not re.search(r"url\(|@import|</script>", raw)
    assert "alert(1)&amp;lt;/script&gt;Goals" in raw


def test_missing_images_are_replaced_by_others(collection, page):
    (collection / "images/a1.jpg").unlink()
    (collection / "images/b.jpg").write_bytes(b"no image")
    (collection / "text/a").unlink()
    first, _ = page().xpath("//section")
    assert first.xpath(".//img/@alt") == ["images/a2.jpg", "images/c.jpg"]
    assert texts(first, ".//ul/li/strong")[0] == "a"


def test_without_labels_a_page_of_words(page):
    tree = page()
    assert texts(tree, "//h2") == ["Topic 0", "Topic 1"]
    assert tree.xpath("//img") == []
    assert len(tree.xpath("//ol/li")) == 8


def test_the_page_elsewhere(collection, work, show, tmp_path):
    assert (
        show("--page", str(tmp_path / "new" / "page.html"))[-1]
        == f"page: {tmp_path / 'new' / 'page.html'}"
    )
    assert (tmp_path / "new" / "page.html").exists()
    assert not (work / "LDA" / "topics.html").exists()


def test_labels_of_other_images_are_refused(collection, work, show):
    json_files.write(work / artefacts.TRAIN_DICT, {"images/b.jpg": "text/b"})
    with pytest.raises(
        UserError,
        match=(
            r"other images than the train dict: 4 only in the labels, such as images/a1.jpg;"
            r" move it"
        ),
    ):
        show()
    json_files.write(
        work / artefacts.TRAIN_DICT, dict.fromkeys([*LABELS, "images/d.jpg"], "text/a")
    )
    with pytest.raises(
        UserError,
        match=(
            r"other images than the train dict: 1 only in the train dict, such as images/d.jpg;"
            r" move"
        ),
    ):
        show()
    both = {image: "text/a" for image in ["images/d.jpg", *LABELS] if image != "images/c.jpg"}
    json_files.write(work / artefacts.TRAIN_DICT, both)
    with pytest.raises(
        UserError,
        match=(
            r"1 only in the labels, such as images/c.jpg, 1 only in the train dict, such as"
            r" images/d"
        ),
    ):
        show()


def test_labels_in_another_order_get_another_sentence(collection, work, show):
    json_files.write(
        work / artefacts.TRAIN_DICT, {image: f"text/{image[7]}" for image in reversed(LABELS)}
    )
    with pytest.raises(
        UserError, match=r"training_labels2.json has the train dict's images in another order"
    ) as caught:
        show()
    assert "--force" not in str(caught.value)


def test_a_downloaded_model_is_shown_with_its_own_words(work, show, capsys):
    Dictionary([["an", "unfiltered", "dictionary"], WORDS]).save(str(work / artefacts.DICTIONARY))
    assert show("--words", "2")[0] == "topic 0: piano 0.500, violin 0.400"


def test_planted_code_is_refused_and_trusted(work, show, tmp_path):
    class Planted:
        def __reduce__(self):
            return open, (str(tmp_path / "ran"), "w")

    (work / artefacts.DICTIONARY).write_bytes(pickle.dumps(Planted()))
    with pytest.raises(
        UserError,
        match=r"dictionary.dict was not loaded: it asks for .*io.open, .* give --trust-pickle",
    ):
        show()
    assert not (tmp_path / "ran").exists()
    with pytest.raises(
        UserError, match=r"dictionary.dict or a file beside it is not a Dictionary of gensim's"
    ):
        show("--trust-pickle")
    assert (tmp_path / "ran").exists()


def test_articles_of_a_dump_begin_with_their_stored_opening(collection, work, page):
    with TokenStore(work) as store:
        stamp = f"{token_rows.PAGE} wiki.xml.bz2, 7 bytes"
        opening = "''Cannons'' are\nlarge " + "guns " * 100
        store.keep(
            [token_rows.Row("7", stamp, token_rows.packed(["cannon"]), [], "Cannon", opening)]
        )
    articles = {image: f"text/{image[7]}" for image in LABELS} | {"images/b.jpg": "7"}
    json_files.write(work / artefacts.TRAIN_DICT, articles)
    first, _ = page().xpath("//section")
    assert texts(first, ".//ul/li/strong")[1] == "Cannon"
    quote = texts(first, ".//ul/li/q")[1]
    assert quote.startswith("Cannons are large guns guns")
    assert quote.endswith(" …")


def test_nothing_outside_the_collection_is_shown(collection, show, work):
    """Only through a link can a train dict name such a file; any other name is refused."""
    secret = work / "secret"
    secret.write_text("a secret that must not be shown")
    cv2.imwrite(str(work / "secret.jpg"), np.full((300, 300, 3), 200, np.uint8))
    for place, target in (("text/a", secret), ("images/b.jpg", work / "secret.jpg")):
        (collection / place).unlink()
        (collection / place).symlink_to(target)
    os.mkfifo(collection / "text/fifo")
    (collection / "text/b").unlink()
    (collection / "text/b").symlink_to("fifo")
    show()
    page = (work / artefacts.TOPICS_PAGE).read_text()
    assert "secret" not in page
    assert "images/a1.jpg" in page
    assert "images/b.jpg" not in page
    for name in ("/etc/passwd", "../../secret"):
        json_files.write(
            work / artefacts.TRAIN_DICT,
            {image: f"text/{image[7]}" for image in LABELS} | {"images/c.jpg": name},
        )
        with pytest.raises(
            UserError,
            match=r"train_dict_ImageCLEF_Wikipedia.json: the article of an image, .*leads out",
        ):
            show()
