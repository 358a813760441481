"""The page: what it says about images, texts and topics, what it refuses, and the page in Chromium.

The corpus has two topics.  Articles about cannons have red images, articles about pianos blue ones,
and the net's weights are written by hand so that it tells red from blue.
"""

import json
import os
import re
import shutil
import socket
import struct
import sys
import urllib.error
import urllib.request
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import topic_models

import caffe
from texttopicnet import artefacts, json_files, retrieval, text
from texttopicnet.errors import UserError
from texttopicnet.token_store import TokenStore

SIDE = 9
DEPLOY = f"""
layer {{ name: "data" type: "Input" top: "data"
  input_param {{ shape {{ dim: 2 dim: 3 dim: {SIDE} dim: {SIDE} }} }} }}
layer {{ name: "mean" type: "Pooling" bottom: "data" top: "mean"
  pooling_param {{ pool: AVE global_pooling: true }} }}
layer {{ name: "fc8" type: "InnerProduct" bottom: "mean" top: "fc8"
  inner_product_param {{ num_output: 2 }} }}
layer {{ name: "prob" type: "Sigmoid" bottom: "fc8" top: "prob" }}
"""
WORDS = ["cannon", "goal", "piano", "violin"]
WAR, MUSIC = 0, 1
PROBABILITIES = [[0.6, 0.3, 0.05, 0.05], [0.06, 0.04, 0.5, 0.4]]  # of the words in the topics
TITLES = {"text/c1": "Cannons & <b>battles</b>", "text/c2": "Goals", "text/p1": "Pianos"}
ARTICLES = {
    "text/c1": "Cannons & <b>battles</b>\nA cannon, a cannon and a goal. <script>alert(1)</script>",
    "text/c2": "'''Goals'''\nA goal near a cannon, and a cannon near a goal.",
    "text/p1": "Pianos\nA piano, a violin and a piano.",
    "text/p2": "A violin, and " * 20 + "a piano.",  # a first line that is too long for a title
}
RED, BLUE = (20, 20, 250), (250, 20, 20)  # in BGR
IMAGES = {  # image: article, colour
    "images/red1.jpg": ("text/c1", RED),
    "images/red2.jpg": ("text/c1", (40, 30, 200)),
    "images/red3.png": ("text/c2", (60, 30, 190)),
    "images/blue1.jpg": ("text/p1", BLUE),
    "images/blue2.jpg": ("text/p2", (190, 60, 60)),
    "images/gone.jpg": ("text/p2", None),
}


def encoded(colour, kind=".png", size=(30, 40)):
    """An image file of one colour."""
    return cv2.imencode(kind, np.full((*size, 3), colour, np.uint8))[1].tobytes()


def png_header(width, height):
    """A PNG file that declares these sides and has no pixels."""

    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IEND", b"")


@pytest.fixture(scope="module")
def demo(load_script):
    return load_script("experiments/demo.py")


@pytest.fixture(scope="module")
def parts(load_script):
    """The parts of demo.py as modules: model, answers, page."""

    class Parts:
        load_script("experiments/feature_net.py")
        model = load_script("experiments/demo_model.py")
        answers = load_script("experiments/demo_answers.py")
        page = load_script("experiments/demo_page.py")

    return Parts


def save_weights(folder, scale):
    """Weights with which topic 0 is red, and topic 1 is blue; 0 for a net that sees nothing."""
    net = caffe.Net(str(folder / "deploy.prototxt"), caffe.TEST)
    net.params["fc8"][0].data[...] = np.float32([[-1, 0, 1], [1, 0, -1]]) * scale
    net.save(str(folder / "trained.caffemodel"))


