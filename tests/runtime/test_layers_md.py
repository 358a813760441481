"""LAYERS.md against the registry and caffe.proto; README.md's table against the files."""

import re
from pathlib import Path

import pytest

import caffe
from caffe.layer_factory import NOT_SUPPORTED, create
from caffe.net_spec import OWN_FIELDS
from caffe.proto import caffe_pb2

FOLDER = Path(caffe.__file__).parent

# types that take their settings from another type's message, or from several
MESSAGES = {
    "Deconvolution": ["convolution_param"],
    "Im2col": ["convolution_param"],
    "SigmoidCrossEntropyLoss": ["loss_param"],
    "SoftmaxWithLoss": ["softmax_param", "loss_param"],
    "InfogainLoss": ["infogain_loss_param", "loss_param"],
}


def rows():
    """{type: [file, fields, refused, differs]} of all tables of LAYERS.md."""
    found = {}
    for line in (FOLDER / "LAYERS.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("|") and not line.startswith(("|--", "| type ")):
            name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
            assert name not in found, f"{name} is listed twice"
            assert len(cells) == 4, f"{name}: {len(cells) + 1} columns"
            found[name] = cells
    return found


def test_every_type_once():
    table = rows()
    assert {name for name, cells in table.items() if cells[0] != "not supported"} == set(
        caffe.layer_type_list()
    )
    assert {name for name, cells in table.items() if cells[0] == "not supported"} == set(
        NOT_SUPPORTED
    )


FORKS = {"ROIPooling", "SmoothL1Loss"}  # outside BVLC Caffe 1.0


def test_as_many_as_caffe_has():
    assert len(rows().keys() - FORKS) == 61  # the types that BVLC Caffe 1.0 registers


def test_the_forks_types_are_marked():
    text = (FOLDER / "LAYERS.md").read_text(encoding="utf-8")
    _, own = text.split("## Outside BVLC Caffe 1.0")
    assert set(re.findall(r"^\| (\w+) \| `", own, re.MULTILINE)) == FORKS
    for name in FORKS:
        path = FOLDER / rows()[name][0].strip("`")
        assert "Outside BVLC Caffe 1.0" in path.read_text(encoding="utf-8")


def test_the_forks_fields_have_the_forks_numbers():
    fields = caffe_pb2.LayerParameter.DESCRIPTOR.fields_by_name
    assert fields["roi_pooling_param"].number == 8266711
    assert fields["smooth_l1_loss_param"].number == 8266712


def test_file_is_where_the_type_is_registered():
    for name, (file, *_) in rows().items():
        if file != "not supported":
            path = FOLDER / file.strip("`")
            assert f'@register("{name}")' in path.read_text(encoding="utf-8"), file


def test_a_file_of_layers_registers_the_type_that_it_is_named_after():
    """One layer type per file, and nothing else beside them: lstm_unit.py registers LSTMUnit."""
    files = {path.stem: path for path in (FOLDER / "layers").glob("*.py")}
    del files["__init__"]
    for name, path in files.items():
        types = re.findall(r'^@register\("(\w+)"\)', path.read_text(encoding="utf-8"), re.MULTILINE)
        assert [type_name.lower() for type_name in types] == [name.replace("_", "")], path.name
    assert len(files) == len(caffe.layer_type_list()) == 60 + len(FORKS)


def test_every_field_of_the_message_is_mentioned():
    for name, cells in rows().items():
        if cells[0] == "not supported":
            continue
        named = set(re.findall(r"`(\w+)`", " ".join(cells)))
        for own in MESSAGES.get(name, [OWN_FIELDS[name]] if name in OWN_FIELDS else []):
            message = caffe_pb2.LayerParameter.DESCRIPTOR.fields_by_name[own].message_type
            missing = {field.name for field in message.fields} - named
            assert not missing, (
                f"{name}: {own} has {sorted(missing)}, which LAYERS.md does not mention"
            )


def test_a_type_without_support_is_refused_by_name():
    for name in NOT_SUPPORTED:
        with pytest.raises(caffe.CaffeError, match=f"layer 'x': type '{name}' is not supported"):
            create(caffe_pb2.LayerParameter(name="x", type=name), "net", None)


def test_every_file_is_in_the_readme():
    named = set(re.findall(r"`(\w+\.py)`", (FOLDER / "README.md").read_text(encoding="utf-8")))
    assert {path.name for path in FOLDER.glob("*.py")} - {"__init__.py"} <= named
    assert {name for name in named if not (FOLDER / name).exists()} == {"caffe_pb2.py"} & named
