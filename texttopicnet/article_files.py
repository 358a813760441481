"""From article files to the token store."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from texttopicnet import files, parallel, text
from texttopicnet.counts import counted, first_of
from texttopicnet.errors import UserError
from texttopicnet.token_rows import (
    FROM_DUMP,
    FROM_LIST,
    LISTED,
    PAGE,
    article_rows,
    file_stamp,
)
from texttopicnet.token_store import TokenStore

GROUP = 1 << 20  # bytes of articles that a process gets at once, roughly
Article = tuple[str, str, bytes]  # name, stamp, bytes of the file


def store_articles(
    store: TokenStore,
    names: Iterable[str],
    folder: Path | str,
    workers: int = 1,
    executor: parallel.Executor | None = None,
    found: Callable[[], object] = lambda: None,
) -> int:
    """Preprocess the article files that are not stored, have changed since, or whose entries are
    damaged.

    Parameters
    ----------
    store : TokenStore
    names : iterable of str
        Paths below `folder`; `text/` and `_text/` are one folder (`files.find_article`).
    folder : str or Path
    workers : int
    executor : what `parallel.executor` yields, optional
    found : callable
        Called once per article, for a progress bar.

    Returns
    -------
    int
        Number of articles that were preprocessed.

    Raises
    ------
    UserError
        An article is not stored and cannot be read.
    """
    text.check_wordnet()
    rebuilt: list[str] = []
    groups = _by_size(_missing(store, names, folder, found, rebuilt))
    rows = parallel.ordered_map(article_rows, groups, workers, executor=executor)
    count = store.keep(itertools.chain.from_iterable(rows))
    if rebuilt:
        what = counted(len(rebuilt), "damaged entry was", "damaged entries were")
        print(f"{store.path}: {what} rebuilt{first_of(len(rebuilt), rebuilt[0])}")
    return count


def _missing(
    store: TokenStore,
    names: Iterable[str],
    folder: Path | str,
    found: Callable[[], object],
    rebuilt: list[str],
) -> Iterator[Article]:
    """The articles that are not stored, or have changed.

    Calls `found` once per article, and adds the names of damaged entries to `rebuilt`.
    """
    usable = not store.setting("dump is incomplete")
    for name in names:
        found()
        stamp = store.stamp(name)
        is_page = stamp is not None and stamp.startswith(PAGE)
        if is_page and usable:
            continue
        try:
            path = Path(folder) / files.find_article(folder, name)
            current = file_stamp(files.check_regular(path))
        except files.Unusable as error:
            if is_page or (error.is_missing and _has_no_file(name)):
                raise UserError(f"{store.path}: {_how_to_get(name, is_page)}") from error
            raise
        if stamp != current:
            data = files.read(path)
            if stamp is None and name in store:
                rebuilt.append(name)
            yield name, current, data


def _has_no_file(name: str) -> bool:
    """Whether a name is a dump's page or a list's text."""
    return name.isdecimal() or name.startswith(LISTED)


def _how_to_get(name: str, is_page: bool) -> str:
    """What is wrong with an article that has no file, and how to get it."""
    source, item, command = "dump", "page", FROM_DUMP
    if name.startswith(LISTED):
        source, item, command = "list", "text", FROM_LIST
    why = (
        f"comes from a {source} that was not read to its end"
        if is_page
        else "is missing or damaged"
    )
    return f"the {item} {name} {why}: read the {source} again with {command}"


def _by_size(articles: Iterable[Article]) -> Iterator[list[Article]]:
    """Lists of articles that have about GROUP bytes together."""
    group: list[Article] = []
    size = 0
    for article in articles:
        group.append(article)
        size += len(article[2])
        if size >= GROUP:
            yield group
            group, size = [], 0
    if group:
        yield group