@pytest.fixture(scope="module")
def made(tmp_path_factory, model_of):
    """A folder with the data and the work folder of a trained model."""
    folder = tmp_path_factory.mktemp("demo")
    collection, net = folder / "data" / "ImageCLEF_Wikipedia", folder / "work" / "CNN" / "Tiny"
    for path in (collection / "images", collection / "text", net):
        path.mkdir(parents=True)
    for name, words in ARTICLES.items():
        (collection / name).write_text(words)
    for name, (_, colour) in IMAGES.items():
        if colour:
            (collection / name).write_bytes(encoded(colour, Path(name).suffix))
    lda = model_of(PROBABILITIES, WORDS)
    topic_models.save(lda, folder / "work")
    tokens = {name: text.tokenize(words) for name, words in ARTICLES.items()}
    vectors = dict(zip(tokens, lda.topic_vectors(tokens.values()).tolist(), strict=True))
    assert vectors["text/c1"][WAR] > 0.7 < vectors["text/p1"][MUSIC]
    train_dict = {image: article for image, (article, _) in IMAGES.items()}
    json_files.write(folder / "work" / artefacts.TRAIN_DICT, train_dict)
    labels = {image: vectors[article] for image, article in train_dict.items()}
    json_files.write(folder / "work" / artefacts.training_labels(2), labels)
    (net / "deploy.prototxt").write_text(DEPLOY)
    save_weights(net, 0.01)
    return folder


@pytest.fixture
def copy(made, tmp_path):
    """A copy of it, to change."""
    shutil.copytree(made, tmp_path / "copy", ignore=shutil.ignore_patterns("topic_index*"))
    return tmp_path / "copy"


def arguments(demo, folder, *more):
    """The parsed command line."""
    options = ["--data", folder / "data", "--work", folder / "work", "--net", "Tiny", "--topics", 2]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["demo.py", *map(str, options), *more])
        return demo.parse()


@pytest.fixture(scope="module")
def loaded(demo, parts, made):
    """Answers of the model."""
    args = arguments(demo, made)
    with TokenStore(args.work) as store:
        answers = parts.answers.Answers(*parts.model.load(args), args.data / args.collection, store)
        answers.warm_up()
        yield answers


# ------------------------------------------------------------------------------------------------
# answers


def names(found):
    return [each.name for each in found]


def test_an_image(loaded):
    answer = loaded.of_image(encoded(RED))
    assert answer.message == ""
    assert [topic.number for topic in answer.topics] == [WAR, MUSIC]
    assert answer.topics[0].words == WORDS
    # sigmoid(2.13) and sigmoid(-2.13): the pixels are 250 - 122.7 and 20 - 104
    assert answer.topics[0].share == pytest.approx(1 / (1 + np.exp(-2.1133)), abs=1e-4)
    assert set(names(answer.articles)[:2]) == {"text/c1", "text/c2"}
    assert len(answer.articles) == 4
    assert names(answer.pictures)[:3] == ["images/red1.jpg", "images/red2.jpg", "images/red3.png"]
    assert len(answer.pictures) == 5  # the sixth image of the train dict does not exist


def test_its_distances_are_those_of_retrieval(loaded):
    answer = loaded.of_image(encoded(BLUE))
    outputs = loaded.predictor.of_image(np.full((30, 40, 3), BLUE, np.uint8))[None]
    index = loaded.index
    for found, scores, name in (
        (answer.articles, retrieval.divergences(index.articles, outputs)[:, 0], index.article),
        (answer.pictures, retrieval.divergences(outputs, index.images)[0], index.image),
    ):
        order = np.argsort(scores, kind="stable")
        assert names(found) == [name(row) for row in order]
        assert [each.distance for each in found] == scores[order].tolist()


def test_titles_and_snippets(loaded):
    articles = {each.name: each for each in loaded.of_image(encoded(BLUE)).articles}
    assert articles["text/p1"].title == "Pianos"
    assert articles["text/p1"].quote == "A piano, a violin and a piano."
    assert articles["text/p2"].title == "Article p2"
    assert articles["text/p2"].quote.startswith("A violin, and A violin, and")
    assert len(articles["text/p2"].quote) <= 220 + 2
    pictures = {each.name: each for each in loaded.of_image(encoded(BLUE)).pictures}
    assert pictures["images/blue1.jpg"].title == "Pianos"
    assert pictures["images/blue1.jpg"].uri.startswith("data:image/jpeg;base64,")


def test_a_text(loaded):
    answer = loaded.of_text("The violins, and a [[piano]]!")
    assert answer.topics[0].number == MUSIC
    assert answer.topics[0].words[0] == "piano"
    assert set(names(answer.pictures)[:2]) == {"images/blue1.jpg", "images/blue2.jpg"}
    assert answer.articles == []


