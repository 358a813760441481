"""Measure seconds and memory of the three scripts of LDA/ as the number of articles grows.

Reads:   nothing; the articles are drawn (drawn_articles.py), and all have one image of 256x256
Writes:  OUT (JSON); FOLDER/: the corpora and the artefacts made from them, deleted at the end
Paper:   sections 3.1 and 3.2 (from articles to topic vectors)
Usage:   python benchmarks/scale_text.py [--articles 3500 35000 350000] [--out FILE] [--folder DIR]
         [--workers 2] [--keep]

Each size has a corpus of its own in ImageCLEF's layout, with one image per article.  The scripts
run on it one after the other, as a user runs them, with one pass.  An interrupted run can be
resumed: whole corpora and the numbers of finished sizes are kept.  The articles are
about as long as the real collection's (2,039 tokens and 875 distinct words on average) and have
such markup.  The vocabulary grows with the text as in Wikipedia, up to DRAWN articles; then the
articles repeat.
Needs Linux (/proc).
"""

import os
import re
import resource
import shutil
import sys
import time
from pathlib import Path
from subprocess import STDOUT

import measuring
import numpy as np
import psutil
from drawn_articles import make_corpus

from texttopicnet import artefacts, command_line, json_files, text, vocabulary
from texttopicnet.errors import UserError

STAGES = ("generate_train_dict.py", "learn_LDA_model.py", "generate_train_labels.py")
INTERVAL = 0.5  # seconds between two looks at the memory
BYTES_PER_ARTICLE = 80_000  # on the disk: the corpus and all that the scripts make from it


def length(collection):
    """{'bytes', 'tokens', 'distinct'}: means over the first folder's articles of their size, their
    tokens and their distinct tokens.
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


def is_whole(collection, num_articles):
    """Whether a corpus exists with all its files; deleting it may have been interrupted."""
    kinds = [collection / name for name in ("images", "metadata", "text/en")]
    return all(sum(1 for _ in kind.glob("*/*")) == num_articles for kind in kinds)


def proportional_memory(process):
    """Bytes of a process and its descendants, shared memory counted once (the sum of their PSS)."""
    total = 0
    for member in [process, *process.children(recursive=True)]:
        try:
            total += member.memory_full_info().pss
        except psutil.NoSuchProcess:  # it has ended
            continue
    return total


def highest_memory(process):
    """Peak resident memory of a process so far, in bytes (the kernel's VmHWM); 0 after its end."""
    found = re.search(r"VmHWM:\s*(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
    return 1024 * int(found[1]) if found else 0


def cpu_seconds():
    """Processor time of all child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measured(command, log):
    """Run a command and watch it.

    Returns
    -------
    dict
        'seconds'; 'cpu_seconds' of all its processes, which other work on the machine hardly
        changes; 'peak_mb', the highest sum over all its processes, sampled every INTERVAL seconds;
        'main_peak_mb', the peak of the first process.

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
    """The row of one size: 'length', 'stages' ({script: result of `measured`}), 'words' (of the
    dictionary), 'stop_words' and what `measuring.watched` has seen.
    """
    collection, work = folder / "ImageCLEF_Wikipedia", folder / "work"
    shutil.rmtree(work, ignore_errors=True)  # a stopped run's files would shorten the next one
    if not is_whole(collection, num_articles):
        shutil.rmtree(collection, ignore_errors=True)
        check_disk(folder, num_articles)
        make_corpus(collection, num_articles, seed, workers)
    row = {"seed": seed, "workers": workers, "length": length(collection), "stages": {}}
    work.mkdir()
    os.sync()  # writing the corpus must not slow the first script
    with measuring.watched() as seen:
        for script in STAGES:
            options = ["--data", folder, "--work", work, "--workers", str(workers)]
            command = [sys.executable, artefacts.ROOT / "LDA" / script, *options]
            stage = row["stages"][script] = measured(command, work / f"{script}.log")
            print(
                f"{num_articles} articles, {script}: {stage['seconds']} s, peak"
                f" {stage['peak_mb']} MB",
                flush=True,
            )
    row["words"] = len(vocabulary.load(work / artefacts.DICTIONARY))
    row["stop_words"] = text.stop_words_identity()
    return row | seen


def check_disk(folder, num_articles):
    """Refuse a size for which the disk is too small."""
    folder.mkdir(parents=True, exist_ok=True)
    needed, free = BYTES_PER_ARTICLE * num_articles / 1e9, shutil.disk_usage(folder).free / 1e9
    if needed > free:
        raise UserError(
            f"{folder} has {free:.1f} GB free and {num_articles} articles need {needed:.1f}:"
            " name another --folder or fewer --articles"
        )


def main():
    parser = command_line.parser(__doc__)
    parser.add_argument(
        "--articles",
        type=command_line.whole("--articles"),
        nargs="+",
        default=[3_500, 35_000, 350_000],
        metavar="N",
        help="sizes to measure (default: 3500 35000 350000)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("scale_text.json"),
        metavar="FILE",
        help="the numbers (default: scale_text.json)",
    )
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path("scale_text"),
        metavar="DIR",
        help="for corpora and artefacts (default: scale_text)",
    )
    command_line.add_options(parser, "--workers", "--seed")
    parser.add_argument(
        "--keep", action="store_true", help="keep corpora and artefacts in --folder"
    )
    command_line.add_options(parser, "--force", help="measure finished sizes again")
    args = parser.parse_args()
    rows = json_files.read(args.out, "benchmarks/scale_text.py") if args.out.exists() else {}
    asked = {"seed": args.seed, "workers": args.workers}
    todo = [
        n for n in args.articles if args.force or not asked.items() <= rows.get(str(n), {}).items()
    ]
    print(
        f"{', '.join(map(str, todo)) or 'no more'} articles to be measured: seed {args.seed},"
        f" workers {args.workers}, one pass"
    )
    for num_articles in todo:
        folder = args.folder / f"{num_articles}_{args.seed}"
        rows[str(num_articles)] = measure(folder, num_articles, args.seed, args.workers)
        json_files.write(args.out, rows)
        if not args.keep:
            shutil.rmtree(folder)
    print(args.out)
    return 0


if __name__ == "__main__":
    command_line.run(main)
