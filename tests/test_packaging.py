"""The package: what pyproject.toml declares, and a wheel of it in an environment that has only the
core dependencies.
"""

import ast
import importlib
import importlib.metadata as metadata
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import lmdb
import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from caffe import interrupt
from caffe.proto import caffe_pb2

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
FOLDERS = [
    "caffe",
    "texttopicnet",
    "LDA",
    "CNN",
    "experiments",
    "scripts",
    "data",
    "models",
    "benchmarks",
    "tests",
]
NOT_CORE = {
    "gensim",
    "dask",
    "distributed",
    "matplotlib",
    "sklearn",
    "nltk",
    "lxml",
    "numba",
    "PIL",
}
IMPORTED_AS = {  # import name: distribution, where they differ
    "cv2": "opencv-python",
    "google": "protobuf",
    "markupsafe": "jinja2",
    "PIL": "pillow",
    "sklearn": "scikit-learn",
    "stop_words": "stop-words",
    "xdist": "pytest-xdist",
}
OURS = {"caffe", "texttopicnet", "selective_search_ijcv_with_python"}  # the last is BVLC's own name
WITH_PYTORCH = {"triton"}  # PyTorch for CUDA brings it
# tools, and what torch.onnx and nbclient load by themselves
NOT_IMPORTED = {"ruff", "setuptools", "onnx", "onnxscript", "ipykernel"}


# ------------------------------------------------------------------------------------------------
# pyproject.toml, requirements.txt


