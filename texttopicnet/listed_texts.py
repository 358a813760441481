"""From a list of images and texts (`pair_lists`) to the token store."""

import itertools
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from texttopicnet import pair_lists, parallel, text, token_rows
from texttopicnet.counts import Tally
from texttopicnet.pairs import Pairs
from texttopicnet.token_store import TokenStore

TOGETHER = 32  # texts that a process gets at once


def store_texts(
    store: TokenStore,
    path: Path,
    listed: Pairs,
    left_out: Tally,
    workers: int = 1,
    executor: parallel.Executor | None = None,
) -> None:
    """Read a list once: add its images to `listed`, and store the tokens of the texts in it.

    Parameters
    ----------
    store : TokenStore
        It stays marked as incomplete until `TokenStore.end_dump`; texts of another list are
        deleted.
    path : Path
    listed : Pairs
        Gets (image, article) of every usable row; of an image that is listed twice, the first.
    left_out : Tally
        Counts the other rows by reason.
    workers : int
    executor : what `parallel.executor` yields, optional

    Raises
    ------
    UserError
        As `pair_lists.entries`.
    """
    text.check_wordnet()
    with tqdm(pair_lists.entries(path, left_out), desc="list", unit="row") as entries:
        store.begin_dump()
        groups = parallel.in_groups(_missing(entries, store, listed, left_out), TOGETHER)
        rows = parallel.ordered_map(token_rows.text_rows, groups, workers, executor=executor)
        store.keep_pages(itertools.chain.from_iterable(rows))
    store.forget_other_pages()


def _missing(
    entries: Iterator[pair_lists.Entry],
    store: TokenStore,
    listed: Pairs,
    left_out: Tally,
) -> Iterator[tuple[str, str, str]]:
    """(article, title, text) of the texts that are not stored, or have changed."""
    for entry in entries:
        if entry.image in listed:
            left_out.add("the image is in the list already", entry.image)
        else:
            listed.add(entry.image, entry.article)
        if entry.text is None:
            continue
        if store.stamp(entry.article) == token_rows.page_stamp(entry.title, entry.text):
            store.saw_page(entry.article)
        else:
            yield entry.article, entry.title, entry.text
