"""run_all.sh --weights --lda: the stages run from files in the authors' forms."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import authors_files
import cv2
import numpy as np
import pytest
from gensim.corpora import Dictionary

import caffe
from texttopicnet import artefacts, pickles, topics
from texttopicnet.errors import UserError

ROOT = artefacts.ROOT
NET = "CaffeNetSample"
WORDS = ("piano violin melody orchestra", "football stadium goal player")
DOCUMENTS = [WORDS[i % 2].split() * (i + 2) for i in range(6)]
K = 40


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """Weights, an LDA model and the vectors that it gives DOCUMENTS."""
    folder = tmp_path_factory.mktemp("released")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GLOG_minloglevel", "1")
        net = caffe.Net(str(ROOT / "CNN" / NET / "deploy.prototxt"), caffe.TEST)
    draw = np.random.default_rng(0)
    for blobs in net.params.values():
        blobs[0].data[...] = draw.normal(0, 0.02, blobs[0].data.shape)
    net.save(str(folder / "Authors_40Topics.caffemodel"))
    dictionary = Dictionary(DOCUMENTS)
    bows = [dictionary.doc2bow(d) for d in DOCUMENTS]
    model = topics.TopicModel.learn(dictionary, bows, K, workers=1)
    expected = model.topic_vectors(DOCUMENTS)
    authors_files.write(folder, model, DOCUMENTS)
    return folder, expected


@pytest.fixture
def chain(load_script):
    return load_script("scripts/chain.py")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Small sets in the layouts of VOC2007 and of the Wikipedia retrieval set, drawn."""
    data = tmp_path_factory.mktemp("sets")
    main = data / "VOCdevkit/VOC2007/ImageSets/Main"
    images = data / "VOCdevkit/VOC2007/JPEGImages"
    wikipedia = data / "Wikipedia"
    for folder in (main, images, wikipedia / "texts"):
        folder.mkdir(parents=True)
    draw = np.random.default_rng(0)

    def picture(path, theme):
        pixels = draw.integers(0, 60, (64, 64, 3), dtype=np.uint8)
        pixels[:, :, theme] += 150
        cv2.imwrite(str(path), pixels)

    for split, start in (("train", 0), ("val", 6), ("test", 12)):
        ids = range(start, start + 6)
        (main / f"{split}.txt").write_text("".join(f"{i:06d}\n" for i in ids))
        for theme, name in enumerate(("bus", "cat")):
            rows = [f"{i:06d} {1 if i % 2 == theme else -1:2d}\n" for i in ids]
            (main / f"{name}_{split}.txt").write_text("".join(rows))
        for i in ids:
            picture(images / f"{i:06d}.jpg", i % 2)
    for name in ("bus_", "cat_", ""):
        both = [(main / f"{name}{split}.txt").read_text() for split in ("train", "val")]
        (main / f"{name}trainval.txt").write_text("".join(both))
    (wikipedia / "categories.list").write_text("music\nsport\n")
    rows = []
    for i, document in enumerate(DOCUMENTS):
        name = ("music", "sport")[i % 2]
        (wikipedia / "images" / name).mkdir(parents=True, exist_ok=True)
        picture(wikipedia / "images" / name / f"i{i}.jpg", i % 2)
        (wikipedia / "texts" / f"t{i}.xml").write_text(f"<text>{' '.join(document)}</text>")
        rows.append(f"t{i}\ti{i}\t{i % 2 + 1}\n")
    (wikipedia / "testset_txt_img_cat.list").write_text("".join(rows))
    return data


@pytest.fixture
def run_all(load_script, monkeypatch, chain, data, released, tmp_path):
    """run_all(...): the chain with the authors' files; its stages run in this process."""

    def run(command):
        _, shell_script, *arguments = command
        last = Path(shell_script).read_text().splitlines()[-1]
        path = last.partition("$ROOT/")[2].partition('"')[0]
        monkeypatch.setattr(sys, "argv", [path, *arguments])
        assert not load_script(path).main()
        return SimpleNamespace(exit_status=0)

    def run_all(*arguments):
        given = ["--data", data, "--work", tmp_path / "work", "--net", NET, *arguments]
        given += ["--weights", released[0] / "Authors_40Topics.caffemodel"]
        given += ["--lda", released[0] / "ldamodel40.lda"]
        monkeypatch.setattr(sys, "argv", ["chain.py", *map(str, given)])
        monkeypatch.setattr(chain.child_process, "run", run)
        assert chain.main() == 0

    return run_all


def test_features_svms_and_retrieval_from_the_authors_files(run_all, released, tmp_path, capsys):
    folder, expected = released
    work = tmp_path / "work"
    run_all("--from", "6", "--to", "8")
    assert "the model's own 8 words are used, not the dictionary's 11" in capsys.readouterr().err
    weights = (folder / "Authors_40Topics.caffemodel").read_bytes()
    assert (work / "CNN" / NET / "trained.caffemodel").read_bytes() == weights
    copied = sorted(path.name for path in (work / "LDA").iterdir())
    assert copied == ["dictionary.dict", "ldamodel40.lda", "ldamodel40.lda.state"]
    for name in copied:
        assert (work / "LDA" / name).read_bytes() == (folder / name).read_bytes()
    record = json.loads((work / artefacts.RETRIEVAL_RECORD).read_text())
    assert record["split"]["pairs"] == 6
    assert record["note"] == "weights Authors_40Topics.caffemodel; topics ldamodel40.lda"
    scored = sorted(path.name for path in (work / artefacts.RESULTS).glob("voc2007_svm*.json"))
    assert scored == [f"voc2007_svm_{layer}_trained.json" for layer in sorted(artefacts.LAYERS)]
    found = topics.TopicModel.load(work, K).topic_vectors(DOCUMENTS)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    capsys.readouterr()
    run_all("--from", "6", "--to", "8")
    printed = capsys.readouterr().out
    assert [n for n in (6, 7, 8) if f"stage {n} is done: " in printed] == [6, 7, 8]