def distributions(*folders, nested=True):
    """The distributions that the Python files of these folders import; nested: in functions too."""
    found = set()
    for path in (path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        for node in ast.walk(tree) if nested else tree.body:
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            else:
                continue
            found |= {name.partition(".")[0] for name in names}
    # CNN/ has the nets' Python layers, which experiments import from there
    neighbours = {
        path.stem for folder in (*folders, "CNN") for path in (ROOT / folder).rglob("*.py")
    }
    found -= sys.stdlib_module_names | OURS | WITH_PYTORCH | neighbours
    return {IMPORTED_AS.get(name, name) for name in found}


def declared(*extras):
    """{distribution: Requirement} of the core and these extras, with the extras that they name."""
    texts = [*PROJECT["dependencies"]]
    waiting = list(extras)
    while waiting:
        for text in PROJECT["optional-dependencies"][waiting.pop()]:
            requirement = Requirement(text)
            if requirement.name == PROJECT["name"]:
                waiting += requirement.extras
            else:
                texts.append(text)
    return {canonicalize_name(Requirement(text).name): Requirement(text) for text in texts}


def test_the_core_is_what_caffe_imports():
    assert set(declared()) == distributions("caffe", nested=False)
    # in functions: matplotlib, for a picture that is left out without it, and onnxruntime, for a
    # comparison that is left out without it
    assert distributions("caffe") - set(declared()) == {"matplotlib", "onnxruntime"}


@pytest.mark.parametrize(
    ("extra", "folders"),
    [
        ("topics", ["LDA", "scripts", "data"]),
        ("topics", ["CNN"]),
        ("cluster", ["texttopicnet"]),
        ("experiments", ["experiments"]),
        ("models", ["models"]),
        ("dev", ["tests", "benchmarks"]),
    ],
)
def test_an_extra_has_what_its_folders_import(extra, folders):
    optional = {"scikit-learn", "distributed"} if extra in ("topics", "cluster") else set()
    optional |= {"packaging", "tomli", "nbformat"}  # they come with pytest and nbclient
    optional |= {"gradio"} if extra == "experiments" else set()  # demo.py has an extra of its own
    assert distributions(*folders) - optional <= set(declared(extra))


def test_every_declared_library_is_imported_somewhere():
    used = distributions(*FOLDERS)
    assert set(declared("all")) - NOT_IMPORTED <= used
    assert {*("topics", "cluster", "experiments", "demo", "models", "export", "dev", "all")} == set(
        PROJECT["optional-dependencies"]
    )


def test_the_pins_lie_in_the_ranges():
    """requirements.txt pins every library that an extra names, and nothing else."""
    rows = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    pins = dict(row.split("==") for row in rows if not row.startswith("#"))
    wanted = declared("all")
    assert {canonicalize_name(name) for name in pins} == set(wanted)
    for name, version in pins.items():
        assert wanted[canonicalize_name(name)].specifier.contains(version), name


def test_the_versions_agree():
    assert metadata.version("texttopicnet") == PROJECT["version"]
    heads = re.findall(r"^## (\S+)", (ROOT / "CHANGES.md").read_text("utf-8"), re.M)
    assert heads[0] == PROJECT["version"]
    assert f"\nversion: {PROJECT['version']}\n" in (ROOT / "CITATION.cff").read_text("utf-8")


def test_the_workflow_tests_every_python_that_is_declared():
    workflow = (ROOT / ".github" / "workflows" / "test.yml").read_text("utf-8")
    (tested,) = re.findall(r"python: \[(.*)\]", workflow)
    prefix = "Programming Language :: Python :: 3."
    declared = [c[len(prefix) - 2 :] for c in PROJECT["classifiers"] if c.startswith(prefix)]
    assert re.findall(r"[\d.]+", tested) == declared == ["3.10", "3.11", "3.12", "3.13"]
    assert "run: bash scripts/test.sh" in workflow


@pytest.mark.parametrize("name", interrupt.COMMANDS)
def test_a_console_command(name):
    """Each of BVLC's tools answers to BVLC's name; Ctrl-C is quiet in each."""
    module, function = PROJECT["scripts"][name].split(":")
    assert callable(getattr(importlib.import_module(module), function))
    tool = name.partition(".")[0]
    assert module == ("caffe.cli" if name == "caffe" else f"caffe.tools.{tool}")


def test_the_console_commands_shadow_no_other_program():
    assert sorted(PROJECT["scripts"]) == sorted(interrupt.COMMANDS)
    assert not {"extract_features", "parse_log"} & set(PROJECT["scripts"])


# ------------------------------------------------------------------------------------------------
# a wheel


def closure(names):
    """These distributions and all installed ones that they need."""
    found, waiting = {}, list(names)
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in found:
            continue
        try:
            found[name] = metadata.distribution(name)
        except metadata.PackageNotFoundError:  # CUDA's libraries beside a PyTorch for the CPU
            continue
        for text in found[name].requires or ():
            requirement = Requirement(text)
            if not requirement.marker or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return found


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of what the wheel is built from, with one script of the text half."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("caffe", "texttopicnet"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "LDA").mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "LDA/learn_LDA_model.py"):
        shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def environment(project, tmp_path_factory):
    """The programs' folder of an environment with the wheel and links to its core dependencies."""
    folder = tmp_path_factory.mktemp("environment")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", folder / "wheel"]
    subprocess.run([*pip, *map(str, build), str(project)], check=True, cwd=folder)
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    programs = folder / "venv" / "bin"
    (packages,) = (folder / "venv").glob("lib/python*/site-packages")
    for distribution in closure(declared()).values():
        for top in {file.parts[0] for file in distribution.files} - {"..", "__pycache__"}:
            link = packages / top
            if not link.exists():
                link.symlink_to(distribution.locate_file(top))
    (wheel,) = (folder / "wheel").glob("*.whl")
    install = ["--python", programs / "python", "install", "--no-deps", "--no-index", wheel]
    subprocess.run([*pip, *map(str, install)], check=True)
    return programs


def run(environment, *arguments, cwd):
    """Run a command of the environment, without anything of this one; it must succeed."""
    line = [environment / arguments[0], *arguments[1:]]
    return subprocess.run(line, cwd=cwd, capture_output=True, text=True, env={"PATH": "/usr/bin"})


LOADED = f"""
import sys
import caffe
print(caffe.__file__)
print(caffe.__version__, *sorted(set(sys.modules) & {NOT_CORE!r}))
"""


def test_import_caffe_loads_none_of_the_rest():
    """In this environment, where everything is installed."""
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.splitlines()[1] == "1.0.0"


def test_import_caffe_from_a_wheel(environment, tmp_path):
    search = f"import importlib.util as u; print([n for n in {NOT_CORE!r} if u.find_spec(n)])"
    assert run(environment, "python", "-c", search, cwd=tmp_path).stdout == "[]\n"
    done = run(environment, "python", "-c", LOADED, cwd=tmp_path)
    where, loaded = done.stdout.splitlines()
    assert Path(where).is_relative_to(environment.parent)
    assert loaded == "1.0.0"
    assert done.stderr == ""
    assert (Path(where).parent / "LAYERS.md").is_file()
    assert (Path(where).parent / "proto" / "caffe.proto").is_file()


NET = """
layer { name: "data" type: "Data" top: "x" top: "t"
  data_param { source: "db" batch_size: 4 backend: LMDB } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "y" bottom: "t" top: "loss" }
"""
SOLVER = 'net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 5 display: 1 random_seed: 1'


@pytest.fixture(scope="module")
def trained(environment, tmp_path_factory):
    """The folder in which the wheel's `caffe train` has trained a small net from an LMDB."""
    folder = tmp_path_factory.mktemp("training")
    database = lmdb.open(str(folder / "db"), map_size=1 << 22)
    with database.begin(write=True) as transaction:
        for i, row in enumerate(np.random.default_rng(0).standard_normal((8, 5))):
            datum = caffe_pb2.Datum(channels=5, height=1, width=1, float_data=row, label=i % 2)
            transaction.put(f"{i:08d}".encode(), datum.SerializeToString())
    database.close()
    (folder / "net.prototxt").write_text(NET)
    for name in ("wheel", "here"):
        (folder / f"{name}.prototxt").write_text(f'{SOLVER} snapshot_prefix: "{name}"')
    done = run(environment, "caffe", "train", "-solver", "wheel.prototxt", cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "log").write_text(done.stderr)
    return folder


def test_a_wheel_trains(trained):
    """It gives the weights that the project's own command gives."""
    command = [sys.executable, "-m", "caffe.cli", "train", "-solver", "here.prototxt"]
    subprocess.run(command, check=True, cwd=trained, capture_output=True)
    weights = (trained / "wheel_iter_5.caffemodel").read_bytes()
    assert weights == (trained / "here_iter_5.caffemodel").read_bytes()


def test_bvlcs_names_and_the_sub_command_do_the_same(environment, trained, tmp_path):
    arguments = ("wheel_iter_5.caffemodel", "net.prototxt", "y")
    done = run(
        environment, "extract_features.bin", *arguments, tmp_path / "a", "2", "lmdb", cwd=trained
    )
    assert done.returncode == 0, done.stderr
    done = run(
        environment,
        "caffe",
        "extract_features",
        *arguments,
        tmp_path / "b",
        "2",
        "lmdb",
        cwd=trained,
    )
    assert done.returncode == 0, done.stderr
    rows = []
    for name in ("a", "b"):
        with lmdb.open(str(tmp_path / name), readonly=True).begin() as transaction:
            rows.append(list(transaction.cursor()))
    assert rows[0] == rows[1]
    assert len(rows[0]) == 8
    assert not (environment / "extract_features").exists()


def test_parse_log_without_matplotlib_leaves_the_picture_out(environment, trained, tmp_path):
    done = run(environment, "parse_log.py", "log", tmp_path, cwd=trained)
    assert done.returncode == 0, done.stderr
    assert "log.png is left out: pip install matplotlib" in done.stderr
    assert (tmp_path / "log.train").read_text().startswith("NumIters,Seconds,LearningRate,loss")
    assert not (environment / "parse_log").exists()


def test_a_script_finds_its_project_when_the_package_is_not_editable(environment, project):
    """A script writes into its own project, not beside the installed package."""
    (project / "LDA" / "where.py").write_text(
        "import texttopicnet.startup\nfrom texttopicnet import artefacts\nprint(artefacts.ROOT)\n"
    )
    shutil.move(project / "texttopicnet", project / "elsewhere")
    try:
        done = run(environment, "python", "LDA/where.py", cwd=project)
    finally:
        shutil.move(project / "elsewhere", project / "texttopicnet")
    assert done.stdout == f"{project}\n", done.stderr


def test_a_script_names_the_library_that_is_not_installed(environment, project):
    done = run(environment, "python", "LDA/learn_LDA_model.py", cwd=project)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: numba is not installed") or line.startswith("error: gensim is")
    assert f"pip install '{project}[all]'" in line
