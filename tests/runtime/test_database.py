"""Writing LMDBs: whole or not at all, growing, keys in order; what is written can be read."""

import lmdb
import numpy as np
import pytest

import caffe
from caffe.database import LMDB, Writer, check_length
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
    assert [database.key_text(i) for i in range(len(database))] == [
        "00000000_ü",
        "00000001_ü",
        "00000002_ü",
    ]
    assert [database.datum(i) for i in range(3)] == [datum(label=i) for i in range(3)]
    assert [path.name for path in tmp_path.rglob("*")] == ["db", "data.mdb"]


def test_a_database_grows(tmp_path, monkeypatch):
    monkeypatch.setattr(Writer, "FIRST_MAP", 1 << 16)
    monkeypatch.setattr(Writer, "BATCH_BYTES", 1 << 14)
    with Writer(tmp_path / "db") as writer:
        for i in range(10):
            writer.put(f"{i:08d}", datum(size=30_000 + i))
    database = LMDB(str(tmp_path / "db"))
    assert [database.datum(i).width for i in range(len(database))] == list(range(30_000, 30_010))


def test_a_failure_leaves_nothing_behind(tmp_path):
    with pytest.raises(ZeroDivisionError), Writer(tmp_path / "db") as writer:
        writer.put("0", datum())
        writer.put("1", datum(1 // 0))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["b", "a"], "the key a is not greater"),
        (["k" * 600], "is longer than the 511 bytes that LMDB allows"),
    ],
)
def test_refused_keys(tmp_path, keys, message):
    with pytest.raises(caffe.CaffeError, match=message), Writer(tmp_path / "db") as writer:
        for key in keys:
            writer.put(key, datum())
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "db").write_text("precious")
    with pytest.raises(caffe.CaffeError, match="db: already exists"):
        Writer(tmp_path / "db")
    with (
        pytest.raises(caffe.CaffeError, match="does the folder exist"),
        Writer(tmp_path / "no" / "db"),
    ):
        pass
    assert (tmp_path / "db").read_text() == "precious"


def written(path, records=50, size=3000):
    with Writer(path) as writer:
        for i in range(records):
            writer.put(f"{i:08d}", datum(size=size))
    return path / "data.mdb"


@pytest.mark.parametrize("share", [0.001, 0.01, 0.3, 0.9, 0.9999])
def test_a_truncated_database_is_refused(tmp_path, share):
    """LMDB would map it, and the first missing page would kill the process with SIGBUS."""
    path = written(tmp_path / "db")
    size = path.stat().st_size
    with open(path, "r+b") as f:
        f.truncate(int(share * size))
    with pytest.raises(caffe.CaffeError, match=r"db/data.mdb: is truncated") as caught:
        LMDB(str(tmp_path / "db"))
    if share >= 0.3:
        assert f"it should have {size} bytes and has {int(share * size)}" in str(caught.value)


def test_whole_databases_pass_the_length_check(tmp_path):
    check_length(written(tmp_path / "db"))
    # several transactions, of which the last counts
    environment = lmdb.open(str(tmp_path / "other"), map_size=1 << 24)
    for i in range(7):
        with environment.begin(write=True) as transaction:
            transaction.put(str(i).encode(), bytes(10_000 * i))
        check_length(tmp_path / "other" / "data.mdb")
    with environment.begin(write=True) as transaction:
        transaction.delete(b"6")
    environment.close()
    check_length(tmp_path / "other" / "data.mdb")
    lmdb.open(str(tmp_path / "empty")).close()
    check_length(tmp_path / "empty" / "data.mdb")


def test_recorded_databases_pass_the_length_check(golden):
    paths = list(golden.glob("*/*_lmdb/data.mdb"))
    assert paths
    for path in paths:
        check_length(path)


def test_seeded_damage_ends_in_one_sentence(tmp_path):
    """Records with random bytes changed: a CaffeError that names the record, or a Datum."""
    rng, good = np.random.default_rng(0), datum(size=40, label=3).SerializeToString()
    with Writer(tmp_path / "db") as writer:
        for i in range(500):
            record = bytearray(good)
            for at in rng.integers(len(record), size=3):
                record[at] = rng.integers(256)
            writer.put(f"{i:08d}", bytes(record[: rng.integers(1, len(record) + 1)]))
    database, refused = LMDB(str(tmp_path / "db")), 0
    for i in range(len(database)):
        try:
            database.datum(i)
        except caffe.CaffeError as error:
            assert f"record {i:08d} is not a Datum" in str(error)
            assert "\n" not in str(error)
            refused += 1
    assert 100 < refused < 500


class FullDisk:
    """An LMDB environment whose disk is full."""

    def __init__(self, environment):
        self.environment = environment

    def __getattr__(self, name):
        return getattr(self.environment, name)

    def begin(self, write=False):
        raise lmdb.DiskError("mdb_txn_commit: No space left on device")


def test_a_full_disk_is_one_sentence(tmp_path):
    full = pytest.raises(caffe.CaffeError, match=r"db: cannot be written .*No space left on device")
    with full, Writer(tmp_path / "db") as writer:
        writer._lmdb = FullDisk(writer._lmdb)
        writer.put("0", datum())
    assert not list(tmp_path.iterdir())


def test_a_map_that_cannot_grow_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(Writer, "FIRST_MAP", 1 << 16)
    stuck = pytest.raises(caffe.CaffeError, match="db: cannot grow any more")
    with stuck, Writer(tmp_path / "db") as writer:
        writer._lmdb = Stuck(writer._lmdb)
        writer.put("0", datum(size=1 << 20))
    assert not list(tmp_path.iterdir())


class Stuck(FullDisk):
    """An LMDB environment that has used up the address space."""

    def begin(self, write=False):
        return self.environment.begin(write=write)

    def set_mapsize(self, size):
        raise lmdb.Error("mdb_env_set_mapsize: Cannot allocate memory")
