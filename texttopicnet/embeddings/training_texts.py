"""Texts in the form in which gensim's word2vec, fastText and doc2vec read them."""

import threading
from collections.abc import Iterable, Iterator

from gensim.corpora import Dictionary
from gensim.models.doc2vec import TaggedDocument
from tqdm import tqdm

from texttopicnet import parallel

LONGEST = 10_000  # words; gensim's training ignores what follows, so longer texts come in pieces


class TrainingTexts:
    """The known words of texts, in pieces that gensim reads whole, with a progress bar per pass.

    Parameters
    ----------
    texts : iterable of list of str
        Read once per pass.
    dictionary : gensim.corpora.Dictionary
    name : str
        For the progress bar.
    tagged : bool
        Yield TaggedDocuments with the text's number (doc2vec), not plain lists.
    """

    def __init__(
        self, texts: Iterable[list[str]], dictionary: Dictionary, name: str, tagged: bool = False
    ) -> None:
        self.texts, self.known, self.name, self.tagged = texts, dictionary.token2id, name, tagged
        self.passes, self.error = 0, None

    def __iter__(self) -> Iterator[list[str] | TaggedDocument]:
        self.passes += 1
        title = f"{self.name}, pass {self.passes}"
        bar = tqdm(self.texts, desc=title, unit="article", leave=False)
        try:
            for i, text in enumerate(bar):
                for piece in parallel.in_groups(filter(self.known.__contains__, text), LONGEST):
                    yield TaggedDocument(piece, [i]) if self.tagged else piece
        except Exception as error:
            if threading.current_thread() is threading.main_thread():
                raise
            # gensim reads in another thread, and would wait forever if that thread died
            self.error = error

    def check(self) -> None:
        """Raise the error that ended the reading in gensim's thread, if there was one."""
        if self.error:
            raise self.error