def test_a_topic(loaded):
    answer = loaded.of_topic(MUSIC)
    assert answer.topics[0].words == ["piano", "violin", "cannon", "goal"]
    assert set(names(answer.articles)[:2]) == {"text/p1", "text/p2"}
    assert names(answer.pictures)[0] == "images/blue1.jpg"
    assert answer.pictures[0].distance is None
    by_share = loaded.by_share()
    assert [topic.number for topic in by_share] == [WAR, MUSIC]  # three of the five images
    assert sum(topic.share for topic in by_share) == pytest.approx(1)
    assert loaded.of_topic(2).message == "There is no topic 2."


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "Please type a text."),
        (None, "Please type a text."),
        (" \n ", "Please type a text."),
        ("cannon " * 20_000, "This text is too long. Please give at most 100,000 characters."),
        ("the xylophone", "The topic model knows none of these words."),
        ("{{", "The topic model knows none of these words."),
    ],
)
def test_texts_that_have_no_answer(loaded, words, message):
    answer = loaded.of_text(words)
    assert answer.message.startswith(message)
    assert answer == type(answer)(message=answer.message)  # and nothing else


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "Please choose an image."),
        (b"", "This file is not an image that can be read."),
        (b"\xff\xd8 nothing" * 9, "This file is not an image that can be read."),
        (encoded(RED)[:60], "This file is not an image that can be read."),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "This file is not an image"),
        (
            png_header(50_000, 50_000),
            "This image is too large: its header declares 50000 x 50000 pixels, more than"
            " 100,000,000.",
        ),
    ],
)
def test_files_that_have_no_answer(loaded, data, message):
    answer = loaded.of_image(data)
    assert answer.message.startswith(message)
    assert answer == type(answer)(message=answer.message)


def test_several_users_at_once(loaded):
    """The net has one set of blobs: each user must get the outputs of the own image."""
    rng = np.random.default_rng(0)
    files = [encoded(colour) for colour in rng.integers(0, 256, (24, 3))]
    alone = [loaded.of_image(data) for data in files]
    with ThreadPoolExecutor(8) as users:
        assert list(users.map(loaded.of_image, files)) == alone
    texts = ["cannon goal", "piano", "violin cannon"] * 4
    alone = [loaded.of_text(words) for words in texts]
    with ThreadPoolExecutor(8) as users:
        assert list(users.map(loaded.of_text, texts)) == alone


def test_a_link_out_of_the_corpus_is_not_followed(demo, parts, copy):
    """The link is made after the index."""
    args = arguments(demo, copy)
    found = parts.model.load(args)
    secret = copy / "secret.png"
    secret.write_bytes(encoded(BLUE))
    collection = args.data / args.collection
    for name, target in (("images/blue1.jpg", secret), ("text/p1", copy / "secret.txt")):
        (collection / name).unlink()
        (collection / name).symlink_to(target)
    (copy / "secret.txt").write_text("Secret\nA secret piano.")
    with TokenStore(args.work) as store:
        answer = parts.answers.Answers(*found, collection, store).of_image(encoded(BLUE))
    (picture,) = (each for each in answer.pictures if each.name == "images/blue1.jpg")
    assert (picture.uri, picture.title) == ("", "Article p1")
    assert "ecret" not in parts.page.Page.html(page_of(parts, answer), answer, "image")


def page_of(parts, answers):
    return parts.page.Page(answers)


def test_titles_and_quotes_are_escaped(parts, loaded):
    page = page_of(parts, loaded)
    html, _ = page.of_image(None)
    assert "Drop an image" in html
    html = page.html(loaded.of_image(encoded(RED)), "image", "of this image")
    assert "Cannons &amp; battles" in html or "Cannons &amp; &lt;b&gt;battles" in html
    answer = parts.answers.Answer(
        topics=[parts.answers.Topic(0, 1.0, ["<i>"])],
        articles=[parts.answers.Article("<b>", "<script>", '"onload="')],
        pictures=[parts.answers.Picture("", "<b>", '"><script>')],
        message="<b>",
    )
    for kind in ("image", "topic"):
        html = page.html(answer, kind)
        assert not {"<b>", "<i>", "<script>", '"onload="'} & set(html.split())
        assert not any(tag in html for tag in ("<b>", "<i>", "<script", '"onload'))


