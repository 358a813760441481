"""LMDBs whose records are paired by position: what is refused, warned about, and allowed."""

import pytest

import caffe
from caffe import paired_data
from caffe.database import Writer
from caffe.proto import caffe_pb2

DATA = (
    'layer {{ name: "{0}" type: "Data" top: "{0}" {2} data_param {{ source: "{1}/{0}"'
    " batch_size: {3} backend: LMDB }} }}\n"
)
SCORES = (
    'layer { name: "ip" type: "InnerProduct" bottom: "images" top: "y"'
    " inner_product_param { num_output: 2 } }\n"
)
LOSS = (
    'layer { name: "loss" type: "SigmoidCrossEntropyLoss" bottom: "y" bottom: "labels"'
    ' top: "loss" }\n'
)


@pytest.fixture
def check(tmp_path, net_from, capfd, monkeypatch):
    """check(images=keys, labels=keys): the warnings about a net on two LMDBs with these keys."""
    monkeypatch.setenv("GLOG_minloglevel", "0")

    def run(images, labels, text=SCORES + LOSS, batch_sizes=(2, 2), labels_shape=(2, 1, 1)):
        size = labels_shape[0] * labels_shape[1] * labels_shape[2]
        channels, height, width = labels_shape
        vector = caffe_pb2.Datum(
            channels=channels, height=height, width=width, float_data=[0.5] * size
        )
        for name, keys, datum in (
            ("images", images, caffe_pb2.Datum(channels=3, height=1, width=1, data=b"abc")),
            ("labels", labels, vector),
        ):
            with Writer(tmp_path / name) as writer:
                for key in keys:
                    writer.put(key, datum)
        layers = [
            DATA.format(n, tmp_path, "", b)
            for n, b in zip(("images", "labels"), batch_sizes, strict=True)
        ]
        net = net_from("".join(layers) + text)
        capfd.readouterr()
        try:
            paired_data.check(net)
        finally:
            net.close()
        return [row for row in capfd.readouterr().err.splitlines() if row.startswith("W")]

    return run


def keys(*names):
    return [f"{i:08d}_{name}" for i, name in enumerate(names)]


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (
            keys("a.jpg", "b.jpg", "c.jpg"),
            keys("a.jpg", "b.jpg"),
            "images holds 3 records and .*labels 2",
        ),
        (
            keys("a.jpg", "c.jpg"),
            keys("a.jpg", "b.jpg", "c.jpg"),
            "record 1 is 00000001_c.jpg .* 00000001_b.jpg in the second",
        ),
        (
            keys("a.jpg", "b.jpg"),
            keys("b.jpg", "a.jpg"),
            "differ: record 0 is 00000000_a.jpg in the first and 00000000_b.jpg",
        ),
        # vectors named after other images
        (keys("a.jpg", "b.jpg"), keys("x.jpg", "y.jpg"), "differ: record 0"),
        # one is missing
        (
            ["00000000_a.jpg", "00000002_c.jpg"],
            ["00000000", "00000001", "00000002"],
            "2 records and .* 3",
        ),
        # sorted as text
        (
            ["0", "1", "10", "2"],
            ["00", "01", "02", "10"],
            "differ: record 2 is 10 in the first and 02",
        ),
    ],
)
def test_targets_of_other_records_stop_the_training(check, images, labels, message):
    with pytest.raises(
        caffe.CaffeError, match=f"net.prototxt: layers 'images' and 'labels' pair .*{message}"
    ) as caught:
        check(images, labels)
    assert str(caught.value).endswith("make both LMDBs again, in one run")


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (keys("a.jpg", "b.jpg"), keys("a.jpg", "b.jpg")),
        (keys("a.jpg", "b.jpg"), ["a.jpg", "b.jpg"]),  # the same names without numbers
        (keys("a.jpg", "b.jpg"), ["00000000", "00000001"]),
        (["00000000", "00000001"], ["0000000001", "0000000002"]),  # counted from 1
        (keys("a.jpg", "b.jpg"), ["cat", "dog"]),  # names that say nothing
    ],
)
def test_pairs_that_fit_or_cannot_be_compared(check, images, labels):
    assert check(images, labels) == []


def test_masks_with_other_names_than_their_images(check):
    text = SCORES.replace("num_output: 2", "num_output: 4") + LOSS
    assert (
        check(
            keys("a.jpg", "b.jpg"), keys("a_mask.png", "b_mask.png"), text, labels_shape=(1, 2, 2)
        )
        == []
    )


def test_different_lengths_get_a_warning(check):
    """Caffe trains on two collections side by side, as domain adaptation does."""
    side_by_side = 'layer { name: "s" type: "Silence" bottom: "images" bottom: "labels" }'
    (warning,) = check(keys("a.jpg", "b.jpg", "c.jpg"), keys("x.jpg", "b.jpg"), side_by_side)
    assert "images holds 3 records and" in warning
    assert "labels 2: if they belong together" in warning


def test_a_constant_target(check):
    (warning,) = check(keys("a.jpg", "b.jpg"), keys("a.jpg"))
    assert "2 records" in warning


def test_other_batch_sizes_are_not_compared(check):
    side_by_side = 'layer { name: "s" type: "Silence" bottom: "images" bottom: "labels" }'
    assert (
        check(keys("a.jpg", "b.jpg", "c.jpg"), keys("a.jpg"), side_by_side, batch_sizes=(2, 1))
        == []
    )


def test_two_learnt_halves_are_not_targets(check):
    """A siamese net compares learnt values; its pairs may come from lists of different lengths."""
    text = SCORES + (
        'layer { name: "ip2" type: "InnerProduct" bottom: "labels" top: "z"'
        " inner_product_param { num_output: 2 } }"
        'layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "z" top: "loss" }'
    )
    (warning,) = check(keys("a.jpg", "b.jpg", "c.jpg"), keys("a.jpg", "b.jpg"), text)
    assert "3 records" in warning


def test_a_solver_checks_its_nets(tmp_path):
    for name, count in (("images", 3), ("labels", 2)):
        with Writer(tmp_path / name) as writer:
            for key in keys("a.jpg", "b.jpg", "c.jpg")[:count]:
                writer.put(
                    key, caffe_pb2.Datum(channels=2, height=1, width=1, float_data=[0.5, 0.5])
                )
    (tmp_path / "net.prototxt").write_text(
        "".join(DATA.format(n, tmp_path, "", 2) for n in ("images", "labels")) + SCORES + LOSS
    )
    (tmp_path / "solver.prototxt").write_text(
        f'net: "{tmp_path}/net.prototxt" base_lr: 0.1 lr_policy: "fixed"'
    )
    with pytest.raises(caffe.CaffeError, match="pair their records by position"):
        caffe.get_solver(str(tmp_path / "solver.prototxt"))
