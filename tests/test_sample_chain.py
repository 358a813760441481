"""The whole chain on the embedded sample (sample_run.py)."""

import json
import os
import re
import shlex
import sys

import lmdb
import numpy as np
import pytest
from gensim.corpora import Dictionary, MmCorpus
from gensim.models import LdaModel
from sample_run import ROOT, run_all

from texttopicnet.token_store import TokenStore


@pytest.fixture
def chain(sample_chain):
    return sample_chain


def record(folder, name):
    return json.loads((folder / "work" / "experiments" / "results" / f"{name}.json").read_text())


def test_it_ends_with_what_to_look_at(chain):
    folder, _, said = chain
    report = folder / "work" / "experiments" / "report.html"
    assert said.strip().splitlines()[-1].startswith("look at ")
    assert str(report) in said.strip().splitlines()[-1]
    page = report.read_text()
    # the report also draws each record of a longer training that the project has
    records = list((ROOT / "experiments" / "results" / "evidence").glob("evidence_*.json"))
    assert page.count('<svg class="wide-drawing"') == 7 + len(records)
    # six images for each of 40 topics and 5 texts, and 5 images for which texts were found
    assert page.count("data:image/jpeg;base64,") == 6 * 40 + 6 * 5 + 5
    assert "Left out." not in page
    drawn = {path.stem for path in (report.parent / "report_figures").iterdir()}
    assert len(drawn) == 10 + len(records)


def test_blemishes_are_counted_by_reason(chain):
    _, said, _ = chain
    reasons = [
        "broken XML",
        "no English article",
        "not a JPEG",
        "smaller than 256 pixels",
        "article file is missing",
    ]
    reasons += ["image file is missing", "image cannot be decoded"]
    for reason in reasons:
        assert re.search(rf"^left out: \d+ images? \({reason}\)", said, re.MULTILINE)


def test_retrieval_is_far_above_chance(chain):
    values = record(chain[0], "retrieval")["values"]
    assert values["chance"] < 0.15
    assert min(values["image_query"], values["text_query"]) >= 3 * values["chance"]


def test_svms_are_far_above_chance(chain):
    for layer in ("max5", "pool5", "fc6", "fc7"):
        mean = record(chain[0], f"voc2007_svm_{layer}_trained")["values"]["mean"]
        assert mean["area"] > 2 * mean["chance"]


def test_fine_tuned_nets_are_far_above_chance(chain):
    values = record(chain[0], "voc2007_fine_tuning_trained")["values"]
    for crops in ("crops_1", "crops_10"):
        mean = values[crops]["mean"]
        assert mean["area"] > 2 * mean["chance"]
    assert record(chain[0], "voc2007_fine_tuning_untrained")["split"] == {
        "trainval": 200,
        "test": 200,
    }


def test_the_retrieval_sets_images_are_classified(chain):
    for method in ("max5", "pool5", "fc6", "fc7", "fine-tuned"):
        values = record(chain[0], f"classification_Wikipedia_{method}_trained")["values"]
        assert values["accuracy"]["mean"] > 2 * values["chance"]


def test_artefacts_agree(chain):
    folder = chain[0] / "work"
    pairs = json.loads((folder / "LDA" / "train_dict_ImageCLEF_Wikipedia.json").read_text())
    labels = json.loads((folder / "LDA" / "training_labels40.json").read_text())
    dictionary, corpus = (
        Dictionary.load(str(folder / "LDA" / "dictionary.dict")),
        MmCorpus(str(folder / "LDA" / "bow.mm")),
    )
    model = LdaModel.load(str(folder / "LDA" / "ldamodel40.lda"))
    assert list(pairs) == sorted(pairs) == list(labels)
    assert len(corpus) == len(pairs)
    assert corpus.num_terms == len(dictionary) == model.num_terms
    vectors = np.array(list(labels.values()))
    assert vectors.shape[1] == 40
    assert vectors.min() >= 0
    assert vectors.sum(axis=1).max() <= 1 + 1e-5
    for article in set(pairs.values()):
        assert len({tuple(labels[image]) for image, of in pairs.items() if of == article}) == 1
    keys = []
    for what in ("images", "labels"):
        with (
            lmdb.open(
                str(folder / "CNN" / "CaffeNetSample" / f"train_{what}_lmdb"),
                readonly=True,
                lock=False,
            ) as database,
            database.begin() as transaction,
        ):
            keys.append([key for key, _ in transaction.cursor()])
    assert keys[0] == keys[1]
    assert len(keys[0]) == len(pairs)


def test_the_record_of_the_training(chain):
    found = record(chain[0], "training")
    assert found["values"]["iterations"] == 240
    assert found["losses"][0][1] > 2 * found["values"]["last_loss"]
    assert found["seconds"] > 0
    assert found["seed"] == 0


def test_one_number_of_topics(chain):
    (row,) = record(chain[0], "number_of_topics")["rows"]
    assert row["topics"] == 10
    assert 0 < row["val"] < 1
    assert len(row["classes"]) == 5


def test_the_detector_finds_objects(chain):
    found = record(chain[0], "voc2007_detection")
    assert found["split"] == {"test": 40}
    assert found["values"]["mean"]["area"] > 0


def test_the_page_knows_what_a_picture_shows(chain, load_script, monkeypatch, capsys):
    """By the command that the chain has printed, on a picture that was not trained on."""
    folder, _, said = chain
    (command,) = re.findall(r"^try the model: python (.*)$", said, re.MULTILINE)
    script, *arguments = shlex.split(command)
    monkeypatch.setattr(sys, "argv", [script, *arguments])
    args = load_script(script).parse()
    load_script("experiments/feature_net.py")
    model = load_script("experiments/demo_model.py").load(args)
    nearer = re.search(r"than to another one in (\d+) %", capsys.readouterr().out)
    assert int(nearer[1]) >= 80
    picture = min((folder / "data" / "Wikipedia" / "images" / "ocean").iterdir())
    with TokenStore(args.work) as store:
        collection = args.data / args.collection
        answers = load_script("experiments/demo_answers.py").Answers(*model, collection, store)
        answer = answers.of_image(picture.read_bytes())
    assert {"sea", "wave"} <= set(answer.topics[0].words)
    assert sum("sea" in article.quote for article in answer.articles) >= 3
    assert all(picture.uri for picture in answer.pictures)


def test_a_second_run_skips_what_is_done(chain):
    _, first, second = chain
    for number in range(1, 13):
        assert (f"stage {number}: " in first) == (number < 12)
        assert f"stage {number} is done: " in second
    for number in (13, 14):
        assert f"stage {number}: " in second


def test_an_output_older_than_its_input_is_not_passed_over(chain):
    folder = chain[0]
    labels = folder / "work" / "LDA" / "training_labels40.json"
    lda = folder / "work" / "LDA" / "ldamodel40.lda"
    before = lda.stat()
    try:
        os.utime(lda, (labels.stat().st_mtime + 10,) * 2)
        done = run_all(folder, "--to", "4")
    finally:
        os.utime(lda, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert done.returncode == 1
    assert "stage 3 is older than what it reads" in done.stderr
    assert "--from 3 --force" in done.stderr
