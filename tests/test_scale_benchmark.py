"""The benchmark of scale: its corpus is as described, memory is that of all processes, and finished
sizes are kept.
"""

import json
import subprocess
import sys

import numpy as np
import psutil
import pytest

from texttopicnet import artefacts, text
from texttopicnet.errors import UserError


@pytest.fixture(scope="module")
def scale_text(load_script):
    return load_script("benchmarks/scale_text.py")


@pytest.fixture(scope="module")
def drawn(load_script):
    return load_script("benchmarks/drawn_articles.py")


@pytest.fixture(scope="module")
def lexicon(drawn):
    return drawn.Lexicon(seed=0)


def test_names_are_syllables_of_the_digits_and_no_two_are_alike(drawn):
    assert drawn.name_of(123456) == "pejudi"  # 56: 11th consonant (from 0), 1st vowel; 34; 12
    ranks = [*range(60_000), *range(999_000, 1_001_000), 10**8, 10**15]
    assert len({drawn.name_of(rank) for rank in ranks}) == len(ranks)


def test_numbers_stand_for_nouns_plurals_and_names(drawn, lexicon):
    nouns = lexicon.num_nouns
    singular, plural = (
        lexicon.spelt(lexicon.numbers(np.arange(500), there)) for there in (False, True)
    )
    assert all(text.token_of(word) == word for word in singular)
    assert {(b.removeprefix(a)) for a, b in zip(singular, plural, strict=True)} == {"", "s"}
    assert lexicon.spelt(lexicon.numbers(np.array([nouns - 1, nouns, 10**7]), False)) == [
        lexicon.spelt(np.array([lexicon.first_noun + nouns - 1]))[0],
        drawn.name_of(nouns),
        drawn.name_of(10**7),
    ]


def test_frequency_of_ranks(drawn):
    ranks = drawn.draw_ranks(np.random.default_rng(0), 400_000)
    flat, knee = drawn.FLAT, drawn.KNEE
    head = np.log(1 + knee / flat)  # to 1, the whole of the steep part

    def share(low, high):
        return np.mean((ranks >= low) & (ranks < high)) * (1 + head)

    assert share(0, flat) == pytest.approx(np.log(2), rel=0.02)
    assert share(0, knee) == pytest.approx(head, rel=0.01)
    assert share(knee, 2 * knee) == pytest.approx(1 / 2, rel=0.02)
    assert share(100 * knee, 2**62) == pytest.approx(1 / 100, rel=0.1)


def test_articles_have_the_length_of_real_ones(drawn, lexicon, monkeypatch):
    monkeypatch.setattr(drawn, "SPREAD", 0.01)  # so that a few articles have the mean of many
    rng = np.random.default_rng(0)
    articles = [drawn.draw_article(rng, lexicon) for _ in range(60)]
    tokens = [text.tokenize(article) for article in articles]
    assert np.mean([len(article) for article in tokens]) == pytest.approx(2481, rel=0.02)
    assert 1000 < np.mean([len(set(article)) for article in tokens]) < 1150
    words = " ".join(articles).split()
    assert any(word in lexicon.words[: lexicon.num_stop_words] for word in words)


@pytest.fixture
def small_folders(monkeypatch, drawn, lexicon):
    monkeypatch.setattr(drawn, "PER_FOLDER", 3)
    monkeypatch.setattr(drawn, "Lexicon", lambda seed: lexicon)
    monkeypatch.setattr(drawn, "WORDS", 100)


