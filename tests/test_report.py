"""The report: figures show what their inputs hold, the page is one file, names stay text."""

import re
import sys
import xml.etree.ElementTree
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
import topic_models

from caffe.proto import caffe_pb2
from texttopicnet import features, results
from texttopicnet.errors import UserError

ROOT = Path(__file__).resolve().parents[1]
HOSTILE = "<script>alert(1)</script>\"'><img src=http://x.org/y> & $a_b$ \\frac"
COLOURS = {"red": (0, 0, 255), "green": (0, 255, 0), "blue": (255, 0, 0)}  # BGR
TABLES = {"voc2007_svm_classes": {"ours": "x", "rows": [{"method": "x", "values": {}}]}}
LOG = """\
I1127 00:00:00.000001     7 solver.cpp:347] Iteration 0, Testing net (#0)
I1127 00:00:00.000002     7 solver.cpp:414]     Test net output #0: accuracy = 0.5
I1127 00:00:00.000003     7 solver.cpp:414]     Test net output #1: loss = 4 (* 1 = 4 loss)
I1127 00:00:00.000004     7 solver.cpp:347] Iteration 0, Testing net (#1)
I1127 00:00:00.000005     7 solver.cpp:414]     Test net output #0: loss = 9 (* 1 = 9 loss)
I1127 00:00:00.000006     7 solver.cpp:239] Iteration 0 (1 iter/s, 2s/20 iters), loss = 28.5
I1127 00:00:00.000007     7 solver.cpp:258]     Train net output #0: loss = 7 (* 1 = 7 loss)
I1127 00:00:00.000008     7 solver.cpp:258]     Output variance into loss: 0.001
I1127 00:00:00.000009     7 solver.cpp:239] Iteration 20 (1 iter/s, 2s/20 iters), loss = 8
I1127 00:00:00.000010     7 solver.cpp:258]     Output variance into loss: 0.02
I1127 00:00:01.000011     8 solver.cpp:239] Iteration 20 (1 iter/s, 2s/20 iters), loss = 6.25
I1127 00:00:01.000012     8 solver.cpp:258]     Output variance into loss: 0.03
I1127 00:00:01.000013     8 solver.cpp:347] Iteration 40, Testing net (#0)
I1127 00:00:01.000014     8 solver.cpp:414]     Test net output #1: loss = 3.5 (* 1 = 3.5 loss)
I1127 00:00:01.000015     8 solver.cpp:239] Iteration 40 (1 iter/s, 2s/20 iters), loss = nan
"""


@pytest.fixture(scope="module")
def script(load_script):
    return load_script("experiments/make_tables.py")


@pytest.fixture(scope="module")
def part(script):
    """part("examples"): the module report_examples, as make_tables.py has imported it."""
    return lambda name: sys.modules[f"report_{name}"]


def record(experiment, values, **more):
    common = {"corpus": "a set", "split": {"pairs": 4}, "seed": 3, "inputs": {}, "seconds": 2}
    common |= {"note": "a note", "values": values}
    return results.record(**(common | {"experiment": experiment} | more))


def svm_record(layer, net, **classes):
    values = {name: {"area": area} for name, area in classes.items()}
    mean = {"area": sum(classes.values()) / len(classes), "voc_11_point": 0.4, "chance": 0.2}
    more = {"layer": layer, "name": net, "difficult": "leave-out"}
    return record("voc2007_svm", {"mean": mean, "classes": values}, **more)


