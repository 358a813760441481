"""Time the tokenizing of articles: the project's code against a literal version of its steps.

Reads:   nothing, or the files below the named folders
Writes:  a record, if --out names one; prints the time per article and the ratio
Paper:   section 3.1 (preprocessing)
Usage:   python benchmarks/tokenize_articles.py [FOLDER ...] [--quick] [--sizes 20 100 400]
         [--rounds 3] [--workers 2] [--out FILE]

Without a FOLDER the articles are drawn (drawn_articles.py); with one, every size takes its articles
evenly from the files.  Both sides run on the same articles on one core, and must give the same
tokens.  The project's side begins each round with an empty cache of words.  A third side uses
several processes, which read the articles from files.
"""

import re
import tempfile
from pathlib import Path

import measuring
import numpy as np
from drawn_articles import Lexicon, draw_article
from gensim.corpora.wikicorpus import filter_wiki
from nltk.stem import WordNetLemmatizer
from stop_words import get_stop_words

from texttopicnet import command_line, text
from texttopicnet.errors import UserError

FULL = {"sizes": [20, 100, 400], "rounds": 3, "workers": 2}
QUICK = FULL | {"sizes": [10, 30], "rounds": 2}
STOP_WORDS = get_stop_words("en")


def straightforward(raw):
    """The steps taken literally: gensim's expressions, a list of stop words, a new lemmatizer for
    every token.
    """
    clean = text.TABLE_MARKUP.sub("", filter_wiki(raw))
    tokens = re.findall(r"\w+", clean.lower())
    tokens = [token for token in tokens if token not in STOP_WORDS]
    tokens = [WordNetLemmatizer().lemmatize(token) for token in tokens]
    tokens = [re.sub(r"[^a-z]", "", token) for token in tokens]
    return [token for token in tokens if len(token) > 2]


def draw(folder, count):
    """Files of `count` drawn articles."""
    rng, lexicon = np.random.default_rng(0), Lexicon(seed=0)
    for number in range(count):
        (folder / str(number)).write_text(draw_article(rng, lexicon), encoding="ascii")
    return [folder / str(number) for number in range(count)]


def compare(files, settings):
    """The row of some articles."""
    articles = [text.read_article(path) for path in files]
    megabytes = sum(path.stat().st_size for path in files) / 1e6
    what, workers = f"tokens of {len(files)} articles", settings["workers"]
    tokens = {}

    def ours():
        text.token_cache.clear()
        tokens["ours"] = [text.tokenize(raw) for raw in articles]

    def several():
        text.token_cache.clear()  # the processes get a copy of it
        tokens["several"] = list(text.tokenize_files(files, workers))

    sides = {
        "straightforward": lambda: tokens.update(theirs=[straightforward(raw) for raw in articles]),
        "tokenize": ours,
        f"{workers} processes": several,
    }
    seconds = measuring.in_turn(sides, settings["rounds"], what=what)
    if not tokens["theirs"] == tokens["ours"] == tokens["several"]:
        raise UserError("the sides give different tokens: the times mean nothing")
    return measuring.comparison(
        what,
        seconds,
        "tokenize",
        "straightforward",
        "ms per article",
        1000 / len(files),
        size=len(files),
        megabytes=round(megabytes, 3),
        mb_per_second={
            side: round(megabytes / float(np.median(each)), 2) for side, each in seconds.items()
        },
    )


def spread(files, count):
    """`count` files, evenly from the list."""
    return files[:: max(len(files) // count, 1)][:count]


def measure(settings, files):
    """The record: a row per size."""
    text.tokenize("geese"), straightforward("geese")  # loads WordNet
    with measuring.watched() as seen:
        rows = [compare(spread(files, size), settings) for size in settings["sizes"]]
    speed = rows[-1]["mb_per_second"]
    values = {f"MB/s, {side}": each for side, each in speed.items()}
    return measuring.record("tokens", settings, rows, seen, values)


def main():
    parser = measuring.parser(__doc__, "articles")
    parser.add_argument(
        "folders", nargs="*", type=Path, metavar="FOLDER", help="folder of article files"
    )
    command_line.add_options(
        parser, "--workers", default=None, help="processes of the third side (default: 2)"
    )
    args = parser.parse_args()
    settings = measuring.settings(args, FULL, QUICK)
    found = sorted(path for folder in args.folders for path in folder.rglob("*") if path.is_file())
    if args.folders and not found:
        raise UserError(f"no article in {args.folders[0]}: name a folder of article files")
    with tempfile.TemporaryDirectory() as folder:
        found = found or draw(Path(folder), max(settings["sizes"]))
        measuring.report(measure(settings, found), args.out)


if __name__ == "__main__":
    command_line.run(main)