def files_of(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_smaller_corpus_is_the_beginning_of_a_larger_one(drawn, tmp_path, small_folders):
    drawn.make_corpus(tmp_path / "4", 4, seed=0, workers=1)
    drawn.make_corpus(tmp_path / "7", 7, seed=0, workers=2)
    drawn.make_corpus(tmp_path / "other", 4, seed=1, workers=1)
    smaller, larger, other = (files_of(tmp_path / name) for name in ("4", "7", "other"))
    assert sorted(smaller) == sorted(
        file
        for n, folder in ((0, 0), (1, 0), (2, 0), (3, 1))
        for file in (
            f"images/{folder}/{n}.jpg",
            f"metadata/{folder}/{n}.xml",
            f"text/en/{folder}/{n}",
        )
    )
    assert len(larger) == 21
    assert smaller.items() <= larger.items()
    assert other["text/en/0/0"] != smaller["text/en/0/0"]
    assert (tmp_path / "7/images/0/2.jpg").stat().st_nlink == 3


def test_a_row_says_what_it_was_measured_with(scale_text, tmp_path, small_folders, monkeypatch):
    """With the first script only: no word of so few articles is in 20 of them."""
    monkeypatch.setattr(scale_text, "STAGES", scale_text.STAGES[:1])
    monkeypatch.setattr(scale_text.vocabulary, "load", lambda path: ["a", "word"])
    row = scale_text.measure(tmp_path / "made", 4, 0, 1)
    assert row["stop_words"]["count"] == 174
    assert row["words"] == 2
    assert row["load"]
    assert row["stages"]["generate_train_dict.py"]["cpu_seconds"] > 0


def test_all_of_a_corpus_is_used(scale_text, drawn, tmp_path, small_folders):
    drawn.make_corpus(tmp_path / "ImageCLEF_Wikipedia", 5, seed=0, workers=1)
    script = artefacts.ROOT / "LDA" / scale_text.STAGES[0]
    command = [sys.executable, script, "--data", tmp_path, "--work", tmp_path]
    scale_text.measured(command, tmp_path / "log")
    pairs = json.loads((tmp_path / artefacts.TRAIN_DICT).read_text())
    assert pairs == {f"images/{n // 3}/{n}.jpg": f"text/en/{n // 3}/{n}" for n in range(5)}


def test_a_corpus_that_was_half_deleted_is_made_anew(
    scale_text, tmp_path, small_folders, monkeypatch
):
    monkeypatch.setattr(scale_text, "STAGES", [])
    monkeypatch.setattr(scale_text.vocabulary, "load", lambda path: [])
    scale_text.measure(tmp_path, 5, 0, 1)
    kept, gone = (tmp_path / "ImageCLEF_Wikipedia/text/en" / name for name in ("0/0", "1/4"))
    made = kept.stat().st_mtime_ns
    scale_text.measure(tmp_path, 5, 0, 1)
    assert kept.stat().st_mtime_ns == made
    gone.unlink()
    scale_text.measure(tmp_path, 5, 0, 1)
    assert gone.exists()
    assert kept.stat().st_mtime_ns > made


WITH_A_CHILD = """
import subprocess, sys
child = "held = bytearray(b'1') * 200_000_000; print('ready', flush=True); input()"
subprocess.run([sys.executable, "-c", child])
"""


def test_memory_is_summed_over_all_processes(scale_text):
    process = subprocess.Popen(
        [sys.executable, "-c", WITH_A_CHILD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    watched = psutil.Process(process.pid)
    try:
        assert process.stdout.readline() == "ready\n"
        assert 200e6 < scale_text.proportional_memory(watched) < 300e6
        assert 0 < scale_text.highest_memory(watched) < 100e6  # the child's is not its parent's
    finally:
        process.communicate("\n")


def test_a_command_that_fails_is_named_with_its_log(scale_text, tmp_path):
    with pytest.raises(UserError, match=r"failed with status 3: .*log says why"):
        scale_text.measured(
            [sys.executable, "-c", "print('why'); raise SystemExit(3)"], tmp_path / "log"
        )
    assert (tmp_path / "log").read_text() == "why\n"


def row_of(scale_text, seed, workers):
    stage = {"seconds": 2.0, "cpu_seconds": 3.0, "peak_mb": 1234, "main_peak_mb": 99}
    return {
        "seed": seed,
        "workers": workers,
        "words": 100_000,
        "other_work": 0.25,
        "stages": dict.fromkeys(scale_text.STAGES, stage),
    }


def test_the_table_by_hand(scale_text, load_script):
    tables = load_script("benchmarks/record_tables.py")
    script = "generate_train_dict.py"
    table = tables.scale(dict.fromkeys(["50", "10000"], row_of(scale_text, 0, 2)))
    assert [row["cells"] for row in table["rows"][:2]] == [
        [script, "50", "100,000", "2", "3", "60.0", "1,234", "99", "0.250"],
        [script, "10,000", "100,000", "2", "3", "0.3", "1,234", "99", "0.250"],
    ]
    assert len(table["rows"]) == 2 * len(scale_text.STAGES)


def test_finished_sizes_are_kept_and_folders_deleted(scale_text, tmp_path, monkeypatch):
    calls = []

    def measure(folder, num_articles, seed, workers):
        if num_articles == 30 and len(calls) == 1:
            raise UserError("interrupted")
        folder.mkdir(parents=True)
        calls.append((num_articles, seed))
        return row_of(scale_text, seed, workers)

    def run(*arguments):
        out, folder = tmp_path / "out.json", tmp_path / "folder"
        monkeypatch.setattr(
            sys, "argv", ["scale_text.py", "--out", str(out), "--folder", str(folder), *arguments]
        )
        return scale_text.main()

    monkeypatch.setattr(scale_text, "measure", measure)
    with pytest.raises(UserError, match="interrupted"):
        run("--articles", "20", "30")
    calls.append("again")
    assert run("--articles", "20", "30") == 0
    assert calls == [(20, 0), "again", (30, 0)]
    assert not list((tmp_path / "folder").iterdir())
    run("--articles", "20", "--seed", "1", "--keep")  # other settings, other numbers
    assert calls[-1] == (20, 1)
    assert (tmp_path / "folder/20_1").is_dir()
    run("--articles", "30", "--force")
    assert calls[-1] == (30, 0)
    assert list(json.loads((tmp_path / "out.json").read_text())) == ["20", "30"]


def test_a_disk_that_is_too_small(scale_text, tmp_path):
    with pytest.raises(
        UserError,
        match=r"GB free and 1000000000000 articles need 80000000.0: name another --folder",
    ):
        scale_text.check_disk(tmp_path / "new", 10**12)