@pytest.fixture
def records():
    """Of everything that the figures show; two categories, two classes."""
    score = {"image_query": 0.25, "text_query": 0.75}
    values = score | {"average": 0.5, "chance": 0.125, "categories": {"red": score, "blue": score}}
    found = [{"id": "b", "category": "blue"}, {"id": "r", "category": "red"}]
    query = {"id": "r", "category": "red", "ap": 0.5, "place": "best", "found": found}
    rows = [{"topics": 10, "val": 0.5, "test": 0.25}, {"topics": 20, "val": 0.75, "test": 0.5}]
    settings = {"net": "TinyNet", "iterations": 20, "layer": "fc7"}
    evidence = [
        {"labels": "topics", "seed": 0, "iteration": 0, "svm": {"fc7": 0.25}, "held_out_loss": 4.5},
        {"labels": "topics", "seed": 0, "iteration": 9, "svm": {"fc7": 0.75}, "held_out_loss": 3.5},
        {"labels": "topics", "seed": 1, "iteration": 9, "svm": {"fc7": 0.5}, "held_out_loss": 2.5},
        {"labels": "shuffled", "seed": 0, "iteration": 9, "svm": {"fc7": 0.125}},
    ]
    net = {"net": "TinyNet", "solver": "solver.prototxt", "recipe": "paper"}
    return {
        "retrieval": record(
            "retrieval",
            values,
            topics=3,
            examples={"image_query": [query], "text_query": [query]},
        ),
        "training": record(
            "training",
            {"last_loss": 1.5, "iterations": 20},
            corpus="TinyNet",
            losses=[[0, 3.0], [20, 1.5]],
        ),
        "voc2007_svm_fc7_trained": svm_record("fc7", "trained", bus=0.5, cat=0.25),
        "voc2007_svm_fc7_untrained": svm_record("fc7", "untrained", bus=0.125, cat=0.375),
        "number_of_topics": record(
            "number_of_topics", {"best": 20, "val": 0.75}, rows=rows, settings=settings
        ),
        "evidence_a": record("evidence", {}, rows=evidence, chance={"fc7": 0.1}, **net),
    }


def save_image(path, colour):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((20, 40, 3), COLOURS[colour], np.uint8))


@pytest.fixture
def work(tmp_path, records, model_of):
    """A work folder and data with everything in it; three topics, three images of one colour."""
    for name, r in records.items():
        results.save(tmp_path / "experiments" / "results" / f"{name}.json", r)
    data = tmp_path / "Wikipedia"
    save_image(data / "images" / "red" / "r.jpg", "red")
    save_image(data / "images" / "blue" / "b.png", "blue")
    save_image(data / "images" / "green" / "g.jpeg", "green")
    (data / "texts").mkdir()
    for name in "rb":
        text = f"<document><text>A [[{name}]] &lt;b&gt; ''text''.</text></document>"
        (data / "texts" / f"{name}.xml").write_text(text)
    model = model_of([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.2, 0.1, 0.7]], ["sun", "sea", "sky"])
    topic_models.save(model, tmp_path)
    ids = ["red/r", "green/g", "blue/b"]
    array = np.array([[0.75, 0.25, 0.5], [0.75, 0.125, 0.0], [0.5, 0.5, 1]], np.float32)
    found = features.Features(ids, array, "prob", "0" * 64)
    features.save(tmp_path / "experiments" / "features" / "wikipedia_prob.npz", found)
    folder = tmp_path / "CNN" / "TinyNet"
    folder.mkdir(parents=True)
    (folder / "trained.log").write_text(LOG)
    save_weights(folder / "trained.caffemodel", np.zeros((5, 3, 2, 2)))
    return tmp_path


def save_weights(path, weights):
    net = caffe_pb2.NetParameter()
    for name, shape, array in (
        ("bn", [2], np.zeros(2)),
        ("conv1", weights.shape, weights),
        ("conv2", [1, 5, 1, 1], np.zeros(5)),
    ):
        blob = net.layer.add(name=name, type="Convolution").blobs.add()
        blob.shape.dim.extend(shape)
        blob.data.extend(np.ravel(array).tolist())
    path.write_bytes(net.SerializeToString())


def run(script, monkeypatch, work, *more):
    arguments = ["--work", str(work), "--data", str(work), *more]
    monkeypatch.setattr(sys, "argv", ["make_tables.py", *arguments])
    assert script.main() == 0
    return (work / "experiments" / "report.html").read_text()


def lines(figure, axes=0):
    """{label: points} of the lines in a panel."""
    return {line.get_label(): line.get_xydata().tolist() for line in figure.axes[axes].get_lines()}


