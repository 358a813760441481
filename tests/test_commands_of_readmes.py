"""The command lines of the READMEs' scripts: each is one that the script's parser takes."""

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = ["experiments/README.md", "CNN/README.md"]


def commands(page):
    """The words of each `python SCRIPT ...` in the page's blocks of shell commands."""
    blocks = re.findall(r"```bash\n(.*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    for line in lines:
        for command in line.partition(" #")[0].split("&&"):
            words = shlex.split(command)
            if words[:1] == ["python"] and words[1].startswith(("CNN/", "experiments/", "LDA/")):
                yield pytest.param(words[1], words[2:], id=" ".join(words[1:]))


@pytest.mark.parametrize(
    ("script", "arguments"), [command for page in PAGES for command in commands(page)]
)
def test_a_command_is_taken(accept, script, arguments):
    accept(script, arguments)


def test_there_are_such_commands():
    assert [len(list(commands(page))) > 0 for page in PAGES] == [True, True]
