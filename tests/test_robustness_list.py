"""robustness.md names tests that exist."""

import re
from pathlib import Path

FOLDER = Path(__file__).parent


def test_the_list_names_tests_that_exist():
    rows = re.findall(
        r"^\| .+ \| (.+\.py.*) \|$", (FOLDER / "robustness.md").read_text("utf-8"), flags=re.M
    )
    assert len(rows) > 50
    missing = []
    for named in ", ".join(rows).split(", "):
        file, _, name = named.partition("::")
        source = FOLDER / file
        if not source.is_file() or (name and f"def {name}(" not in source.read_text("utf-8")):
            missing.append(named)
    assert not missing
