"""models/get.py: what it downloads from a server on this machine, checks, keeps and refuses."""

import functools
import hashlib
import http.server
import os
import re
import sys
import threading

import numpy as np
import pytest

from caffe.proto import caffe_pb2
from caffe.tools import download_model_binary
from texttopicnet import artefacts

BROKEN_OFF = 1_200_000  # bytes that the server sends of /broken/...


def caffemodel():
    shape = caffe_pb2.BlobShape(dim=[40, 10_000])
    blob = caffe_pb2.BlobProto(shape=shape, data=np.arange(400_000, dtype=np.float32))
    layer = caffe_pb2.LayerParameter(name="fc8", type="InnerProduct", blobs=[blob])
    return caffe_pb2.NetParameter(name="net", layer=[layer]).SerializeToString()


WEIGHTS = caffemodel()
FILES = {
    "net.caffemodel": WEIGHTS,
    "model.lda": b"\x80\x02" + b"m" * 500 + b".",
    "model.lda.state": b"\x80\x02" + b"s" * 500 + b".",
    "labels.json": b'{"images/1.jpg": [0.5, 0]}\n',
    "page.html": b"<!DOCTYPE html><html><title>Google Drive - Quota exceeded</title></html>",
    "empty": b"",
}


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves FILES, and parts of them; /broken/NAME breaks off at first, and then resumes."""

    asked = []  # noqa: RUF012

    def do_GET(self):
        _, *folder, name = self.path.partition("?")[0].split("/")
        data = FILES.get(name)
        self.asked.append((self.path, self.headers.get("Range")))
        if data is None:
            self.send_error(404)
            return
        start = re.match(r"bytes=(\d+)-", self.headers.get("Range") or "")
        at = int(start[1]) if start else 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {at}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - at))
        self.end_headers()
        self.wfile.write(data[at:BROKEN_OFF] if folder == ["broken"] and not start else data[at:])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    """The address of a server on this machine."""
    monkeypatch.setenv("no_proxy", "*")
    Handler.asked.clear()
    handler = functools.partial(Handler)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def get(load_script, monkeypatch, tmp_path, capsys):
    """get(...): status, what was printed, and the complaints; models are in tmp_path/models."""
    script = load_script("models/get.py")
    monkeypatch.setattr(script, "MODELS", tmp_path / "models")
    monkeypatch.setattr(script, "RETRIES", 0)

    def get(*arguments):
        monkeypatch.setattr(sys, "argv", ["get.py", *map(str, arguments)])
        try:
            status = script.main()
        except script.UserError as error:
            print(f"error: {error}", file=sys.stderr)
            status = 1
        printed = capsys.readouterr()
        errors = [row for row in printed.err.splitlines() if row.startswith("error: ")]
        return status, printed.out, errors

    return get


@pytest.fixture
def model(tmp_path, server):
    """model(**changes): the folder of a model with these changes in its front matter."""

    def model(name="a_net", **changes):
        folder = tmp_path / "models" / name
        folder.mkdir(parents=True)
        matter = {
            "name": "A net",
            "caffemodel": "net.caffemodel",
            "caffemodel_url": f"{server}/net.caffemodel",
            "license": "MIT",
            "sha1": "unknown",
            "sha256": "unknown",
            "bytes": "unknown",
        } | changes
        rows = [f"{key}: {value}" for key, value in matter.items() if value is not None]
        (folder / "readme.md").write_text("\n".join(["---", *rows, "---", ""]))
        return folder

    return model


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_model_is_downloaded_and_described(get, model):
    folder = model()
    status, printed, errors = get("a_net")
    assert (status, errors) == (0, [])
    assert (folder / "net.caffemodel").read_bytes() == WEIGHTS
    assert names_in(folder) == ["net.caffemodel", "readme.md"]
    digest = hashlib.sha256(WEIGHTS).hexdigest()
    assert printed.splitlines()[0] == "A net; licence: MIT"
    assert printed.splitlines()[-1] == (
        f"{folder / 'net.caffemodel'}: {len(WEIGHTS):,} bytes, sha256 {digest}, which is not known"
        " here, so it was not compared"
    )


def test_a_known_checksum_and_size_are_compared(get, model):
    digest = hashlib.sha256(WEIGHTS).hexdigest()
    model(sha256=digest.upper(), bytes=len(WEIGHTS))
    status, printed, _ = get("a_net")
    assert status == 0
    assert printed.splitlines()[-1].endswith(f"sha256 {digest}, which is right")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"sha256": "0" * 64}, f"its sha256 is {hashlib.sha256(WEIGHTS).hexdigest()}, not 000"),
        ({"bytes": 9}, f"it has {len(WEIGHTS):,} bytes, not 9"),
        (
            {"least_bytes": 10**7},
            f"it has {len(WEIGHTS):,} bytes, and the file has at least 10,000",
        ),
        ({"caffemodel_url": "/page.html"}, "it is a web page"),
        ({"caffemodel_url": "/empty"}, "it is empty"),
        ({"caffemodel_url": "/labels.json"}, "it is not a whole .caffemodel"),
        (
            {"caffemodel_url": "/net.caffemodel", "caffemodel": "labels.json"},
            "it is not a whole JSON object",
        ),
        (
            {"caffemodel_url": "/labels.json", "caffemodel": "a.dict"},
            "it is not a whole file of gensim's",
        ),
    ],
)
def test_what_is_not_the_file_is_refused_and_not_kept(get, model, server, changes, why):
    if "caffemodel_url" in changes:
        changes = changes | {"caffemodel_url": server + changes["caffemodel_url"]}
    folder = model(**changes)
    status, _, (error,) = get("a_net")
    assert status == 1
    assert f" ({why}" in error
    assert "in a browser, and save the file as " in error
    assert names_in(folder) == ["readme.md"]


def test_a_download_that_broke_off_resumes(get, model, server):
    folder = model(caffemodel_url=f"{server}/broken/net.caffemodel")
    status, _, (error,) = get("a_net")
    assert status == 1
    assert error.startswith("error: net.caffemodel could not be downloaded (")
    assert not (folder / "net.caffemodel").exists()
    (part,) = (folder / ".download").iterdir()
    kept = part.read_bytes()
    assert 0 < len(kept) <= BROKEN_OFF
    assert WEIGHTS.startswith(kept)
    status, _, errors = get("a_net")
    assert (status, errors) == (0, [])
    assert (folder / "net.caffemodel").read_bytes() == WEIGHTS
    assert names_in(folder) == ["net.caffemodel", "readme.md"]
    assert Handler.asked[-1][1] == f"bytes={len(kept)}-"


def test_a_failed_download_says_what_to_do_by_hand(get, model, tmp_path, monkeypatch):
    import gdown

    def fail(**_):
        raise gdown.exceptions.FileURLRetrievalError("Cannot retrieve\n\n\tthe public link")

    monkeypatch.setattr(gdown, "download", fail)
    address = "https://drive.google.com/uc?export=download&confirm=t&id=0B52-x"
    folder = model(caffemodel_url=address)
    assert get("a_net")[::2] == (
        1,
        [
            "error: net.caffemodel could not be downloaded (Cannot retrieve the public link): open"
            " https://drive.google.com/file/d/0B52-x/view in a browser, and save the file as"
            f" {folder / 'net.caffemodel'}"
        ],
    )
    assert names_in(folder) == ["readme.md"]


def test_a_server_that_does_not_answer(get, model, server):
    port = int(server.rpartition(":")[2])
    model(caffemodel_url=f"http://127.0.0.1:{port}/none")
    _, _, (error,) = get("a_net")
    assert "404" in error
    model("other", caffemodel_url="http://127.0.0.1:9/net.caffemodel")
    _, _, (error,) = get("other")
    assert "could not be downloaded (Connection refused): open http://127.0.0.1:9/net" in error


def test_a_file_that_is_there_is_kept(get, model):
    folder = model()
    path = folder / "net.caffemodel"
    path.write_bytes(WEIGHTS)
    before = path.stat().st_mtime_ns
    status, printed, _ = get("a_net")
    assert (status, Handler.asked, path.stat().st_mtime_ns) == (0, [], before)
    assert "is there already" in printed
    path.write_bytes(b"a file of the user's")
    status, _, (error,) = get("a_net")
    assert (status, Handler.asked) == (1, [])
    assert error.endswith("but it is not a whole .caffemodel: move it away, and run this again")
    assert path.read_bytes() == b"a file of the user's"


def several(server, *names):
    rows = {"caffemodel": None, "caffemodel_url": None, "files": f"[{', '.join(names)}]"}
    return rows | {f"{name}_url": f"{server}/{name}" for name in names}


def test_several_files_and_models_go_into_a_folder(get, model, server, tmp_path):
    """One that fails does not keep the others."""
    model()
    model("lda", **several(server, "model.lda", "none.state", "model.lda.state", "labels.json"))
    status, _, (error,) = get("lda", "a_net", "--into", tmp_path / "work" / "LDA")
    assert status == 1
    assert error.startswith("error: none.state could not be downloaded")
    found = tmp_path / "work" / "LDA"
    expected = ["labels.json", "model.lda", "model.lda.state", "net.caffemodel"]
    assert names_in(found) == expected
    for name in expected:
        assert (found / name).read_bytes() == FILES[name]


@pytest.mark.parametrize(
    ("arguments", "changes", "message"),
    [
        ((), {}, "give the NAME of a model: a_net (--list says more)"),
        (("nothing",), {}, "nothing is not a released model: choose from a_net"),
        (("../a_net",), {}, "../a_net is not a released model"),
        (("a_net",), {"caffemodel": "../x.caffemodel"}, "is not the name of a file in this folder"),
        (("a_net",), {"caffemodel": "readme.md"}, "is not the name of a file in this folder"),
        (("a_net",), {"caffemodel_url": "file:///etc/passwd"}, "must be an http:// or https://"),
        (("a_net",), {"bytes": "many"}, "bytes must be a number of bytes, or unknown"),
    ],
)
def test_mistakes_are_one_sentence(get, model, arguments, changes, message):
    folder = model(**changes)
    status, _, (error,) = get(*arguments)
    assert status == 1
    assert message in error
    assert names_in(folder) == ["readme.md"]


def test_the_list_shows_what_is_here(get, model):
    folder = model()
    (folder / "net.caffemodel").write_bytes(WEIGHTS)
    status, printed, _ = get("--list")
    assert status == 0
    name, file, here, *_ = re.split(r"  +", printed.splitlines()[2])
    assert (name, file, here) == ("a_net", "net.caffemodel", f"{len(WEIGHTS):,} bytes")


# --------------------------------------------------------------------- the project's own readmes
IDS = {  # of the authors' files on Google Drive
    "TextTopicNet_Wikipedia_ImageCLEF_40Topics.caffemodel": "0B52HmBFhEpdCTldNYjk5TnFTTDA",
    "TextTopicNet_finetuned_VOC2007.caffemodel": "0B52HmBFhEpdCUElJVVZKU1FibTA",
    "ldamodel40.lda": "0B52HmBFhEpdCZUM1MXNoR1h3RFU",
    "ldamodel40.lda.state": "0B52HmBFhEpdCWDV6SXZGaDlYcWs",
    "dictionary.dict": "0B52HmBFhEpdCTVJKa3hnS3VRVkE",
    "training_labels40.json": "0B52HmBFhEpdCTDZTSDFMVWswNEU",
}


def test_the_authors_files(load_script):
    from gdown.parse_url import parse_url

    script = load_script("models/get.py")
    found = {}
    for name in script.names():
        matter, listed = script.released(name)
        assert {"name", "license", "gist_id"} <= set(matter)
        found |= {file.name: file for file in listed}
    assert set(found) == set(IDS)
    for name, file in found.items():
        assert file.url.endswith(f"&id={IDS[name]}")
        assert file.page == f"https://drive.google.com/file/d/{IDS[name]}/view"
        assert parse_url(file.url) == (IDS[name], True)
        assert (file.sha256, file.size) == (None, None)  # nobody has downloaded them yet


def test_the_least_size_is_that_of_the_nets_parameters(load_script, monkeypatch):
    import caffe

    monkeypatch.setenv("GLOG_minloglevel", "1")
    script = load_script("models/get.py")
    for net, name, outputs in (
        ("CaffeNet", "TextTopicNet_Wikipedia_ImageCLEF_40Topics", 40),
        ("finetune_voc2007", "TextTopicNet_finetuned_VOC2007", 20),
    ):
        deploy = artefacts.ROOT / "CNN" / net / "deploy.prototxt"
        params = caffe.Net(str(deploy), caffe.TEST).params
        assert list(params.values())[-1][0].data.shape == (outputs, 4096)
        count = sum(blob.data.size for blobs in params.values() for blob in blobs)
        assert script.released(name)[1][0].least == 4 * count


def test_caffes_own_command_reads_the_readmes():
    for name in ("TextTopicNet_Wikipedia_ImageCLEF_40Topics", "TextTopicNet_finetuned_VOC2007"):
        path = artefacts.ROOT / "models" / name / "readme.md"
        matter = download_model_binary.complete_matter(path)
        assert (matter["caffemodel"], matter["sha1"]) == (f"{name}.caffemodel", "unknown")


def test_caffes_own_command_without_a_sha1(model, server, capsys):
    folder = model()
    assert download_model_binary.main([str(folder)]) == 0
    assert (folder / "net.caffemodel").read_bytes() == WEIGHTS
    assert hashlib.sha1(WEIGHTS).hexdigest() in capsys.readouterr().out
    assert download_model_binary.main([str(folder)]) == 0
    assert "already exists" in capsys.readouterr().out
    os.remove(folder / "net.caffemodel")
    page = model("page", caffemodel_url=f"{server}/page.html")
    assert download_model_binary.main([str(page)]) != 0
    assert "page.html: is not a whole .caffemodel" in capsys.readouterr().err
    assert names_in(page) == ["readme.md"]