# --------------------------------------------------------------------------------- in this process
@pytest.fixture
def settings(chain, released, data, tmp_path):
    """settings(...): of a command line with --weights and --lda, or with others in their place."""

    def settings(*arguments, weights="Authors_40Topics.caffemodel", lda="ldamodel40.lda"):
        given = ["--data", str(data), "--work", str(tmp_path / "w"), "--net", NET, *arguments]
        given += ["--weights", str(released[0] / weights)] if weights else []
        given += ["--lda", str(released[0] / lda)] if lda else []
        return chain.settings(chain.parser().parse_args(given))

    return settings


def test_the_table_with_weights_and_topics_from_elsewhere(chain, settings, accept):
    stages = chain.table(settings("--from", "6"))
    left_out = {stage.number: stage.left_out for stage in stages if stage.left_out}
    assert [number for number in left_out if number < 10] == [2, 4, 5]
    assert left_out[2].startswith("the topics come from ")
    assert left_out[5].startswith("the weights come from ")
    for stage in stages:
        if 6 <= stage.number <= 10 and stage.number != 8:
            assert stage.arguments[stage.arguments.index("--name") + 1] == "trained"
            assert not [path for path in stage.outputs if "untrained" in path.name]
        if not stage.left_out:
            last = Path(stage.command(False)[1]).read_text().splitlines()[-1]
            accept(last.partition("$ROOT/")[2].partition('"')[0], stage.arguments)


def test_the_topics_alone_take_the_place_of_stage_2(chain, settings):
    stages = chain.table(settings(weights=None))
    assert [stage.number for stage in stages if stage.left_out and stage.number < 10] == [2]
    assert "_untrained" in stages[5].outputs[0].name


def test_weights_without_topics_leave_retrieval_out(chain, settings, released, tmp_path):
    stages = chain.table(settings("--from", "6", lda=None))
    assert "needs the topic model behind the outputs" in stages[7].left_out
    (tmp_path / "w" / "LDA").mkdir(parents=True)
    (tmp_path / "w" / "LDA" / "ldamodel40.lda").write_bytes(b"")
    assert not chain.table(settings("--from", "6", lda=None))[7].left_out


@pytest.mark.parametrize(
    ("arguments", "more", "message"),
    [
        ((), {}, "--weights takes the place of stages 1 to 5: give --from 6 or later"),
        (("--from", "6"), {"weights": "none"}, "--weights .*none: cannot be read .*get.py --list"),
        (("--from", "6"), {"lda": "."}, "--lda .*: cannot be read .Is a directory"),
        (("--embedding", "lsi"), {"weights": None}, "--embedding lsi needs none"),
    ],
)
def test_options_that_cannot_be_followed(settings, arguments, more, message):
    with pytest.raises(UserError, match=message):
        settings(*arguments, **more)


@pytest.mark.parametrize(
    ("arguments", "more", "message"),
    [
        (("--net", "CaffeNet"), {}, "does not fit .*CaffeNet/deploy.prototxt: "),
        ((), {"weights": "ldamodel40.lda"}, "does not fit .*deploy.prototxt: .*not a Caffe file"),
        (("--topics", "30"), {}, "ldamodel40.lda has 40 topics: give --topics 40"),
        ((), {"lda": "ldamodel40.lda.state"}, "ldamodel40.lda.state.state does not exist"),
    ],
)
def test_files_that_do_not_fit_are_not_copied(chain, settings, tmp_path, arguments, more, message):
    s = settings("--from", "6", *arguments, **more)
    with pytest.raises(UserError, match=message):
        chain.install(s)
    named = [path.name for path in (tmp_path / "w").rglob("*") if path.is_file()]
    if "--topics" in arguments or "lda" in more:  # the weights fit
        assert sorted(named) == ["deploy.prototxt", "trained.caffemodel"]
    else:
        assert not named


@pytest.mark.parametrize(
    "name", [f"CNN/{NET}/trained.caffemodel", "LDA/ldamodel40.lda", "LDA/dictionary.dict"]
)
def test_a_users_file_is_not_replaced(chain, settings, tmp_path, name):
    path = tmp_path / "w" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"the user's")
    with pytest.raises(UserError, match=f"{path.name} exists already and is not .*: give another"):
        chain.install(settings("--from", "6", "--force"))
    assert path.read_bytes() == b"the user's"


def test_a_dry_run_copies_nothing(chain, settings, tmp_path, capsys):
    chain.install(settings("--from", "6", "--dry-run"))
    assert capsys.readouterr().out.count(" would be copied to ") == 3
    assert not (tmp_path / "w").exists()


def test_a_model_without_a_dictionary_gives_its_own_words(chain, settings, released, tmp_path):
    """As any gensim model with id2word; and its files may have other names."""
    own = tmp_path / "own"
    own.mkdir()
    for ending in ("", ".state"):
        data = (released[0] / f"ldamodel40.lda{ending}").read_bytes()
        (own / f"my.model{ending}").write_bytes(data)
    chain.install(settings("--from", "6", lda=own / "my.model"))
    found = topics.TopicModel.load(tmp_path / "w", K)
    np.testing.assert_allclose(found.topic_vectors(DOCUMENTS), released[1], atol=1e-5)
    words = pickles.load(Dictionary, tmp_path / "w" / artefacts.DICTIONARY).token2id
    assert sorted(words) == sorted(" ".join(WORDS).split())
    chain.install(settings("--from", "6", lda=own / "my.model"))  # nothing is left to copy