# ------------------------------------------------------------------------------------------------
# what it is made from


@pytest.mark.parametrize(
    ("name", "stage"),
    [
        (f"work/{artefacts.TRAIN_DICT}", "stage 1, scripts/01_generate_train_dict.sh"),
        (f"work/{artefacts.DICTIONARY}", "stage 2, scripts/02_learn_LDA_model.sh"),
        ("work/LDA/ldamodel2.lda", "stage 2, scripts/02_learn_LDA_model.sh"),
        ("work/LDA/training_labels2.json", "stage 3, scripts/03_generate_train_labels.sh"),
        ("work/CNN/Tiny/trained.caffemodel", "stage 5, scripts/05_train_cnn.sh"),
    ],
)
def test_a_missing_file(demo, parts, copy, name, stage):
    (copy / name).unlink()
    with pytest.raises(UserError) as caught:
        parts.model.load(arguments(demo, copy))
    assert str(caught.value) == f"{copy / name} does not exist: make it with {stage}"


def test_missing_data(demo, parts, copy):
    (copy / "data" / "ImageCLEF_Wikipedia").rename(copy / "elsewhere")
    with pytest.raises(UserError, match=r"Wikipedia does not exist: data/README.md says how"):
        parts.model.load(arguments(demo, copy))


def test_the_corpus_of_another_data_folder(demo, parts, copy):
    collection = copy / "data" / "ImageCLEF_Wikipedia"
    shutil.rmtree(collection)
    collection.mkdir()
    with pytest.raises(UserError, match=r"none of the articles of .*train_dict.* give the --data"):
        parts.model.load(arguments(demo, copy))


def test_labels_of_another_model(demo, parts, copy, model_of):
    """The topics are learnt again, and come in another order."""
    topic_models.save(model_of(PROBABILITIES[::-1], WORDS), copy / "work")
    with pytest.raises(
        UserError, match=r"training_labels2.json does not have the topics .*stage 3"
    ):
        parts.model.load(arguments(demo, copy))


def test_a_net_of_another_number_of_topics(demo, parts, copy):
    net = copy / "work" / "CNN" / "Tiny"
    (net / "deploy.prototxt").write_text(DEPLOY.replace("num_output: 2", "num_output: 3"))
    caffe.Net(str(net / "deploy.prototxt"), caffe.TEST).save(str(net / "trained.caffemodel"))
    with pytest.raises(
        UserError, match=r"trained.caffemodel is a net of 3 topics, and .*lda a model"
    ):
        parts.model.load(arguments(demo, copy))


def test_the_index_is_kept_until_its_inputs_change(demo, parts, copy, capsys, monkeypatch):
    args = arguments(demo, copy)
    parts.model.load(args)
    found = re.search(r"another one in (\d+) % of the cases", capsys.readouterr().out)
    assert int(found[1]) > 75
    with monkeypatch.context() as patch:
        patch.setattr(parts.model, "build", None)
        parts.model.load(args)
    save_weights(copy / "work" / "CNN" / "Tiny", 0)  # a net that sees nothing
    _, _, index = parts.model.load(args)
    assert np.ptp(index.images) == 0
    printed = capsys.readouterr()
    assert "in 50 % of the cases" in printed.out
    assert "warning: that is no better than chance" in printed.err


def test_a_net_whose_weights_are_not_numbers(demo, parts, copy):
    save_weights(copy / "work" / "CNN" / "Tiny", np.nan)
    with pytest.raises(UserError, match="outputs are not finite numbers: its weights are damaged"):
        parts.model.load(arguments(demo, copy))