# ------------------------------------------------------------------------- figures and their inputs
def test_curves_are_those_of_the_log(part, tmp_path, records):
    """An iteration that ran twice counts once, NaN does not count, and of two test nets the first
    does.
    """
    (tmp_path / "trained.log").write_text(LOG)
    curves = part("training").read_curves(tmp_path / "trained.log", None)
    assert curves.loss == [(0, 28.5), (20, 6.25)]
    assert curves.validation == [(0, 4.0), (40, 3.5)]
    assert curves.variance == [(0, 0.001), (20, 0.03)]
    assert curves.no_loss == curves.no_validation == curves.no_variance == ""
    loss, variance = part("figures").training(curves, records)
    assert lines(loss.draw(False)) == {
        "training": [[0, 28.5], [20, 6.25]],
        "held-out images": [[0, 4], [40, 3.5]],
    }
    (points,) = lines(variance.draw(True)).values()
    assert points == [[0, 0.001], [20, 0.03]]
    assert loss.records == variance.records == [records["training"]]


def test_without_the_log_the_loss_is_that_of_the_record(part, tmp_path, records):
    curves = part("training").read_curves(tmp_path / "trained.log", records["training"])
    assert curves.loss == [(0, 3.0), (20, 1.5)]
    loss, variance = part("figures").training(curves, records)
    assert lines(loss.draw(False)) == {"training": [[0, 3], [20, 1.5]]}
    assert "There is no log" in loss.caption
    (tmp_path / "trained.log").write_text(LOG.replace("Test net", "Other"))
    curves = part("training").read_curves(tmp_path / "trained.log", None)
    assert "test_iter" in part("figures").training(curves, records)[0].caption
    assert variance.why == (
        f"{tmp_path}/trained.log does not exist: bash scripts/05_train_cnn.sh trains a net and"
        " writes it."
    )


def test_filters_are_the_first_layers_in_rgb(part, tmp_path):
    """Weights 0, 2 and -4 of the largest size 4 are 0.5, 0.75 and 0."""
    weights = np.zeros((3, 3, 1, 2))
    weights[0, :, 0, 0] = [-4, 0, 2]  # B, G, R
    save_weights(tmp_path / "trained.caffemodel", weights)
    found = part("training").first_filters(tmp_path / "trained.caffemodel")
    assert found.shape == (3, 1, 2, 3)
    assert found[0, 0, 0].tolist() == [2, 0, -4]
    image = part("training").mosaic(found, columns=2, scale=1)
    assert image.shape == (3, 5, 4)
    assert image[0, 0].tolist() == [0.75, 0.5, 0, 1]
    assert image[0, 2, 3] == image[1, 0, 3] == 0  # between the filters
    assert image[2, 0].tolist() == [0.5, 0.5, 0.5, 1]
    drawn = part("training").filters(tmp_path, [])
    assert [axes.get_title() for axes in drawn.draw(False).axes] == ["trained"]
    save_weights(tmp_path / "trained.caffemodel", np.zeros((2, 4, 1, 1)))
    assert "no layer whose filters have three colours" in part("training").filters(tmp_path, []).why


def test_images_of_a_topic_are_those_with_the_highest_value(part, work):
    vectors = np.array([[0.5, 0.25], [0.75, 0.25], [0.5, 1.0]])
    assert part("examples").most_of(vectors, ["b", "c", "a"], 2).tolist() == [[1, 2], [2, 0]]
    figure = part("examples").topics(work, work, 3, False, [])
    by_title = {row.title: row for row in figure.rows}
    assert list(by_title) == ["Topic 0", "Topic 2", "Topic 1"]  # means 0.67, 0.5 and 0.29
    assert by_title["Topic 0"].text == "sun, sea, sky"
    captions = [[item.caption for item in row.items] for row in figure.rows]
    assert captions[0] == ["0.75", "0.75", "0.50"]
    assert captions[2] == ["0.50", "0.25", "0.12"]
    assert [colour_of(item.jpeg) for item in by_title["Topic 0"].items] == ["green", "red", "blue"]
    assert [colour_of(item.jpeg) for item in by_title["Topic 2"].items] == ["blue", "red", "green"]


