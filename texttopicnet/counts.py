"""Counts in messages: "1 image", "2 images", and which item was the first."""

from texttopicnet.files import printable


def counted(number: int, singular: str, plural: str | None = None) -> str:
    """A number with its noun; the plural is `singular` with an s unless it is given."""
    return f"{number} {singular if number == 1 else plural or singular + 's'}"


def first_of(number: int, first: object) -> str:
    """The end of a message about `number` items, which names the first of them."""
    return f": {first}" if number == 1 else f"; the first is {first}"


class Tally(dict[tuple[str, str], tuple[int, str]]):
    """How often each reason was given, and for which item first.

    Keys are (noun, reason), e.g. ("image", "not a JPEG"); values are (count, first item).
    """

    def add(self, reason: str, item: str, noun: str = "image") -> None:
        """Count an item."""
        count, first = self.get((noun, reason), (0, item))
        self[noun, reason] = count + 1, first

    def lines(self) -> list[str]:
        """One line per reason, sorted by it: "2 images (not a JPEG); the first is a.png"."""
        return [
            f"{counted(count, noun, _plural(noun))} ({reason}){first_of(count, printable(first))}"
            for (noun, reason), (count, first) in sorted(self.items(), key=lambda row: row[0][::-1])
        ]


def _plural(noun: str) -> str:
    return "list entries" if noun == "list entry" else f"{noun}s"
