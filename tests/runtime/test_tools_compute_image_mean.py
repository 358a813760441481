"""compute_image_mean: the mean file that BVLC Caffe makes, and what is refused."""

import re

import numpy as np
import pytest

from caffe.database import Writer
from caffe.io import array_to_datum, read_mean_file
from caffe.proto import caffe_pb2
from caffe.tools.compute_image_mean import main


def write(path, arrays):
    with Writer(path) as database:
        for i, array in enumerate(arrays):
            database.put(f"{i:08d}", array_to_datum(array))


def test_as_recorded(golden, tmp_path, capsys):
    assert main([str(golden / "data" / "raw_lmdb"), str(tmp_path / "mean.binaryproto")]) == 0
    assert (tmp_path / "mean.binaryproto").read_bytes() == (
        golden / "data" / "mean.binaryproto"
    ).read_bytes()
    text = re.compile(r"compute_image_mean\.cpp:\d+\] (.*)")
    recorded = list(text.findall((golden / "data" / "compute_image_mean.log").read_text()))
    assert [row for row in text.findall(capsys.readouterr().err) if "Write to" not in row] == [
        row for row in recorded if "Write to" not in row
    ]


def test_by_hand(tmp_path, capsys):
    images = [np.full((2, 1, 2), value, dtype=np.uint8) for value in (10, 20, 33)]
    images[2][1, 0, 1] = 60
    write(tmp_path / "db", images)
    assert main([str(tmp_path / "db"), str(tmp_path / "mean")]) == 0
    np.testing.assert_array_equal(read_mean_file(tmp_path / "mean"), [[[21, 21]], [[21, 30]]])
    blob = caffe_pb2.BlobProto.FromString((tmp_path / "mean").read_bytes())
    assert (blob.num, blob.channels, blob.height, blob.width) == (1, 2, 1, 2)
    assert not blob.HasField("shape")
    log = capsys.readouterr().err
    assert "mean_value channel [0]: 21\n" in log
    assert "mean_value channel [1]: 25.5\n" in log
    assert "Processed 3 files." in log


def test_float_data_and_no_file(tmp_path, capsys):
    write(tmp_path / "db", [np.array([[[0.5]]]), np.array([[[-1.0]]])])
    assert main([str(tmp_path / "db")]) == 0
    assert "mean_value channel [0]: -0.25\n" in capsys.readouterr().err


def test_encoded(golden, capsys):
    """The PNGs hold the same pixels as the raw records."""
    means = []
    for name in ("raw", "png"):
        assert main([str(golden / "data" / f"{name}_lmdb")]) == 0
        means.append(re.findall(r"mean_value .*", capsys.readouterr().err))
    assert means[0] == means[1]
    assert len(means[0]) == 3


def test_refused(tmp_path, fatal):
    write(
        tmp_path / "db", [np.zeros((1, 2, 3), dtype=np.uint8), np.zeros((1, 3, 2), dtype=np.uint8)]
    )
    assert "record 00000001 is (1, 3, 2)" in fatal(main, tmp_path / "db")
    with Writer(tmp_path / "broken") as database:
        database.put("k", caffe_pb2.Datum(channels=3, height=1, width=1, data=b"ab"))
    assert (
        "record k declares the shape (3, 1, 1) (channels, height, width) but holds 2 numbers"
        in fatal(main, tmp_path / "broken", tmp_path / "mean")
    )
    assert "no such LMDB folder" in fatal(main, tmp_path / "none")
    assert "only lmdb" in fatal(main, "-backend=leveldb", tmp_path / "db")
    assert "INPUT_DB [OUTPUT_FILE]" in fatal(main, "a", "b", "c")
    assert not (tmp_path / "mean").exists()


def test_a_missing_output_folder_is_named(tmp_path, fatal):
    write(tmp_path / "db", [np.zeros((1, 1, 1), dtype=np.uint8) + 1])
    assert "does the folder exist" in fatal(main, tmp_path / "db", tmp_path / "no" / "mean")


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"]])
def test_usage(arguments, capsys):
    assert main(arguments) == (0 if arguments else 1)
    assert "usage: caffe compute_image_mean" in capsys.readouterr().out
