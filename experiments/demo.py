"""Serve a page to try a model: drop an image, type a text, or browse the topics.

Reads:   WORK/LDA/, WORK/CNN/<net>/trained.caffemodel, the articles and images in DATA
Writes:  WORK/experiments/topic_index_<net>/ (rebuilt when the model or the corpus changes)
Paper:   none of its tables; it shows the retrieval of section 4
Usage:   python experiments/demo.py --sample [--port 7860]
         python experiments/demo.py [--data DIR] [--work DIR] [--net CaffeNet] [--weights FILE]
                                    [--topics 40] [--gpu] [--host 127.0.0.1] [--port 7860]

The page is for this machine alone unless --host says otherwise.  Ctrl-C ends it.  --sample takes
what `bash scripts/run_all.sh --sample` has made; so does the command without options where no other
model has been trained.
"""

import texttopicnet.startup  # noqa: F401  isort: skip

import argparse
import os
import signal
import tempfile
import threading
from pathlib import Path

from texttopicnet import artefacts, command_line

SAMPLE = {
    "data": artefacts.DATA / "sample",
    "work": artefacts.ROOT / "work" / "sample",
    "net": "CaffeNetSample",
}
DEFAULTS = {"data": artefacts.DATA, "work": artefacts.ROOT, "net": "CaffeNet"}
LARGEST_PORT = 65535


def parse() -> argparse.Namespace:
    """The command line, with its defaults filled in."""
    parser = command_line.parser(__doc__)
    parser.add_argument(
        "--sample", action="store_true", help="the sample's data, work folder and net"
    )
    command_line.add_options(parser, "--data", "--work", "--net", default=None)
    command_line.add_options(parser, "--collection", "--topics")
    parser.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="(default: WORK/CNN/<net>/trained.caffemodel)",
    )
    command_line.add_options(
        parser, "--seed", help="seed of LDA's inference, as in generate_train_labels.py"
    )
    command_line.add_options(parser, "--gpu", "--trust-pickle")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="address to listen at; 0.0.0.0 lets other machines see the page (default: 127.0.0.1)",
    )
    parser.add_argument(
        "--port",
        type=command_line.whole("--port", 1, LARGEST_PORT),
        default=7860,
        metavar="N",
        help="(default: 7860)",
    )
    args = parser.parse_args()
    is_sample = args.sample or only_the_sample_is_there(args)
    for name, value in (SAMPLE if is_sample else DEFAULTS).items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    return args


def only_the_sample_is_there(args: argparse.Namespace) -> bool:
    """Whether the command line names no model, and only the sample's has been trained."""
    if args.data or args.work or args.net or args.weights:
        return False
    trained = [
        (made["work"] / "CNN" / made["net"] / "trained.caffemodel").exists()
        for made in (DEFAULTS, SAMPLE)
    ]
    return trained == [False, True]


def main() -> int:
    args = parse()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a service's stop is a Ctrl-C
    with tempfile.TemporaryDirectory(prefix="texttopicnet-") as uploads:
        os.environ["GRADIO_TEMP_DIR"] = uploads
        print(
            f"page: data {args.data}, work {args.work}, net {args.net}, {args.topics} topics",
            flush=True,
        )
        # these take seconds to import, which --help need not wait for
        import demo_model

        demo_model.paths(args)  # and neither should the news of a missing file
        import demo_page
        from demo_answers import Answers

        from texttopicnet.token_store import TokenStore

        predictor, lda, index = demo_model.load(args)
        with TokenStore(args.work) as store:
            answers = Answers(predictor, lda, index, args.data / args.collection, store, args.seed)
            answers.warm_up()
            made = demo_page.blocks(answers, about(args, index))
            address = demo_page.serve(made, args.host, args.port)
            print(f"open {address} (Ctrl-C ends it)", flush=True)
            try:
                wait()
            except KeyboardInterrupt:
                print("the page is closed")
            finally:
                made.close(verbose=False)
    return 0


def wait() -> None:
    """Until Ctrl-C."""
    threading.Event().wait()


def about(args: argparse.Namespace, index) -> str:
    """The page's sentence about the model."""
    return (
        f"{args.net} with {index.num_topics} topics; the corpus has {len(index.images):,} images"
        f" and {len(index.articles):,} articles. The number beside an article or an image is the"
        " Kullback-Leibler divergence of the topics: the smaller, the nearer."
    )


if __name__ == "__main__":
    command_line.run(main)