def colour_of(jpeg):
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert image.shape == (112, 112, 3)
    mean = image.mean(axis=(0, 1))
    return min(COLOURS, key=lambda name: np.abs(mean - COLOURS[name]).sum())


def test_what_was_found_is_the_records(part, work, records):
    (row,) = part("examples").retrieval(records["retrieval"], work, "text_query").rows
    assert (row.title, row.text) == ("Best: red, AP 50.0", "A r <b> text.")
    assert [(item.caption, item.right) for item in row.items] == [("blue", False), ("red", True)]
    assert [colour_of(item.jpeg) for item in row.items] == ["blue", "red"]
    figure = part("examples").retrieval(records["retrieval"], work, "image_query")
    assert colour_of(figure.rows[0].jpeg) == "red"
    assert [item.text for item in figure.rows[0].items] == ["A b <b> text.", "A r <b> text."]
    assert "not by hand" in figure.caption
    old = records["retrieval"] | {"examples": [{"text": "r", "images": []}]}
    assert "--force" in part("examples").retrieval(old, work, "text_query").why


def test_bars_and_points_are_the_records(part, records, script):
    figures = part("figures")
    svm = script.paper_tables.own_svm(records)
    svm = {name: layers for (name, _), layers in svm.items()}
    paper = script.json_files.read(ROOT / "experiments" / "paper.json", "")
    widths = [
        bar.get_width()
        for bars in part("svm")
        .by_class(svm, ("pool5", "fc7"), paper)
        .draw(False)
        .axes[0]
        .containers
        for bar in bars
    ]
    assert widths == [50, 25, 12.5, 37.5]
    heights = [
        bar.get_height()
        for bars in part("svm").by_layer(svm, ("pool5", "fc7")).draw(True).axes[0].containers
        for bar in bars
    ]
    assert heights == [37.5, 25]
    widths = [
        bar.get_width()
        for bars in figures.retrieval(records).draw(False).axes[0].containers
        for bar in bars
    ]
    assert widths == [25, 25, 75, 75]
    found = lines(figures.topic_numbers(records).draw(False))
    assert found["val"] == [[10, 50], [20, 75]]
    assert found["test"] == [[10, 25], [20, 50]]
    drawn = figures.evidence("evidence_1", records["evidence_a"]).draw(False)
    assert [axes.get_title() for axes in drawn.axes] == [
        "SVM on fc7, percent",
        "loss on held-out images",
    ]
    assert lines(drawn)["learns topics"] == [[0, 25], [9, 62.5]]  # the mean of two seeds
    assert lines(drawn)["learns shuffled labels"] == [[9, 12.5]]
    assert lines(drawn)["chance"] == [[0, 10], [1, 10]]
    assert lines(drawn, 1)["learns topics"] == [[0, 4.5], [9, 3]]


def test_the_papers_classes_are_drawn_beside_pool5_of_its_set(part, records, script):
    paper = script.json_files.read(ROOT / "experiments" / "paper.json", "")
    r = records["voc2007_svm_fc7_trained"] | {"paper_set": True}
    layers = ("pool5", "fc7")
    drawn = part("svm").by_class({"mine": {"pool5": r, "fc7": r}}, layers, paper).draw(False)
    assert lines(drawn) == {"paper": [[49, 0], [42, 1]]}  # bus and cat
    assert lines(drawn, 1) == {}
    drawn = part("svm").by_class({"mine": {"pool5": r | {"paper_set": False}}}, layers, paper)
    assert lines(drawn.draw(False)) == {}


def test_nets_with_other_names_are_drawn_too(part):
    """Three nets side by side, the trained one first; a class that one lacks has no bar."""
    nets = ("mine", "untrained", "trained")
    svm = {net: {"fc7": svm_record("fc7", net, bus=0.5, cat=0.25)} for net in nets}
    svm["mine"]["fc7"]["values"]["classes"].pop("cat")
    drawn = part("svm").by_class(svm, ("fc7",), {"tables": TABLES}).draw(False)
    bars = {
        c.get_label(): [b.get_y() + b.get_height() / 2 for b in c] for c in drawn.axes[0].containers
    }
    assert list(bars) == ["trained", "untrained", "mine"]
    assert np.allclose(bars["trained"], [-0.8 / 3, 1 - 0.8 / 3])
    assert np.allclose(bars["untrained"], [0, 1])
    assert np.allclose(bars["mine"], [0.8 / 3])


