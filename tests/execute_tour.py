"""Execute experiments/tour.ipynb on the sample, and check in what comes out.

Reads:   experiments/tour.ipynb, work/sample (run_all.sh --sample)
Writes:  experiments/tour.ipynb, without times and without the version of Python
Usage:   python tests/execute_tour.py
"""

import copy
from pathlib import Path

import nbclient
import nbformat

from texttopicnet import atomic_files

PATH = Path(__file__).resolve().parents[1] / "experiments" / "tour.ipynb"


def execute(notebook: nbformat.NotebookNode, **folders: Path) -> nbformat.NotebookNode:
    """A copy of the notebook, executed; `folders` replace values of its cell of parameters."""
    executed, place = copy.deepcopy(notebook), None
    if folders:
        tags = [cell.metadata.get("tags", ()) for cell in executed.cells]
        (place,) = (i + 1 for i, found in enumerate(tags) if "parameters" in found)
        lines = [f"{name} = Path({str(value)!r})" for name, value in folders.items()]
        source = "\n".join(["from pathlib import Path", "", *lines])
        executed.cells.insert(place, nbformat.v4.new_code_cell(source))
    nbclient.NotebookClient(
        executed,
        timeout=600,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": PATH.parent}},
    ).execute()
    if place is not None:
        del executed.cells[place]
    executed.metadata["language_info"] = {"name": "python"}
    return executed


def main() -> None:
    executed = execute(nbformat.read(PATH, nbformat.NO_CONVERT))
    with atomic_files.written_whole(PATH) as temporary:
        temporary.write_text(nbformat.writes(executed) + "\n", encoding="utf-8")
    print(PATH)


if __name__ == "__main__":
    main()
