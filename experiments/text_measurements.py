"""Measurements of text_to_text_retrieval.py: kept while it runs, and as rows of its record."""

import itertools
import json
from pathlib import Path

import numpy as np

from texttopicnet import json_files
from texttopicnet.errors import UserError


class Kept:
    """Measurements so far, in a file beside the record: a stopped run resumes from it, and the run
    that completes them removes it.

    Attributes
    ----------
    measured : dict
        {(embedding, passes, seed): {measure: ndarray of float64, AP of each text}}.
    seconds : float
        How long they took.
    """

    def __init__(self, path: Path, described: dict, force: bool) -> None:
        self.path, self.described = path, described
        self.measured, self.seconds = {}, 0.0
        if force:
            path.unlink(missing_ok=True)
        if not path.exists():
            return
        found = json_files.read(path, "python experiments/text_to_text_retrieval.py --force")
        if not isinstance(found, dict) or found.get("described") != json.loads(
            json.dumps(described)
        ):
            raise UserError(
                f"{path} was measured with other texts or settings: give another --name to keep it,"
                " or --force"
            )
        self.seconds = found["seconds"]
        self.measured = {
            tuple(job): {m: np.array(ap) for m, ap in of.items()} for job, of in found["measured"]
        }

    def add(self, job: tuple, found: dict[str, np.ndarray], seconds: float) -> None:
        """Add a job's measurements, and write the file."""
        self.measured[job] = found
        rows = [
            [job, {measure: ap.tolist() for measure, ap in of.items()}]
            for job, of in self.measured.items()
        ]
        value = {"described": self.described, "seconds": seconds, "measured": rows}
        json_files.write(self.path, value)


def rows_of(
    measured: list[tuple[tuple, dict[str, np.ndarray]]], categories: np.ndarray, names: list[str]
) -> list[dict]:
    """Rows of the record: mean AP of each embedding and measure, over the texts and then over the
    seeds.
    """
    rows = []
    for (name, passes), group in itertools.groupby(measured, key=lambda m: m[0][:2]):
        group = list(group)
        for measure in group[0][1]:
            aps = {job[2]: found[measure] for job, found in group}
            means = [float(ap.mean()) for ap in aps.values()]
            mean_ap = np.mean(list(aps.values()), axis=0)
            row = {
                "embedding": name,
                "passes": passes,
                "measure": measure,
                "mean": float(np.mean(means)),
            }
            row |= {
                "least": min(means),
                "most": max(means),
                "seeds": dict(zip(map(str, aps), means, strict=True)),
            }
            row["categories"] = {
                names[c]: float(mean_ap[categories == c].mean()) for c in np.unique(categories)
            }
            rows.append(row)
    return rows
