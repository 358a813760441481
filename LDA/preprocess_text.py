"""Print the tokens of article files: one line per file, separated by blanks.

Reads:   the files named on the command line
Writes:  standard output
Paper:   section 3.1 (preprocessing)
Usage:   python LDA/preprocess_text.py FILE...
"""

import texttopicnet.startup  # noqa: F401  isort: skip


from texttopicnet import command_line, text


def main():
    parser = command_line.parser(__doc__)
    parser.add_argument("files", nargs="+", metavar="FILE", help="article to preprocess")
    args = parser.parse_args()
    for path in args.files:
        print(" ".join(text.tokenize(text.read_article(path))))
    return 0


if __name__ == "__main__":
    command_line.run(main)