# ----------------------------------------------------------------------------------------- the page
class Page(HTMLParser):
    """Counts elements, and collects addresses, ids and text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.addresses, self.ids, self.words = [], [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        for name, value in attributes:
            if name in ("src", "srcset", "href", "xlink:href", "data", "action", "poster"):
                self.addresses.append(value)
            if name == "id":
                self.ids.append(value)
            assert not name.startswith("on"), name

    def handle_data(self, data):
        self.words += data


def test_the_page_is_one_file_with_everything(script, part, monkeypatch, work, records):
    text = run(script, monkeypatch, work)
    page = Page(text)
    assert "Left out." not in page.words
    assert not {"script", "link", "iframe", "object", "embed", "base"} & set(page.tags)
    assert all(address.startswith(("data:image/", "#")) for address in page.addresses)
    assert not re.search(r"url\((?!#)|@import", text)
    targets = {address[1:] for address in page.addresses if address.startswith("#")}
    assert targets <= set(page.ids)
    assert page.tags.count("h1") == 1
    assert page.tags.count("caption") == page.tags.count("table")
    files = {path.name for path in (work / "experiments" / "report_figures").iterdir()}
    names = {name.rpartition(".")[0] for name in files}
    assert files == {f"{name}.{kind}" for name in names for kind in ("png", "svg")}
    assert {"topics", "first_layer_filters", "training_loss", "output_variance"} < names
    assert {"retrieval_texts_for_image", "retrieval_images_for_text"} < names
    assert {"svm_classes", "svm_layers", "number_of_topics", "retrieval_categories"} < names
    assert {"evidence_1", "evidence_2"} < names  # the project's own, and the work folder's
    for name in names:
        assert cv2.imread(str(work / f"experiments/report_figures/{name}.png")) is not None
        xml.etree.ElementTree.parse(work / f"experiments/report_figures/{name}.svg")
    again = part("drawing").images_of(part("figures").topic_numbers(records))
    folder = work / "experiments" / "report_figures"
    assert (folder / "number_of_topics.png").read_bytes() == again.png
    assert (folder / "number_of_topics.svg").read_bytes() == again.svg
    numbers_lead_to_their_runs(script, text, work, records)


def numbers_lead_to_their_runs(script, text, work, records):
    tables_row = re.search(
        r"this project, trained \(a note\).*?</td>",
        text[text.index("mean AP by layer, percent<") :],
    )
    (number,) = re.findall(r'href="#run-(\d+)"', tables_row[0])
    article = re.search(rf'<article id="run-{number}">.*?</article>', text, re.DOTALL)[0]
    shown = Page(article).words
    r = records["voc2007_svm_fc7_trained"]
    assert "voc2007_svm_fc7_trained" in shown
    for value in (r["command"], r["commit"][:12], "3", "2.0", r["hardware"]["cpu"]):
        assert value in shown
    markdown = (work / "experiments" / "tables.md").read_text()
    assert script.markdown(script.runs({"x": r}, commands=True)).splitlines()[4][7:] in markdown


def test_missing_inputs_are_named(script, part, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(part("page"), "EVIDENCE", "results/nowhere")
    text = run(script, monkeypatch, tmp_path)
    page = Page(text)
    makers = {
        "Topics": "python LDA/learn_LDA_model.py --topics 40",
        "Filters of the first layer": "bash scripts/05_train_cnn.sh",
        "Loss over the iterations": "bash scripts/05_train_cnn.sh",
        "Variance of the outputs": "bash scripts/05_train_cnn.sh",
        "Retrieval by category": "python experiments/multi_modal_retrieval.py",
        "Texts found for an image": "python experiments/multi_modal_retrieval.py",
        "Images found for a text": "python experiments/multi_modal_retrieval.py",
        "VOC2007 SVMs by layer": "python experiments/voc_2007_classification.py",
        "VOC2007 SVMs by class": "python experiments/voc_2007_classification.py",
        "SVM mean AP against iterations": "python experiments/evidence.py",
        "Number of topics": "python experiments/number_of_topics.py",
    }
    assert page.words.count("Left out.") == len(makers)
    printed = capsys.readouterr().out
    for title, command in makers.items():
        why = re.search(rf"<h3>{title}.*?</h3>\s*<p class=\"missing\">(.*?)</p>", text)[1]
        assert command in why
        assert re.search(rf"left out of the report: {title}.*: .*{re.escape(command)}", printed)
    assert list((tmp_path / "experiments" / "report_figures").iterdir()) == []


def test_hostile_names_stay_text(script, monkeypatch, work, records, model_of):
    """In notes, commands, classes, categories, words and texts; on the page and in the files."""
    model = model_of([[0.7, 0.2, 0.1]] * 3, [HOSTILE, "sea", "sky"])
    topic_models.save(model, work)
    for r in records.values():
        r["note"] = r["command"] = r["corpus"] = HOSTILE
    records["training"]["corpus"] = "TinyNet"
    values = records["retrieval"]["values"]
    values["categories"] = {HOSTILE: values["categories"]["red"]}
    for query in records["retrieval"]["examples"]["image_query"]:
        query["found"][0]["category"] = HOSTILE
    for net in ("trained", "untrained"):
        values = records[f"voc2007_svm_fc7_{net}"]["values"]
        values["classes"] = {HOSTILE: {"area": 0.5}}
    records["svm"] = svm_record("fc7", HOSTILE, bus=0.75)  # the best net is named in an aria-label
    records["evidence_a"] |= {"net": HOSTILE, "solver": HOSTILE, "recipe": HOSTILE}
    for name, r in records.items():
        results.save(work / "experiments" / "results" / f"{name}.json", r)
    hostile_text = "<text>&lt;script&gt;alert(1)&lt;/script&gt; &amp;amp;</text>"
    (work / "Wikipedia" / "texts" / "r.xml").write_text(hostile_text)
    page = Page(run(script, monkeypatch, work))
    assert page.words.count("Left out.") == 1  # no image of the hostile category exists
    assert "script" not in page.tags
    assert not any("x.org" in address for address in page.addresses)
    assert page.words.count(HOSTILE) > 20
    for path in (work / "experiments" / "report_figures").glob("*.svg"):
        tags = {element.tag for element in xml.etree.ElementTree.parse(path).iter()}
        assert not any(tag.endswith("script") for tag in tags)


def test_the_figures_replace_only_figures(script, part, monkeypatch, tmp_path):
    """Other files in the folder are not deleted, and a run that fails leaves the old report."""
    monkeypatch.setattr(part("page"), "EVIDENCE", "results/nowhere")
    text = run(script, monkeypatch, tmp_path)
    with pytest.raises(UserError, match="--force"):
        run(script, monkeypatch, tmp_path)
    folder = tmp_path / "experiments" / "report_figures"
    (folder / "topics.png").write_bytes(b"old")

    class Full:
        png = b"new"

        @property
        def svg(self):
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(part("page"), "drawings", lambda found: {"topics": Full()})
        with pytest.raises(UserError, match="No space left"):
            run(script, patch, tmp_path, "--force")
    assert (tmp_path / "experiments" / "report.html").read_text() == text
    assert (folder / "topics.png").read_bytes() == b"old"
    assert not list((tmp_path / "experiments").glob(".tmp-*"))
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(
        UserError, match=r"report_figures .* holds notes.txt, which is not a figure"
    ):
        run(script, monkeypatch, tmp_path, "--force")
    assert (folder / "notes.txt").read_text() == "mine"


def test_images_outside_the_set_are_not_read(part, work, records):
    for category, name in (("blue", "../../../secret"), ("/etc", "passwd")):
        entry = records["retrieval"]["examples"]["text_query"][0]["found"][0]
        entry |= {"id": name, "category": category}
        figure = part("examples").retrieval(records["retrieval"], work, "text_query")
        assert "leads out of the collection" in figure.why
