"""The texts of the sample data sets: sentences in wiki markup from the words of a theme.

The order of the draws is part of the result: the same seed gives the same text.
"""

import numpy as np

THEMES = {  # theme -> words of its articles
    "ocean": (
        "sea wave harbour sailor tide boat anchor coral whale island current captain shore"
        " salt lighthouse reef cargo navigator storm deck rudder gull beach fisherman"
    ),
    "forest": (
        "tree oak branch leaf moss trunk root bark deer fern canopy wood squirrel pine shade"
        " mushroom ranger timber acorn woodpecker trail undergrowth sapling needle"
    ),
    "desert": (
        "sand dune camel oasis drought cactus caravan nomad heat scorpion mirage well thirst"
        " lizard palm dust plateau sandstone tent saddle spice gravel basin sunrise"
    ),
    "astronomy": (
        "star planet moon orbit telescope galaxy comet eclipse astronomer constellation"
        " meteor satellite crater nebula observatory gravity saturn cosmos asteroid lens"
        " spacecraft equinox zodiac quasar"
    ),
    "city": (
        "street tower traffic subway mayor skyline office elevator pavement bridge taxi"
        " apartment market avenue tram crowd billboard plaza architect suburb bus district"
        " window concrete"
    ),
    "volcano": (
        "lava magma eruption ash crater basalt geologist vent sulphur tremor cone plume rift"
        " obsidian mantle pumice earthquake caldera fissure seismograph dome fumarole tephra"
        " geyser"
    ),
    "garden": (
        "flower petal rose gardener blossom pollen tulip bee seed soil fence hedge butterfly"
        " spade orchard daisy greenhouse bouquet lawn perfume nectar bulb compost vase"
    ),
    "winter": (
        "snow ice glacier frost blizzard ski sledge avalanche igloo penguin icicle mitten"
        " skate fjord thaw arctic scarf husky iceberg snowflake freeze pole toboggan tundra"
    ),
    "chess": (
        "bishop knight pawn queen rook king opening checkmate grandmaster endgame tournament"
        " board castling gambit opponent sacrifice champion strategy clock stalemate rating"
        " defence diagonal player"
    ),
    "music": (
        "melody violin orchestra chord composer rhythm piano symphony singer harmony opera"
        " note conductor flute quartet sonata drum concert tempo cello choir scale trumpet"
        " overture"
    ),
}
COMMON = (
    "people year name part form region history example work number time group book story"
    " century land area kind use side"
)
VERBS = "show follow reach join describe keep carry support change surround"


class Nouns:
    """Draws the nouns of a text: mostly of its theme, some of another theme, some common ones."""

    def __init__(self, theme: str, rng: np.random.Generator, other: str | None = None) -> None:
        self.rng, self.own, self.common = rng, THEMES[theme].split(), COMMON.split()
        self.foreign = THEMES[other].split() if other else []
        frequent = 1 / (2 + np.arange(len(self.own)))  # the first words are the frequent ones
        self.shares = frequent / frequent.sum()

    def draw(self) -> str:
        rng, kind = self.rng, self.rng.random()
        if kind < 0.72 or (not self.foreign and kind < 0.8):
            word = self.own[rng.choice(len(self.own), p=self.shares)]
        elif kind < 0.8:
            word = self.foreign[rng.integers(len(self.foreign))]
        else:
            word = self.common[rng.integers(len(self.common))]
        if rng.random() < 0.1:
            return f"[[{word}]]"
        return f"'''{word}'''" if rng.random() < 0.03 else word


def sentences(
    theme: str, rng: np.random.Generator, count: int, other: str | None = None
) -> list[str]:
    """`count` sentences, with wiki markup, about `theme` and a little about `other`."""
    nouns, verbs, rows = Nouns(theme, rng, other), VERBS.split(), []
    for _ in range(count):
        verb = verbs[rng.integers(len(verbs))]
        a, b, c, d, e = (nouns.draw() for _ in range(5))
        rows.append(f"The {a} and the {b} {verb} the {c}, and every {d} is near the {e}.")
    return rows


def article(theme: str, rng: np.random.Generator, other: str | None = None) -> str:
    """The text of an article, in wiki markup."""
    rows = sentences(theme, rng, int(rng.integers(14, 30)), other)
    rows.insert(len(rows) // 2, f"== {THEMES[theme].split()[0].title()} ==")
    rows.insert(1, '{| class="wikitable"\n|-\n| align=left | ' + theme + "\n|}")
    rows.append(f"{{{{Reflist}}}} <ref>Sample</ref> [[Category:{theme}]]")
    return "\n".join(rows) + "\n"
