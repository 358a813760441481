"""Measure the text half alone: text-to-text retrieval, label distribution, number of topics.

Reads:   the retrieval set with its training list; if given, DATA (ImageCLEF_Wikipedia/, Wikipedia/)
         and LABELS, a file of topic labels to compare with
Writes:  WORK/experiments/results/text/*, the tables of LDA/README.md; models in work/text_records/
Paper:   none of its tables
Usage:   python experiments/text_records.py [--wikipedia DIR] [--data DIR [--note TEXT]]
                                            [--labels FILE] [--work DIR]

All records are measured again.  It runs the project's scripts one after the other, as a user would;
the first one that fails ends it.
"""

import texttopicnet.startup  # noqa: F401  isort: skip

import os
import shutil
import sys
from pathlib import Path

from texttopicnet import artefacts, child_process, command_line, json_files, retrieval
from texttopicnet.errors import UserError

ROOT = artefacts.ROOT
MADE = ROOT / "work" / "text_records"
LABELS = artefacts.training_labels()
TEXT_RESULTS = f"{artefacts.RESULTS}/text"


class Failed(Exception):
    """A script failed and has said why; holds its exit status."""


def run(script: str, *arguments: str | Path) -> None:
    """Run a script of the project; raise Failed if it does not end well."""
    ended = child_process.run([sys.executable, ROOT / script, *arguments])
    if ended.exit_status:
        raise Failed(ended.exit_status)


def train_dict(folder: Path, name: str) -> dict[str, str]:
    """A retrieval set's list as a train dict: its texts as articles of one image each.

    Parameters
    ----------
    folder : Path
        The set.
    name : str
        retrieval.TRAIN_LIST or TEST_LIST.
    """
    texts, images, categories, names = retrieval.read_pairs(folder, name)
    rows = zip(texts, images, categories, strict=True)
    return {
        f"images/{names[category]}/{image}.jpg": f"texts/{text}.xml"
        for text, image, category in rows
    }


def learn_and_label(corpus: Path, source: list, passes: int) -> None:
    """Learn topics of a corpus and label it; `source` is its --data and --collection."""
    common = ["--work", corpus, *source, "--force"]
    run("LDA/learn_LDA_model.py", *common, "--passes", str(passes), "--workers", "2")
    run("LDA/generate_train_labels.py", *common)


def label_corpus(name: str, folder: Path, source: list) -> list[str]:
    """Label a corpus after 1 and 20 passes, and texts that were not learnt from.

    Parameters
    ----------
    name : str
        Of the corpus; its work folder is `MADE`/name and has the train dict.
    folder : Path
        Retrieval set whose test texts are labelled last.
    source : list of str or Path
        --data and --collection of the corpus.

    Returns
    -------
    list of str
        NAME=LABELS, for label_distribution.py.
    """
    corpus, described = MADE / name, []
    for passes in (1, 20):
        learn_and_label(corpus, source, passes)
        kept = MADE / f"{name}-{passes}"
        shutil.copytree(corpus, kept)
        described.append(f"{name}, passes {passes}={kept / LABELS}")
    json_files.write(corpus / artefacts.TRAIN_DICT, train_dict(folder, retrieval.TEST_LIST))
    run("LDA/generate_train_labels.py", "--work", corpus, *set_options(folder), "--force")
    (corpus / artefacts.BOW).unlink()  # of other texts than those labels
    return [*described, f"{name}, passes 20, texts not learnt from={corpus / LABELS}"]


def set_options(folder: Path) -> list:
    """--data and --collection that take a retrieval set for a collection."""
    return ["--data", folder.parent, "--collection", folder.name]


def choose_topics(name: str) -> None:
    """Measure the numbers of topics of a corpus, and put the record with the other text records."""
    work = MADE / f"{name}-20"
    run("LDA/choose_topics.py", "--work", work, "--passes", "10", "--workers", "2")
    for end in ("json", "png"):
        made = work / "LDA" / f"choose_topics.{end}"
        shutil.copy(made, MADE / TEXT_RESULTS / f"choose_topics_{name}.{end}")


def measure(wikipedia: Path, data: Path | None, note: str, labels: Path | None) -> None:
    """Make all records, in `MADE`/experiments/results/text."""
    script = "experiments/text_to_text_retrieval.py"
    common = ["--work", MADE, "--name"]
    learnt = ["--note", "learnt from the set's training texts"]
    run(script, "--set", wikipedia, *common, "wikipedia", *learnt)
    corpora = {"wikipedia": (wikipedia, set_options(wikipedia))}
    json_files.write(
        MADE / "wikipedia" / artefacts.TRAIN_DICT, train_dict(wikipedia, retrieval.TRAIN_LIST)
    )
    if data:
        source = ["--articles", data / "ImageCLEF_Wikipedia" / "text"]
        learnt = ["--note", f"learnt from {note or f'the articles of {data.name}'}"]
        run(script, "--set", data / "Wikipedia", *source, *common, data.name, *learnt)
        run("LDA/generate_train_dict.py", "--data", data, "--work", MADE / data.name)
        corpora[data.name] = (data / "Wikipedia", ["--data", data])
    described = [f"authors' ImageCLEF labels={labels}"] if labels else []
    for name, (folder, source) in corpora.items():
        described += label_corpus(name, folder, source)
    run("experiments/label_distribution.py", *described, "--work", MADE)
    for name in corpora:
        choose_topics(name)


def main() -> int:
    parser = command_line.parser(__doc__)
    parser.add_argument(
        "--wikipedia",
        type=Path,
        default=artefacts.DATA / "Wikipedia",
        metavar="DIR",
        help="the retrieval set (default: data/Wikipedia)",
    )
    command_line.add_options(
        parser, "--data", default=None, help="another corpus with its retrieval set"
    )
    command_line.add_options(parser, "--note", help="what the articles of --data are")
    parser.add_argument("--labels", type=Path, metavar="FILE", help="topic labels to compare with")
    command_line.add_options(parser, "--work")
    args = parser.parse_args()
    if args.labels and not args.labels.is_file():
        raise UserError(f"{args.labels} does not exist: --labels takes a file of topic labels")
    if args.data and not (args.data / "ImageCLEF_Wikipedia").is_dir():
        raise UserError(
            f"{args.data / 'ImageCLEF_Wikipedia'} does not exist: data/README.md says what --data"
            " takes"
        )
    os.environ["TQDM_DISABLE"] = "1"  # the bars of two embeddings learnt at once would mix

    # The records are copied to their place at the end: a record that is replaced earlier would be a
    # changed file, and the commit in the later records would end in -dirty.
    shutil.rmtree(MADE, ignore_errors=True)
    (MADE / TEXT_RESULTS).mkdir(parents=True)
    try:
        data = args.data and args.data.absolute()
        measure(args.wikipedia.absolute(), data, args.note, args.labels)
        shutil.copytree(MADE / TEXT_RESULTS, args.work / TEXT_RESULTS, dirs_exist_ok=True)
        run("experiments/make_text_tables.py", "--results", args.work / TEXT_RESULTS)
    except Failed as failed:
        return failed.args[0]
    return 0


if __name__ == "__main__":
    command_line.run(main)
