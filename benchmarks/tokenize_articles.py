"""Time the tokenizing of articles: the project's code against a literal version of its steps.

Reads:   the files below the named folders (default: data/ImageCLEF_Wikipedia/text)
Writes:  nothing; prints text per second of both, their ratio, and the gain by several processes
Paper:   section 3.1 (preprocessing)
Usage:   python benchmarks/tokenize_articles.py [FOLDER ...] [--articles 400] [--rounds 3]
         [--workers 2]

Both sides run in turn on the same articles within one process and on one core, round by round, so
that other work on the machine affects both; they must give the same tokens.  The project's side
begins each round with an empty cache of words.
"""

import re
import time
from pathlib import Path

from gensim.corpora.wikicorpus import filter_wiki
from nltk.stem import WordNetLemmatizer
from stop_words import get_stop_words

from texttopicnet import artefacts, command_line, text
from texttopicnet.errors import UserError

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


def timed(function, articles):
    """(seconds, results) of a function over all articles."""
    start = time.perf_counter()
    results = [function(raw) for raw in articles]
    return time.perf_counter() - start, results


def main():
    parser = command_line.parser(__doc__)
    parser.add_argument(
        "folders",
        nargs="*",
        type=Path,
        default=[artefacts.DATA / "ImageCLEF_Wikipedia" / "text"],
        metavar="FOLDER",
        help="folder of article files (default: data/ImageCLEF_Wikipedia/text)",
    )
    parser.add_argument(
        "--articles",
        type=command_line.whole("--articles", 0),
        default=400,
        metavar="N",
        help="articles per round, spread over the folders; 0: all of them (default: 400)",
    )
    command_line.add_options(parser, "--rounds")
    command_line.add_options(
        parser, "--workers", help="processes of the last measurement (default: 2)"
    )
    args = parser.parse_args()
    files = sorted(path for folder in args.folders for path in folder.rglob("*") if path.is_file())
    if not files:
        raise UserError(f"no article in {args.folders[0]}: name a folder of article files")
    step = max(len(files) // args.articles, 1) if args.articles else 1
    sample = files[::step]
    articles = [text.read_article(path) for path in sample]
    megabytes = sum(path.stat().st_size for path in sample) / 1e6
    print(
        f"{len(articles)} of {len(files)} articles, {megabytes:.1f} MB, {args.rounds} rounds,"
        " one process"
    )
    text.tokenize("geese"), straightforward("geese")  # loads WordNet
    pairs = []
    for i in range(args.rounds):
        text.token_cache.clear()
        ours, tokens = timed(text.tokenize, articles)
        theirs, wanted = timed(straightforward, articles)
        if tokens != wanted:
            raise UserError("the two sides give different tokens: the times mean nothing")
        pairs.append((ours, theirs))
        print(
            f"round {i}: tokenize {ours:.2f} s, straightforward {theirs:.2f} s,"
            f" ratio {theirs / ours:.1f}"
        )
    ours, theirs = (sorted(side)[len(side) // 2] for side in zip(*pairs, strict=True))
    print(
        f"median: tokenize {megabytes / ours:.2f} MB/s, straightforward"
        f" {megabytes / theirs:.2f} MB/s, ratio {theirs / ours:.1f}"
    )
    megabytes = sum(path.stat().st_size for path in files) / 1e6
    for workers in sorted({1, args.workers}):
        start = time.perf_counter()
        count = sum(len(tokens) for tokens in text.tokenize_files(files, workers))
        seconds = time.perf_counter() - start
        print(
            f"all {len(files)} files, {workers} processes: {seconds:.1f} s,"
            f" {megabytes / seconds:.2f} MB/s, {count} tokens"
        )
    return 0


if __name__ == "__main__":
    command_line.run(main)