def test_the_command_line(demo, tmp_path, monkeypatch):
    def parsed(*options):
        monkeypatch.setattr(sys, "argv", ["demo.py", *options])
        return demo.parse()

    monkeypatch.setitem(demo.SAMPLE, "work", tmp_path / "sample")
    monkeypatch.setitem(demo.DEFAULTS, "work", tmp_path / "own")
    args = parsed()
    assert (args.host, args.port) == ("127.0.0.1", 7860)
    assert (args.data, args.work, args.net) == (artefacts.DATA, tmp_path / "own", "CaffeNet")
    args = parsed("--sample", "--net", "CaffeNet6")
    assert (args.data, args.net) == (artefacts.DATA / "sample", "CaffeNet6")

    # without options, the sample's model, if it is the only one
    for made in (demo.SAMPLE, demo.DEFAULTS):
        assert parsed().net == ("CaffeNet" if made is demo.SAMPLE else "CaffeNetSample")
        weights = made["work"] / "CNN" / made["net"] / "trained.caffemodel"
        weights.parent.mkdir(parents=True)
        weights.touch()
        assert parsed("--data", "x").work == tmp_path / "own"
    assert parsed().work == tmp_path / "own"


# ------------------------------------------------------------------------------------------------
# the page


@pytest.fixture(scope="module")
def server(demo, parts, made, loaded, tmp_path_factory):
    """The page's address."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("uploads")))
        blocks = parts.page.blocks(loaded, demo.about(arguments(demo, made), loaded.index))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        yield parts.page.serve(blocks, "127.0.0.1", port)
        blocks.close(verbose=False)


def fetched(address, data=None, **headers):
    """Status and body of a response."""
    headers = {"Content-Type": "application/json"} | headers
    request = urllib.request.Request(address, data, headers)
    try:
        with urllib.request.urlopen(request, timeout=120) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_it_listens_to_this_machine_alone(server):
    assert server.startswith("http://127.0.0.1:")
    port = int(server.rstrip("/").rpartition(":")[2])
    rows = Path("/proc/net/tcp").read_text().splitlines()[1:]
    listening = [row.split()[1] for row in rows if row.split()[3] == "0A"]
    assert [row for row in listening if row.endswith(f":{port:04X}")] == [f"0100007F:{port:04X}"]


def test_no_file_is_served(server, made):
    """Neither by a path outside, nor by one of the corpus, nor through .. or a link."""
    (made / "secret.txt").write_text("secret")
    link = made / "data" / "link.txt"
    link.symlink_to(made / "secret.txt")
    image = made / "data" / "ImageCLEF_Wikipedia" / "images" / "red1.jpg"
    paths = [made / "secret.txt", link, image, Path("/etc/passwd"), artefacts.ROOT / "README.md"]
    dots = "/.." * 12
    for name in [*map(str, paths), f"..{dots}/etc/passwd", "%2e%2e/%2e%2e/etc/passwd"]:
        for route in ("gradio_api/file=", "file=", "static/", f"assets{dots}/", "svelte/"):
            status, body = fetched(f"{server}{route}{name}")
            assert status in (403, 404), (route, name)
            assert b"root:" not in body
            assert body != b"secret"
    os.unlink(link)


@pytest.mark.parametrize("path", ["/etc/passwd", "{made}/secret.png", "http://127.0.0.1:1/a.png"])
def test_no_other_file_than_an_upload_is_read(server, made, path):
    """A request that names a file or an address in place of an upload gets an error."""
    (made / "secret.png").write_bytes(encoded(RED))
    config = json.loads(fetched(f"{server}config")[1])
    image = next(c["id"] for c in config["components"] if c["type"] == "image")
    function = next(d["id"] for d in config["dependencies"] if image in d["inputs"])
    payload = {"path": path.format(made=made), "meta": {"_type": "gradio.FileData"}}
    body = {"data": [payload], "fn_index": function, "session_hash": "s"}
    status, _ = fetched(f"{server}gradio_api/queue/join?", json.dumps(body).encode())
    assert status == 200
    with urllib.request.urlopen(f"{server}gradio_api/queue/data?session_hash=s", timeout=120) as f:
        events = f.read().decode()
    assert '"success":false' in events
    assert "Nearest" not in events


def test_every_response_forbids_other_sites(server):
    with urllib.request.urlopen(server) as response:
        policy = response.headers["Content-Security-Policy"]
        page = response.read().decode()
    assert policy.startswith("default-src 'self'; ")
    assert "http" not in policy
    assert "fonts.googleapis" not in page


def test_a_port_that_is_taken(parts, loaded):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        blocks = parts.page.blocks(loaded, "")
        with pytest.raises(UserError, match=f"no page can be served at 127.0.0.1, port {port}"):
            parts.page.serve(blocks, "127.0.0.1", port)


def test_the_script(demo, parts, made, loaded, monkeypatch, capsys):
    """It serves the page until Ctrl-C, and leaves no uploads behind."""
    seen = []

    def wait():
        address = capsys.readouterr().out.splitlines()[-1].split()[1]
        seen.append((address, fetched(address)[0], os.environ["GRADIO_TEMP_DIR"]))
        assert os.path.isdir(seen[0][2])
        raise KeyboardInterrupt

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--data", made / "data", "--work", made / "work", "--net", "Tiny", "--topics", 2]
    monkeypatch.setattr(sys, "argv", ["demo.py", *map(str, options), "--port", str(port)])
    monkeypatch.setattr(demo, "wait", wait)
    monkeypatch.setattr(demo.signal, "signal", lambda *_: None)
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")
    assert demo.main() == 0
    ((address, status, uploads),) = seen
    assert (address, status) == (f"http://127.0.0.1:{port}/", 200)
    assert not os.path.exists(uploads)
    assert capsys.readouterr().out == "the page is closed\n"


@pytest.fixture(scope="module")
def browser():
    from playwright import sync_api

    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("there is no chromium: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path)
        yield found
        found.close()


@pytest.fixture
def page(browser, server):
    """The page in a tab that notes its requests and errors."""
    tab = browser.new_page(viewport={"width": 1280, "height": 900})
    tab.set_default_timeout(120_000)
    tab.addresses, tab.errors = [], []
    tab.on("request", lambda request: tab.addresses.append(request.url))
    tab.on("pageerror", lambda error: tab.errors.append(str(error)))
    tab.goto(server)
    tab.wait_for_selector("input[type=file]", state="attached")
    yield tab
    tab.close()


def test_the_page_in_chromium(page, tmp_path, server):
    """An image, a text and a topic; and nothing is asked of another site."""
    (tmp_path / "red.png").write_bytes(encoded(RED))
    page.set_input_files("input[type=file]", tmp_path / "red.png")
    first = page.wait_for_selector("#of-image .topics li")
    assert "Topic 0" in first.inner_text()
    assert "cannon, goal, piano, violin" in first.inner_text()
    assert len(page.query_selector_all("#of-image .articles li")) == 4
    picture = page.wait_for_selector("#of-image .pictures img")
    assert picture.evaluate("image => image.naturalWidth") == 40

    page.get_by_role("tab", name="Text").click()
    page.get_by_label("Type a text").fill("violins and pianos")
    page.get_by_role("button", name="Find images").click()
    assert "Topic 1" in page.wait_for_selector("#of-text .topics li").inner_text()
    assert len(page.query_selector_all("#of-text .pictures img")) == 5

    page.get_by_role("tab", name="Topics").click()
    page.get_by_label("Topic, with its share").click()
    page.get_by_role("option", name="1: piano").click()
    page.wait_for_selector("#of-topic h3:has-text('Topic 1')")
    assert all(url.startswith((server, "data:", "blob:")) for url in page.addresses)
    assert page.errors == []
    page.set_viewport_size({"width": 400, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= 400


def test_bad_uploads_in_chromium(page, tmp_path):
    """One message each, and the page goes on."""
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8 nothing" * 9)
    page.set_input_files("input[type=file]", tmp_path / "bad.jpg")
    message = page.wait_for_selector("#of-image .message")
    assert message.inner_text().startswith("This file is not an image that can be read.")
    page.wait_for_selector("input[type=file]", state="attached")  # the broken picture is gone
    with open(tmp_path / "big.png", "wb") as file:
        file.truncate(21 * 2**20)
    page.set_input_files("input[type=file]", tmp_path / "big.png")
    page.wait_for_selector("text=exceed the maximum allowed size of 20.0 M")
    (tmp_path / "blue.png").write_bytes(encoded(BLUE))
    page.set_input_files("input[type=file]", tmp_path / "blue.png")
    assert "Topic 1" in page.wait_for_selector("#of-image .topics li").inner_text()
