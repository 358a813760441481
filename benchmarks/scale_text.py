"""Measure seconds and memory of the three scripts of LDA/ as the number of articles grows.

Reads:   nothing; the articles are drawn (words of WordNet), one image of 256x256 serves for all
Writes:  OUT (JSON) and a table beside it (Markdown); FOLDER/: the corpora and what is made from
them, deleted at the end Paper:   section 3.1 and 3.2 (from articles to topic vectors)
Usage:   python benchmarks/scale_text.py [--articles 3500 35000 350000] [--out FILE] [--folder DIR]
[--workers 2] [--keep]

Each size has a corpus of its own in ImageCLEF's layout, one image an article, on which the scripts
run one after the other as a user runs them, with one pass.  What was interrupted goes on: a corpus
that is whole and the numbers of a finished size are kept. The articles have the real collection's
length (2,039 tokens and 875 distinct words on average) and real markup; the vocabulary grows with
the text as it does in Wikipedia, up to DRAWN articles; beyond, these come again.  Needs Linux
(/proc).
"""

import argparse
import os
import re
import resource
import shutil
import sys
import time
from pathlib import Path
from subprocess import STDOUT

import cv2
import numpy as np
import psutil
from nltk.corpus import wordnet
from stop_words import get_stop_words
from tqdm import tqdm

from texttopicnet import (
    artefacts,
    atomic_files,
    command_line,
    json_files,
    parallel,
    results,
    text,
    vocabulary,
)
from texttopicnet.errors import UserError

STAGES = ("generate_train_dict.py", "learn_LDA_model.py", "generate_train_labels.py")
INTERVAL = 0.5  # seconds between two looks at the memory
BYTES_AN_ARTICLE = 80_000  # of disk, corpus and everything the scripts make from it

# the corpus: numbers without a source were chosen so that its articles have the means that `length`
# reports
A_FOLDER = 1000  # files in a folder
DRAWN = (
    35 * A_FOLDER
)  # articles that are drawn; in a larger corpus each of them stands under several names
WORDS, SPREAD = (
    4_500,
    0.8,
)  # mean of an article's running words, standard deviation of their logarithm
CONTENT, YEARS = (
    0.546,
    0.04,
)  # shares of the running words, as in the texts of Rasiwasia et al.; the rest are stop words
PLURALS = 0.13  # share of the content words, there
THEMES = 40
THEMED = 0.6  # share of the content words that belong to one of the article's themes
REPEATED = 0.47  # share of the content words that repeat an earlier one of the article
FLAT, KNEE = 100, 12_000  # ranks between which Zipf's law holds

METADATA = """<?xml version="1.0" encoding="UTF-8" ?>
<image id="{n}" file="images/{folder}/{n}.jpg">
  <name>{n}.jpg</name>
  <text xml:lang="en">
    <description>{words}</description>
    <comment />
    <caption article="text/en/{folder}/{n}">{words}</caption>
  </text>
  <text xml:lang="de"><description /><comment /><caption /></text>
  <comment>(drawn by scale_text.py)</comment>
  <license>MIT</license>
</image>
"""


