"""Writing LMDBs: whole or not at all, growing, keys in order; what is written can be read."""

import pytest

import caffe
from caffe.database import LMDB, Writer
from caffe.proto import caffe_pb2


def datum(size=1, label=0):
    return caffe_pb2.Datum(channels=1, height=1, width=size, data=bytes(size), label=label)


def test_written_and_read(tmp_path):
    with Writer(tmp_path / "db") as writer:
        for i in range(3):
            writer.put(f"{i:08d}_ü", datum(label=i))
        assert not (tmp_path / "db").exists()
    assert writer.count == 3
    database = LMDB(str(tmp_path / "db"))
    assert [database.key_text(i) for i in range(len(database))] == ["00000000_ü", "00000001_ü", "00000002_ü"]
    assert [database.datum(i) for i in range(3)] == [datum(label=i) for i in range(3)]
    assert [path.name for path in tmp_path.rglob("*")] == ["db", "data.mdb"]


def test_it_grows(tmp_path, monkeypatch):
    monkeypatch.setattr(Writer, "FIRST_MAP", 1 << 16)
    monkeypatch.setattr(Writer, "BATCH_BYTES", 1 << 14)
    with Writer(tmp_path / "db") as writer:
        for i in range(10):
            writer.put(f"{i:08d}", datum(size=30_000 + i))
    database = LMDB(str(tmp_path / "db"))
    assert [database.datum(i).width for i in range(len(database))] == list(range(30_000, 30_010))


def test_nothing_stays_of_a_failure(tmp_path):
    with pytest.raises(ZeroDivisionError), Writer(tmp_path / "db") as writer:
        writer.put("0", datum())
        writer.put("1", datum(1 // 0))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "keys, message", [(["b", "a"], "the key a is not greater"), (["k" * 600], "is longer than LMDB's 511 bytes")]
)
def test_keys_that_cannot_be(tmp_path, keys, message):
    with pytest.raises(caffe.CaffeError, match=message), Writer(tmp_path / "db") as writer:
        for key in keys:
            writer.put(key, datum())
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "db").write_text("precious")
    with pytest.raises(caffe.CaffeError, match="db: is there already"):
        Writer(tmp_path / "db")
    with pytest.raises(caffe.CaffeError, match="does the folder exist"), Writer(tmp_path / "no" / "db"):
        pass
    assert (tmp_path / "db").read_text() == "precious"
