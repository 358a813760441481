"""What the three upgrade commands share: they read a file, upgrade its message, and write it."""

from collections.abc import Callable, Sequence

from caffe import command_line, log, prototxt, wire
from caffe.whole_file import renamed_when_whole


def main(
    arguments: Sequence[str] | None,
    here: str,
    places: str,
    read: Callable[[str], wire.M],
    upgrade: Callable[[wire.M, str], None],
    dump: Callable[[wire.M], bytes],
) -> int:
    """Run one of the commands.

    Parameters
    ----------
    arguments : list of str or None
    here : str
        Caffe's source file, for the log's positions.
    places : str
        Names of the two arguments, for the usage.
    read : callable
        Path -> message, not upgraded yet.
    upgrade : callable
        Changes a message in place; the path is for its own messages.
    dump : callable
        Message -> bytes.

    Returns
    -------
    int
        The exit status.
    """

    def run(given: Sequence[str]):
        source, target = command_line.flags(given, {}, f"{here}:1", places).rest
        old = read(source)
        new = type(old)()
        new.CopyFrom(old)
        upgrade(new, source)
        if new == old:
            log.warning(f"{here}:43", f"File already in latest proto format: {source}")
        with renamed_when_whole(target) as temporary, open(temporary, "wb") as f:
            f.write(dump(new))
        kind = "binary" if "binary" in here else "text"
        log.info(f"{here}:49", f"Wrote upgraded {type(old).__name__} {kind} proto to {target}")

    usage = f"usage: caffe {here.removesuffix('.cpp')} {places}\n"
    return command_line.run(run, f"{here}:1", arguments, usage)


def main_text(
    arguments: Sequence[str] | None,
    here: str,
    places: str,
    kind: type[wire.M],
    upgrade: Callable[[wire.M, str], None],
) -> int:
    """Run a command that upgrades prototxts of one `kind` of message; see `main`."""
    return main(
        arguments,
        here,
        places,
        lambda path: prototxt.read_message(path, kind()),
        upgrade,
        lambda message: prototxt.to_text(message).encode(),
    )
