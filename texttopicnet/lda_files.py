"""LDA models of any gensim version, read whole and with all attributes of a current one."""

from pathlib import Path

import numpy as np
from gensim.models import LdaModel

from texttopicnet import pickles
from texttopicnet.errors import UserError

# gensim's values of attributes that its early versions did not save
DEFAULTS = {
    "minimum_probability": 0.01,
    "minimum_phi_value": 0.01,
    "per_word_topics": False,
    "callbacks": None,
}


def load(path: Path, trust: bool = False) -> LdaModel:
    """Load a model.

    Parameters
    ----------
    path : Path
    trust : bool
        See `pickles.read`.

    Raises
    ------
    UserError
        As `pickles.load`; or the model's parts do not fit together.
    """
    lda = pickles.load(LdaModel, path, trust)
    _complete(lda, path)
    return lda


def _complete(lda: LdaModel, path: Path) -> None:
    """Add what early versions of gensim did not save; UserError if the model's parts do not fit."""
    for name, value in DEFAULTS.items():
        vars(lda).setdefault(name, value)
    if "id2word" in getattr(lda, "__ignoreds", ()) and lda.id2word is None:
        raise UserError(f"{path}.id2word does not exist, though {path} needs it: {pickles.MOVE}")
    try:
        lda.dtype = np.dtype(lda.dtype)
        lda.expElogbeta = np.ascontiguousarray(lda.expElogbeta, lda.dtype)
        lda.alpha = np.asarray(lda.alpha, lda.dtype)
        shape = lda.num_topics, lda.num_terms
        fits = (
            lda.expElogbeta.shape == lda.state.get_lambda().shape == shape
            and lda.alpha.shape == shape[:1]
        )
        fits &= (
            lda.dtype.type in (np.float16, np.float32, np.float64)
            and lda.iterations >= 1
            and lda.gamma_threshold > 0
        )
        fits = fits and bool(np.isfinite(lda.expElogbeta).all() and (lda.alpha > 0).all())
    except (AttributeError, TypeError, ValueError) as error:
        raise UserError(f"{path} lacks a part of an LdaModel ({error}): {pickles.MOVE}") from error
    if not fits:
        raise UserError(
            f"{path} and the files beside it are of different models, or damaged: its"
            f" {lda.num_topics} topics of {lda.num_terms} words do not fit their arrays;"
            f" {pickles.MOVE}"
        )
