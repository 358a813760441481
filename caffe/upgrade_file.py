"""What the three upgrade commands share: read a file, bring its message up to date, write it whole."""

from caffe import command_line, log
from caffe.whole_file import renamed_when_whole


def main(arguments, here, places, read, upgrade, dump):
    """Run one of the commands.

    Parameters
    ----------
    arguments : list of str or None
    here : str
        Caffe's source file, for the log's positions.
    places : str
        Names of the two arguments, for the usage.
    read : callable
        Path -> message, as it stands in the file.
    upgrade : callable
        (message, path): changes the message in place.
    dump : callable
        Message -> bytes.

    Returns
    -------
    int
        The exit status.
    """

    def run(given):
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

    return command_line.run(
        run, f"{here}:1", arguments, f"usage: caffe {here.removesuffix('.cpp')} {places}\n"
    )
