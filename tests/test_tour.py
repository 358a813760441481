"""experiments/tour.ipynb: what is checked in, and what it prints when the sample is run again."""

import json
import re
from pathlib import Path

import nbclient
import nbformat
import pytest
from execute_tour import PATH, execute

ROOT = Path(__file__).resolve().parents[1]
NUMBER = re.compile(r"-?\d+\.\d+|-?\d+")
# A number of the net may differ between processors, which add in different orders.
NEAR = 0.02  # shares and divergences of its topics
NEAR_PERCENT = 5.0  # scores


@pytest.fixture(scope="module")
def tour():
    return nbformat.read(PATH, nbformat.NO_CONVERT)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed(cell):
    return "".join(o.text for o in cell.outputs if o.output_type == "stream")


def pictures(cell):
    return sum("image/png" in o.get("data", {}) for o in cell.outputs)


def test_it_is_executed_whole_and_small(tour):
    cells = code(tour)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert {o.output_type for cell in cells for o in cell.outputs} <= {"stream", "display_data"}
    assert {o.name for cell in cells for o in cell.outputs if o.output_type == "stream"} == {
        "stdout"
    }
    assert sum(map(pictures, cells)) >= 8
    assert PATH.stat().st_size < 600_000
    assert max(len(cell.source.splitlines()) for cell in cells) <= 25


def test_it_says_nothing_of_the_machine_that_executed_it(tour):
    held = PATH.read_text("utf-8")
    for cell in code(tour):  # base64 may hold any short word
        for output in cell.outputs:
            for picture in output.get("data", {}).values():
                held = held.replace(json.dumps(picture)[1:-1], "")
    for word in (str(ROOT), "/work/", "/root", "/tmp", "/home", "iopub", "shell."):
        assert word not in held, word
    assert not re.search(r"20\d\d-\d\d-\d\d", held)
    assert set(tour.metadata) == {"kernelspec", "language_info"}
    assert dict(tour.metadata.language_info) == {"name": "python"}


def test_without_the_sample_it_says_so_in_a_sentence(tour, tmp_path):
    with pytest.raises(nbclient.exceptions.CellExecutionError) as caught:
        execute(tour, DATA=tmp_path, WORK=tmp_path)
    sentence = (
        f"{tmp_path}/experiments/report.html does not exist: make it with"
        " bash scripts/run_all.sh --sample"
    )
    assert caught.value.evalue == sentence
    assert caught.value.traceback.strip().endswith(f"error: {sentence}")
    assert "Traceback" not in caught.value.traceback


def in_order_of_words(text):
    """The lines of a text: nearly equal numbers may change places."""
    return "\n".join(sorted(text.splitlines(), key=lambda line: NUMBER.sub("#", line)))


def test_the_same_comes_out_again(tour, sample_chain):
    """The text half to the digit; what depends on the net as near as another processor comes."""
    folder, *_ = sample_chain
    again = execute(tour, DATA=folder / "data", WORK=folder / "work")
    for old, new in zip(code(tour), code(again), strict=True):
        assert pictures(old) == pictures(new), new.source
        before, now = printed(old), printed(new)
        if "net" not in old.metadata.get("tags", ()):
            assert before == now
            continue
        before, now = in_order_of_words(before), in_order_of_words(now)
        assert NUMBER.sub("#", before) == NUMBER.sub("#", now)
        near = NEAR_PERCENT if "percent" in before or "trained" in before else NEAR
        old_numbers, new_numbers = (list(map(float, NUMBER.findall(t))) for t in (before, now))
        assert new_numbers == pytest.approx(old_numbers, abs=near)
    said = "".join(map(printed, code(again)))
    assert "the net computes what is stored: True" in said
    assert "the record agrees: True" in said
