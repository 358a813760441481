"""A topic model's files, as LDA/learn_LDA_model.py leaves them."""

from pathlib import Path

from texttopicnet import artefacts, pickles


def save(model, work):
    """Write a TopicModel and its dictionary below a work folder."""
    path = Path(work) / artefacts.DICTIONARY
    path.parent.mkdir(parents=True, exist_ok=True)
    pickles.save(model.dictionary, path)
    model.save(work)
