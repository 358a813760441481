"""The READMEs: links lead to files, and the lines for users of Caffe run and are near the top."""

import re
import shlex
import subprocess

import cv2
import numpy as np
import pytest

import caffe
from caffe import cli, interrupt
from texttopicnet import artefacts

ROOT = artefacts.ROOT
PAGES = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not {".venv", "work", "build"} & set(path.relative_to(ROOT).parts)
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
DEPLOY = """
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }
"""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page):
    for link in LINK.findall(page.read_text("utf-8")):
        if not link.startswith(("http://", "https://", "#")):
            assert (page.parent / link.partition("#")[0]).exists(), link


def test_the_readme_begins_with_what_users_of_caffe_need():
    """Within one screen: how to install the runtime, and at most ten lines that use it."""
    screen = "\n".join((ROOT / "README.md").read_text("utf-8").splitlines()[:45])
    assert "pip install ." in screen
    assert "caffe train -solver" in screen
    (code,) = re.findall(r"```python\n(.*?)```", screen, re.DOTALL)
    assert len(code.strip().splitlines()) <= 10
    assert screen.index("```python") < screen.index("bash scripts/run_all.sh --sample")


@pytest.mark.parametrize("name", ["README.md", "caffe/README.md"])
def test_the_example_runs(name, tmp_path, monkeypatch):
    (tmp_path / "deploy.prototxt").write_text(DEPLOY)
    net = caffe.Net(str(tmp_path / "deploy.prototxt"), caffe.TEST)
    net.save(str(tmp_path / "weights.caffemodel"))
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "image.jpg"), image)
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / name).read_text("utf-8"), re.DOTALL)
    names = {}
    exec(code, names)
    assert names["scores"].shape == (5,)
    assert names["scores"].sum() == pytest.approx(1)


def test_the_first_lines_of_caffes_readme_run(tmp_path, monkeypatch, capsys):
    """From a prototxt and a .caffemodel to classes, a picture and an ONNX file."""
    text = (ROOT / "caffe" / "README.md").read_text("utf-8")
    lines = re.search(r"```bash\n(.*?)```", text, re.DOTALL)[1].splitlines()
    assert lines[0].startswith("pip install .")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deploy.prototxt").write_text(DEPLOY)
    net = caffe.Net("deploy.prototxt", caffe.TEST)
    net.params["ip"][0].data[...] = 0
    net.params["ip"][1].data[...] = [0, 2, 0, 1, 0]
    net.save("weights.caffemodel")
    cv2.imwrite("image.jpg", np.full((20, 30, 3), 100, np.uint8))
    (tmp_path / "labels.txt").write_text("ant\nbee\ncat\ndog\nelk\n")
    printed = {}
    for line in lines[1:]:
        words = shlex.split(line, comments=True)
        assert words[0] == "caffe"
        assert cli.main(words[1:]) == 0
        printed[words[1]] = capsys.readouterr().out
    assert list(printed) == ["inspect", "classify", "draw", "export"]
    assert "1 layer(s) are copied" in printed["inspect"]
    # exp(2) / (exp(2) + exp(1) + 3) = 0.5637
    head, first, second, *_ = printed["classify"].splitlines()
    assert head == "---------- Prediction for image.jpg ----------"
    assert (first, second) == ('0.5637 - "bee"', '0.2074 - "dog"')
    assert "largest difference" in printed["export"]
    assert (tmp_path / "net.svg").is_file()
    assert (tmp_path / "net.onnx").is_file()


def test_the_commands_of_caffes_readme_are_the_tools():
    """Each sub-command and each of BVLC's names in the table exists."""
    text = (ROOT / "caffe" / "README.md").read_text("utf-8")
    table = text.partition("| sub-command |")[2].partition("\n\n")[0]
    assert sorted(re.findall(r"`caffe (\w+)`", table)) == sorted(cli.TOOLS)
    own = text.partition("These are not BVLC's:")[2].partition("\n\n## ")[0]
    assert sorted(re.findall(r"^\| `caffe (\w+) ", own, re.M)) == sorted(cli.OWN)
    listed = [name for name in re.findall(r"[\w.]+", table) if name in interrupt.COMMANDS]
    assert set(interrupt.COMMANDS) == set(listed)


def test_no_page_names_a_script_that_is_gone():
    """Scripts and modules in backticks, such as `LDA/show_topics.py`, are files of the project."""
    tracked = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True, check=False
    ).stdout.split()
    files = set(tracked) or {str(p.relative_to(ROOT)) for p in ROOT.rglob("*")}
    folders = "LDA|CNN|experiments|scripts|texttopicnet|benchmarks|data|models"
    for page in PAGES:
        for path in re.findall(rf"`((?:{folders})/[\w/]+\.(?:py|sh))", page.read_text("utf-8")):
            assert path in files, f"{page}: {path}"
