"""From a dump to the token store: the pages that images are listed for."""

import itertools
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from texttopicnet import dump, parallel, text, token_rows
from texttopicnet.errors import UserError
from texttopicnet.pairs import Pairs
from texttopicnet.token_store import TokenStore

TOGETHER = 32  # pages that a process gets at once


def store_pages(
    store: TokenStore,
    path: Path | str,
    wanted: Pairs,
    workers: int = 1,
    executor: parallel.Executor | None = None,
) -> None:
    """Store the tokens of a dump's pages; pages of another dump are deleted.

    Parameters
    ----------
    store : TokenStore
        It stays marked as incomplete until `TokenStore.end_dump`.
    path : str or Path
        The dump.
    wanted : Pairs
        The pages that images have; the others are not stored.
    workers : int
    executor : what `parallel.executor` yields, optional

    Raises
    ------
    UserError
        As `dump.pages`; the pages before the damage are stored first.
    """
    text.check_wordnet()
    faults: list[UserError] = []
    with dump.progress(path) as bar:
        store.begin_dump()
        pages = parallel.in_groups(_missing(path, wanted, store, bar, faults), TOGETHER)
        rows = parallel.ordered_map(token_rows.page_rows, pages, workers, executor=executor)
        store.keep_pages(itertools.chain.from_iterable(rows))
    if faults:
        raise faults[0]
    store.forget_other_pages()


def _missing(
    path: Path | str, wanted: Pairs, store: TokenStore, bar: tqdm, faults: list[UserError]
) -> Iterator[dump.Page]:
    """The wanted pages that are not stored, or have changed; a damaged dump's error goes to
    `faults`.
    """
    try:
        for page in dump.pages(path, bar):
            if not wanted.has_article(page.id):
                continue
            if store.stamp(page.id) == token_rows.page_stamp(page.title, page.text):
                store.saw_page(page.id)
            else:
                yield page
    except UserError as error:  # the pages before it are still to be stored
        faults.append(error)