def name_of(rank):
    """A made-up word for a rank beyond WordNet's nouns, another one for each: rare names, as real
    text is full of.
    """
    word = ""
    while rank or len(word) < 6:
        rank, syllable = divmod(rank, 100)
        word += "bcdfghjklmnpqrstvwxz"[syllable // 5] + "aeiou"[syllable % 5]
    return word


class Lexicon:
    """Stop words, years, nouns, their plurals and, without end, names: one number for each.

    A noun's rank is its place by frequency: the short ones come first, as in real text.
    """

    def __init__(self, seed):
        rng = np.random.default_rng(seed)

        def short_first(words):
            return [words[i] for i in np.argsort([len(word) + rng.normal(0, 4) for word in words])]

        text.check_wordnet()
        nouns = short_first(
            sorted(
                word for word in set(wordnet.all_lemma_names("n")) if text.token_of(word) == word
            )
        )
        # a contraction falls apart at its apostrophe, and its first half can be a token: "let's"
        # leaves "let"
        stop_words = short_first([word for word in get_stop_words("en") if word.isalpha()])
        years = [str(year) for year in range(1800, 2010)]
        plurals = [noun if noun[-1] in "shxyz" else noun + "s" for noun in nouns]
        self.words = np.array([*stop_words, *years, *nouns, *plurals], object)
        self.num_stop_words, self.num_years, self.num_nouns = (
            len(stop_words),
            len(years),
            len(nouns),
        )
        self.first_noun = self.num_stop_words + self.num_years

    def numbers(self, ranks, plural):
        """Numbers of the words of some ranks, in the plural where there is one."""
        return self.first_noun + ranks + self.num_nouns * (plural | (ranks >= self.num_nouns))

    def spelt(self, numbers):
        """The words of some numbers: list of str."""
        words = self.words[np.minimum(numbers, len(self.words) - 1)]
        for place in np.flatnonzero(numbers >= len(self.words)):
            words[place] = name_of(int(numbers[place]) - self.first_noun - self.num_nouns)
        return words.tolist()


def draw_ranks(rng, size):
    """Ranks (int64, from 0) whose frequency falls as 1 / (FLAT + rank) up to KNEE and as 1 / rank²
    beyond.

    So does that of real content words; the steep end makes the vocabulary grow as the square root
    of the text.
    """
    span = np.log(1 + KNEE / FLAT)
    u, v = rng.random((2, size))
    head = FLAT * np.exp(span * u) - FLAT
    return np.where(v < span / (1 + span), head, np.minimum(KNEE / (1 - u), 1e15)).astype(np.int64)


def draw_content(rng, size):
    """Ranks of an article's content words, in the order of the text: int64 of length `size`."""
    ranks = draw_ranks(rng, size)
    themes = rng.integers(THEMES, size=rng.integers(2, 4))
    theme = themes[(len(themes) * rng.random(size) ** 1.5).astype(int)]  # the first is the foremost
    ranks = np.where(rng.random(size) < THEMED, ranks - ranks % THEMES + theme, ranks)
    earlier = (np.arange(size) * rng.random(size)).astype(int)
    return np.where(rng.random(size) < REPEATED, ranks[earlier], ranks)


def draw_words(rng, lexicon, size):
    """The running words of an article: list of str of length `size`."""
    kind = rng.random(size)
    numbers = (lexicon.num_stop_words ** rng.random(size)).astype(int) - 1
    years, content = np.flatnonzero(kind > 1 - YEARS), np.flatnonzero(kind < CONTENT)
    numbers[years] = lexicon.num_stop_words + rng.integers(lexicon.num_years, size=len(years))
    numbers[content] = lexicon.numbers(
        draw_content(rng, len(content)), rng.random(len(content)) < PLURALS
    )
    return lexicon.spelt(numbers)


def draw_article(rng, lexicon):
    """Wiki markup of an article: str."""
    size = max(int(rng.lognormal(np.log(WORDS) - SPREAD**2 / 2, SPREAD)), 50)
    plain = draw_words(rng, lexicon, size)
    words = plain.copy()

    def places(words_each):
        """Places in the text, one for every `words_each` words, and for each some words of the
        article.
        """
        for place, other in rng.integers(0, size - 8, (size // words_each, 2)).tolist():
            yield place, plain[other : other + 8]

    for place, (a, b, *_) in places(25):
        words[place] = f"[[{words[place]}]]" if len(a) < 5 else f"[[{a} {b}|{words[place]}]]"
    for place, _ in places(150):
        words[place] = f"'''{words[place]}'''" if place % 5 == 0 else f"''{words[place]}''"
    for place, _ in places(200):
        words[place] += "&nbsp;" if place % 2 else "&mdash;"
    for place, (a, b, c, d, e, *_) in places(150):
        cited = f"{{{{cite web|url=http://www.{a}.org/{b}.html|title={c} {d}|publisher={e}|accessdate=2009-05-12}}}}"
        words[place] += f'<ref name="{a}">{cited}</ref>' if place % 4 else f'<ref name="{a}" />'
    for place, _ in places(20):
        words[place] += "." if place % 3 else ","
        words[place + 1] = words[place + 1].capitalize()
    for place, (a, b, *_) in places(120):
        words[place] += ".\n\n" if place % 4 else f".\n\n== {a.capitalize()} {b} ==\n"
    for place, (a, b, c, *_) in places(1500):
        words[place] += f"\n[[File:{a} {b}.jpg|thumb|250px|{c} {b}]]\n<!-- {a} {c} -->\n"
        words[place] += (
            f'{{| class="wikitable"\n|-\n! scope="col" | {a} || {b}\n|-\n| align="right" | {b} || {c}\n|}}\n'
        )
    infobox = "".join(f"| {a} = {b} {{{{{c}|{d}}}}}\n" for _, (a, b, c, d, *_) in places(500))
    links = "".join(f"[[Category:{a} {b}]]\n[[de:{c}]]\n" for _, (a, b, c, *_) in places(1000))
    return f"{{{{Infobox {plain[0]}\n{infobox}}}}}\n{' '.join(words)}\n\n{{{{Reflist}}}}\n{links}"


def make_folder(lexicon, collection, image, num_articles, seed, folder):
    """Articles folder * A_FOLDER and on, each with metadata and an image; returns how many."""
    rng = np.random.default_rng((seed, folder))
    images, metadata, texts = folders = [
        collection / name / str(folder) for name in ("images", "metadata", "text/en")
    ]
    for path in folders:
        path.mkdir(parents=True)
    first = folder * A_FOLDER
    numbers = range(first, min(first + A_FOLDER, num_articles))
    (images / f"{first}.jpg").write_bytes(
        image
    )  # a file has no more than 65,000 names: one image a folder
    for n in numbers:
        if n < DRAWN:
            (texts / str(n)).write_text(draw_article(rng, lexicon), encoding="ascii")
        else:  # its folder was made long before
            os.link(
                collection / "text/en" / str(n % DRAWN // A_FOLDER) / str(n % DRAWN), texts / str(n)
            )
        caption = METADATA.format(n=n, folder=folder, words=lexicon.words[n % len(lexicon.words)])
        (metadata / f"{n}.xml").write_text(caption, encoding="ascii")
        if n > first:
            os.link(images / f"{first}.jpg", images / f"{n}.jpg")
    return len(numbers)


def make_corpus(collection, num_articles, seed, workers):
    """Make a corpus in ImageCLEF's layout, whole or not at all; a smaller one is the beginning of a
    larger one.
    """
    noise = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    image = cv2.imencode(".jpg", cv2.resize(noise, (256, 256), interpolation=cv2.INTER_CUBIC))[
        1
    ].tobytes()
    with (
        atomic_files.written_whole(collection) as folder,
        tqdm(desc="drawn", unit="article", total=num_articles) as bar,
    ):
        setup = Lexicon(seed), folder, image, num_articles, seed
        for made in parallel.ordered_map(
            make_folder, range(-(-num_articles // A_FOLDER)), workers, *setup
        ):
            bar.update(made)


def length(collection):
    """{'bytes', 'tokens', 'distinct'}: means of the first folder's articles, the last two after
    preprocessing.
    """
    articles = [path.read_text() for path in sorted((collection / "text/en/0").iterdir())]
    rows = [
        (len(raw), len(tokens), len(set(tokens)))
        for raw in articles
        for tokens in [text.tokenize(raw)]
    ]
    return dict(
        zip(("bytes", "tokens", "distinct"), np.mean(rows, axis=0).round(1).tolist(), strict=True)
    )


def proportional_memory(process):
    """Bytes of a process and all that descend from it; what several share counts once (the sum of
    their PSS).
    """
    total = 0
    for member in [process, *process.children(recursive=True)]:
        try:
            total += member.memory_full_info().pss
        except psutil.NoSuchProcess:  # it has ended meanwhile
            continue
    return total


def highest_memory(process):
    """Peak resident memory of one process so far, in bytes (the kernel's VmHWM); 0 once it has
    ended.
    """
    found = re.search(r"VmHWM:\s*(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
    return 1024 * int(found[1]) if found else 0


def cpu_seconds():
    """Processor time of all processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measured(command, log):
    """Run a command and watch it.

    Returns
    -------
    dict
        'seconds'; 'cpu_seconds', of all its processes, which other work on the machine hardly
        changes; 'peak_mb', the highest sum over all its processes of those seen every INTERVAL
        seconds; 'main_peak_mb', the peak of the first process.

    Raises
    ------
    UserError
        The command failed.
    """
    peak = main_peak = 0
    start, used = time.perf_counter(), cpu_seconds()
    with open(log, "w") as f:
        process = psutil.Popen(command, stdout=f, stderr=STDOUT)
    try:
        while process.poll() is None:
            try:
                process.wait(INTERVAL)
            except psutil.TimeoutExpired:
                peak = max(peak, proportional_memory(process))
                main_peak = max(main_peak, highest_memory(process))
    finally:
        if process.poll() is None:
            process.terminate()
    seconds = time.perf_counter() - start
    if process.returncode:
        raise UserError(
            f"{' '.join(map(str, command))} failed with status {process.returncode}: {log} says why"
        )
    return {
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu_seconds() - used, 1),
        "peak_mb": round(peak / 1e6),
        "main_peak_mb": round(main_peak / 1e6),
    }


def measure(folder, num_articles, seed, workers):
    """The row of one size: {'length': ..., 'stages': {script: what `measured` returns}, 'words': in
    the dictionary, ...}.
    """
    collection, work = folder / "ImageCLEF_Wikipedia", folder / "work"
    shutil.rmtree(work, ignore_errors=True)  # half of a run that was stopped would be time saved
    if not collection.exists():
        check_disk(folder, num_articles)
        make_corpus(collection, num_articles, seed, workers)
    row = {"seed": seed, "workers": workers, "length": length(collection), "stages": {}}
    work.mkdir()
    os.sync()  # writing the corpus must not slow the first script
    for script in STAGES:
        command = [
            sys.executable,
            artefacts.ROOT / "LDA" / script,
            "--data",
            folder,
            "--work",
            work,
            "--workers",
            str(workers),
        ]
        stage = row["stages"][script] = measured(command, work / f"{script}.log")
        print(
            f"{num_articles} articles, {script}: {stage['seconds']} s, peak {stage['peak_mb']} MB",
            flush=True,
        )
    row["words"] = len(vocabulary.load(work / artefacts.DICTIONARY))
    return row | {
        "commit": results.commit(),
        "versions": results.versions(),
        "hardware": results.hardware(),
    }


def table(rows):
    """Markdown of {number of articles: row}."""
    lines = [
        "| script | articles | words | seconds | CPU seconds | CPU ms an article | peak MB of all | main process |",
        "|---|" + "--:|" * 7,
    ]
    for script in STAGES:
        for articles, row in sorted(rows.items(), key=lambda item: int(item[0])):
            stage = row["stages"][script]
            cpu, peaks = stage["cpu_seconds"], (stage["peak_mb"], stage["main_peak_mb"])
            cells = [
                f"{int(articles):,}",
                f"{row['words']:,}",
                f"{stage['seconds']:,.0f}",
                f"{cpu:,.0f}",
            ]
            cells += [f"{1000 * cpu / int(articles):.1f}", *(f"{peak:,}" for peak in peaks)]
            lines.append(f"| {script} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def check_disk(folder, num_articles):
    """Refuse a size for which the disk is too small."""
    folder.mkdir(parents=True, exist_ok=True)
    needed, free = BYTES_AN_ARTICLE * num_articles / 1e9, shutil.disk_usage(folder).free / 1e9
    if needed > free:
        raise UserError(
            f"{folder} has {free:.1f} GB free and {num_articles} articles need {needed:.1f}:"
            " name another --folder or fewer --articles"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--articles", type=int, nargs="+", default=[3_500, 35_000, 350_000], metavar="N"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("scale_text.json"),
        help="the table is FILE with .md for its ending",
    )
    parser.add_argument(
        "--folder", type=Path, default=Path("scale_text"), help="for corpora and work"
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", action="store_true", help="leave corpora and work in FOLDER")
    parser.add_argument("--force", action="store_true", help="measure finished sizes anew")
    args = parser.parse_args()
    rows = json_files.read(args.out, "benchmarks/scale_text.py") if args.out.exists() else {}
    asked = {"seed": args.seed, "workers": args.workers}
    todo = [
        n for n in args.articles if args.force or not asked.items() <= rows.get(str(n), {}).items()
    ]
    print(
        f"{', '.join(map(str, todo)) or 'no more'} articles to be measured: seed {args.seed}, workers {args.workers}, one pass"
    )
    for num_articles in todo:
        folder = args.folder / f"{num_articles}_{args.seed}"
        rows[str(num_articles)] = measure(folder, num_articles, args.seed, args.workers)
        json_files.write(args.out, rows)
        if not args.keep:
            shutil.rmtree(folder)
    with atomic_files.written_whole(args.out.with_suffix(".md")) as temporary:
        temporary.write_text(table(rows))
    print(table(rows), end="")
    print(f"{args.out}, {args.out.with_suffix('.md')}")
    return 0


if __name__ == "__main__":
    command_line.run(main)
