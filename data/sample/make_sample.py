"""Make the sample data sets: illustrated articles, a VOC-layout set and a retrieval set, all drawn
and written by this script.

Reads:   nothing
Writes:  OUT/ImageCLEF_Wikipedia/{images,metadata,text}, OUT/Wikipedia/, OUT/VOCdevkit/VOC2007/
Paper:   stands in for the data sets of section 4, so that the whole chain runs in minutes; no
number of the paper's comes from it Usage:   python data/sample/make_sample.py [--out data/sample]
[--seed 0] [--articles 500] [--force]

An article is about one theme and borrows words from a second one; its images show the first.  The
blemishes of the real collection are here too: PNGs, small images, grey and CMYK JPEGs, broken XML,
missing and foreign articles, `_text/`.
"""

import io
from pathlib import Path
from xml.sax.saxutils import escape

import cv2
import numpy as np
from PIL import Image
from tqdm import tqdm

from texttopicnet import artefacts, atomic_files, command_line

# theme -> words of its articles
THEMES = {
    "ocean": "sea wave harbour sailor tide boat anchor coral whale island current captain shore salt lighthouse reef cargo"
    " navigator storm deck rudder gull beach fisherman",
    "forest": "tree oak branch leaf moss trunk root bark deer fern canopy wood squirrel pine shade mushroom ranger timber"
    " acorn woodpecker trail undergrowth sapling needle",
    "desert": "sand dune camel oasis drought cactus caravan nomad heat scorpion mirage well thirst lizard palm dust plateau"
    " sandstone tent saddle spice gravel basin sunrise",
    "astronomy": "star planet moon orbit telescope galaxy comet eclipse astronomer constellation meteor satellite crater nebula"
    " observatory gravity saturn cosmos asteroid lens spacecraft equinox zodiac quasar",
    "city": "street tower traffic subway mayor skyline office elevator pavement bridge taxi apartment market avenue tram"
    " crowd billboard plaza architect suburb bus district window concrete",
    "volcano": "lava magma eruption ash crater basalt geologist vent sulphur tremor cone plume rift obsidian mantle pumice"
    " earthquake caldera fissure seismograph dome fumarole tephra geyser",
    "garden": "flower petal rose gardener blossom pollen tulip bee seed soil fence hedge butterfly spade orchard daisy"
    " greenhouse bouquet lawn perfume nectar bulb compost vase",
    "winter": "snow ice glacier frost blizzard ski sledge avalanche igloo penguin icicle mitten skate fjord thaw arctic scarf"
    " husky iceberg snowflake freeze pole toboggan tundra",
    "chess": "bishop knight pawn queen rook king opening checkmate grandmaster endgame tournament board castling gambit opponent"
    " sacrifice champion strategy clock stalemate rating defence diagonal player",
    "music": "melody violin orchestra chord composer rhythm piano symphony singer harmony opera note conductor flute quartet"
    " sonata drum concert tempo cello choir scale trumpet overture",
}
COMMON = [
    "people",
    "year",
    "name",
    "part",
    "form",
    "region",
    "history",
    "example",
    "work",
    "number",
    "time",
    "group",
    "book",
    "story",
    "century",
    "land",
    "area",
    "kind",
    "use",
    "side",
]
VERBS = [
    "show",
    "follow",
    "reach",
    "join",
    "describe",
    "keep",
    "carry",
    "support",
    "change",
    "surround",
]
OBJECTS = ("boat", "flower", "house", "moon", "tree")  # the classes of the VOC-layout set
PALE, DARK = 210, 60


def shade(rng, b, g, r, spread=28):
    """A colour near (b, g, r) as three ints in 0..255."""
    return tuple(
        int(v) for v in np.clip(np.array([b, g, r]) + rng.integers(-spread, spread + 1, 3), 0, 255)
    )


def gradient(height, width, top, bottom):
    """uint8 (height, width, 3), BGR, from `top` to `bottom`."""
    t = np.linspace(0, 1, height)[:, None, None]
    rows = (1 - t) * np.array(top) + t * np.array(bottom)
    return np.ascontiguousarray(np.broadcast_to(rows, (height, width, 3)).astype(np.uint8))


def polygon(image, points, colour):
    cv2.fillPoly(image, [np.array(points, dtype=np.int32)], colour)


def draw_boat(image, rng):
    height, width = image.shape[:2]
    s, x, y = (
        rng.integers(22, 48),
        rng.integers(50, width - 50),
        rng.integers(height // 2, height - 40),
    )
    polygon(
        image,
        [(x - s, y), (x + s, y), (x + s // 2, y + s // 2), (x - s // 2, y + s // 2)],
        shade(rng, 40, 60, 120),
    )
    polygon(image, [(x, y - 2 * s), (x, y - 4), (x + s, y - 4)], shade(rng, 235, 235, 240, 15))
    cv2.line(image, (x, y), (x, y - 2 * s), (30, 40, 60), 2)


def draw_tree(image, rng):
    height, width = image.shape[:2]
    s, x, y = (
        rng.integers(30, 70),
        rng.integers(20, width - 20),
        rng.integers(height // 2, height - 5),
    )
    cv2.rectangle(image, (x - s // 8, y - s // 2), (x + s // 8, y), shade(rng, 30, 60, 90, 15), -1)
    green = shade(rng, 40, 110, 40, 30)
    for level in range(3):
        top = y - s // 2 - level * s // 2
        polygon(
            image,
            [(x - s // 2 + level * 5, top), (x + s // 2 - level * 5, top), (x, top - s)],
            green,
        )


def draw_flower(image, rng):
    height, width = image.shape[:2]
    s, x, y = (
        rng.integers(7, 17),
        rng.integers(15, width - 15),
        rng.integers(height // 3, height - 15),
    )
    cv2.line(image, (x, y), (x, min(height - 1, y + 4 * s)), (40, 130, 40), 2)
    petals = shade(
        rng, *[(60, 40, 220), (200, 60, 200), (60, 200, 240), (240, 120, 120)][rng.integers(4)]
    )
    for angle in np.linspace(0, 2 * np.pi, 6)[:-1]:
        cv2.circle(
            image,
            (int(x + s * np.cos(angle)), int(y + s * np.sin(angle))),
            int(s * 0.7),
            petals,
            -1,
        )
    cv2.circle(image, (x, y), int(s * 0.6), (40, 200, 240), -1)


def draw_house(image, rng):
    height, width = image.shape[:2]
    w, h = rng.integers(30, 60), rng.integers(70, 190)
    x = rng.integers(0, width - w)
    grey = int(rng.integers(60, 150))
    cv2.rectangle(image, (x, height - h), (x + w, height), shade(rng, grey, grey, grey, 12), -1)
    lit = (120, 220, 240) if rng.random() < 0.7 else (90, 70, 60)
    for wy in range(height - h + 8, height - 12, 18):
        for wx in range(x + 6, x + w - 8, 13):
            cv2.rectangle(image, (wx, wy), (wx + 6, wy + 9), lit, -1)


def draw_moon(image, rng):
    height, width = image.shape[:2]
    r, x, y = rng.integers(18, 45), rng.integers(40, width - 40), rng.integers(40, height // 2)
    cv2.circle(image, (x, y), r, shade(rng, 200, 225, 235, 18), -1)
    for _ in range(4):
        cx, cy = x + rng.integers(-r // 2, r // 2 + 1), y + rng.integers(-r // 2, r // 2 + 1)
        cv2.circle(image, (int(cx), int(cy)), max(2, r // 6), (150, 175, 185), -1)


DRAW = {
    "boat": draw_boat,
    "flower": draw_flower,
    "house": draw_house,
    "moon": draw_moon,
    "tree": draw_tree,
}


def scene(theme, rng):
    """Draw a scene of a theme.

    Returns
    -------
    image : ndarray of uint8, shape (H, W, 3)
        BGR; sides of 256 to 340.
    objects : set of str
        Which of OBJECTS are in it.
    """
    height, width = rng.integers(256, 341, 2)
    objects = set()

    def put(name, least, most):
        for _ in range(rng.integers(least, most + 1)):
            DRAW[name](image, rng)
            objects.add(name)

    if theme == "ocean":
        image = gradient(height, width, shade(rng, 235, 200, 150), shade(rng, 120, 70, 20))
        for y in range(height // 2, height, 14):
            x = np.arange(0, width, 6)
            wave = np.stack([x, y + 4 * np.sin(x / 14 + rng.random() * 6)], axis=1).astype(np.int32)
            cv2.polylines(image, [wave], False, shade(rng, 230, 190, 140), 2)
        put("boat", 0, 2)
    elif theme == "forest":
        image = gradient(height, width, shade(rng, 150, 190, 150), shade(rng, 30, 80, 40))
        put("tree", 5, 12)
    elif theme == "desert":
        image = gradient(height, width, shade(rng, 210, 190, 140), shade(rng, 110, 180, 230))
        for _ in range(4):
            centre, axes = (
                (int(rng.integers(width)), height),
                (int(rng.integers(70, 190)), int(rng.integers(40, 110))),
            )
            cv2.ellipse(image, centre, axes, 0, 180, 360, shade(rng, 80, 160, 215), -1)
        cv2.circle(
            image,
            (int(rng.integers(30, width - 30)), 45),
            int(rng.integers(15, 30)),
            shade(rng, 90, 230, 250, 10),
            -1,
        )
    elif theme == "astronomy":
        image = gradient(height, width, shade(rng, 40, 15, 15, 14), shade(rng, 20, 10, 15, 10))
        for _ in range(rng.integers(60, 140)):
            centre = int(rng.integers(width)), int(rng.integers(height))
            cv2.circle(image, centre, int(rng.integers(1, 3)), (PALE,) * 3, -1)
        put("moon", 0, 2)
    elif theme == "city":
        image = gradient(height, width, shade(rng, 190, 165, 145), shade(rng, 140, 140, 140))
        put("house", 5, 9)
    elif theme == "volcano":
        image = gradient(height, width, shade(rng, 50, 50, 60, 20), shade(rng, 30, 50, 120, 25))
        x, half = int(rng.integers(90, width - 90)), int(rng.integers(80, 140))
        peak = height // 3
        polygon(
            image,
            [(x - half, height), (x - 18, peak), (x + 18, peak), (x + half, height)],
            shade(rng, 30, 35, 45, 15),
        )
        for _ in range(rng.integers(3, 7)):
            end = (x + int(rng.integers(-half // 2, half // 2 + 1)), height)
            cv2.line(image, (x, peak), end, shade(rng, 20, 90, 235, 20), int(rng.integers(3, 9)))
        for _ in range(25):
            at = x + int(rng.normal(0, 30)), peak - int(rng.integers(0, 80))
            cv2.circle(image, at, int(rng.integers(2, 5)), (30, 130, 250), -1)
    elif theme == "garden":
        image = gradient(height, width, shade(rng, 240, 225, 190), shade(rng, 80, 190, 110))
        put("flower", 8, 20)
        if rng.random() < 0.3:
            put("house", 1, 1)
    elif theme == "winter":
        image = gradient(height, width, shade(rng, 225, 210, 195), shade(rng, 250, 248, 245, 6))
        for _ in range(3):
            centre, axes = (
                (int(rng.integers(width)), height),
                (int(rng.integers(80, 180)), int(rng.integers(30, 90))),
            )
            cv2.ellipse(image, centre, axes, 0, 180, 360, shade(rng, 248, 244, 240, 8), -1)
        for _ in range(rng.integers(40, 90)):
            x, y, s = int(rng.integers(width)), int(rng.integers(height)), int(rng.integers(2, 5))
            for dx, dy in ((s, 0), (0, s), (s, s), (s, -s)):
                cv2.line(image, (x - dx, y - dy), (x + dx, y + dy), (255, 255, 255), 1)
        if rng.random() < 0.4:
            put("tree", 1, 2)
    elif theme == "chess":
        image = gradient(height, width, shade(rng, 170, 205, 230), shade(rng, 150, 190, 215))
        side, dark = int(rng.integers(28, 44)), shade(rng, 50, 80, 120)
        for y in range(0, height, side):
            for x in range((y // side % 2) * side, width, 2 * side):
                cv2.rectangle(image, (x, y), (x + side - 1, y + side - 1), dark, -1)
        for _ in range(rng.integers(4, 12)):
            x, y = (
                int(v) * side + side // 2
                for v in (rng.integers(width // side), rng.integers(height // side))
            )
            colour = (PALE,) * 3 if rng.random() < 0.5 else (DARK // 2,) * 3
            cv2.circle(image, (x, y), side // 3, colour, -1)
    else:
        image = gradient(
            height, width, shade(rng, 215, 232, 240, 12), shade(rng, 205, 225, 235, 12)
        )
        for top in range(20, height - 40, 80):
            for line in range(5):
                cv2.line(image, (0, top + 9 * line), (width, top + 9 * line), (DARK,) * 3, 1)
            for x in range(20, width, int(rng.integers(25, 45))):
                y = top + int(rng.integers(0, 10)) * 4
                cv2.ellipse(image, (x, y), (6, 4), -20, 0, 360, (20, 20, 20), -1)
                cv2.line(image, (x + 6, y), (x + 6, y - 28), (20, 20, 20), 2)
    noise = rng.normal(0, 5, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8), objects


def mixed_scene(theme, rng):
    """A scene, in a third of the cases with an object that is foreign to it; returns what `scene`
    does.
    """
    image, objects = scene(theme, rng)
    if rng.random() < 0.35:
        extra = OBJECTS[rng.integers(len(OBJECTS))]
        DRAW[extra](image, rng)
        objects.add(extra)
    return image, objects


def sentences(theme, rng, count, other=None):
    """`count` sentences, with wiki markup, about `theme` and a little about `other`."""
    own, foreign = THEMES[theme].split(), THEMES[other].split() if other else []
    frequent = 1 / (2 + np.arange(len(own)))  # the first words of a theme are the frequent ones
    rows = []

    def noun():
        kind = rng.random()
        if kind < 0.72 or (not foreign and kind < 0.8):
            word = own[rng.choice(len(own), p=frequent / frequent.sum())]
        elif kind < 0.8:
            word = foreign[rng.integers(len(foreign))]
        else:
            word = COMMON[rng.integers(len(COMMON))]
        return (
            f"[[{word}]]"
            if rng.random() < 0.1
            else f"'''{word}'''"
            if rng.random() < 0.03
            else word
        )

    for _ in range(count):
        verb = VERBS[rng.integers(len(VERBS))]
        rows.append(
            f"The {noun()} and the {noun()} {verb} the {noun()}, and every {noun()} is near the {noun()}."
        )
    return rows


def article(theme, rng, other=None):
    """Text of an article in wiki markup."""
    rows = sentences(theme, rng, int(rng.integers(14, 30)), other)
    rows.insert(len(rows) // 2, f"== {THEMES[theme].split()[0].title()} ==")
    rows.insert(1, '{| class="wikitable"\n|-\n| align=left | ' + theme + "\n|}")
    rows.append(f"{{{{Reflist}}}} <ref>Sample</ref> [[Category:{theme}]]")
    return "\n".join(rows) + "\n"


METADATA = """<?xml version="1.0" encoding="UTF-8" ?>
<image id="{id}" file="{file}">
  <name>{name}</name>
  <text xml:lang="en"><description /><comment /><caption{english}>{caption}</caption></text>
  <text xml:lang="de"><description /><comment /><caption{german} /></text>
  <comment>(drawn by make_sample.py)</comment>
  <license>MIT</license>
</image>
"""


def jpeg(path, image, kind="colour"):
    """Write a JPEG: colour, grey or cmyk."""
    if kind == "cmyk":
        held = io.BytesIO()
        Image.fromarray(image[:, :, ::-1]).convert("CMYK").save(held, "JPEG", quality=90)
        path.write_bytes(held.getvalue())
        return
    pixels = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) if kind == "grey" else image
    cv2.imwrite(str(path), pixels, [cv2.IMWRITE_JPEG_QUALITY, 90])


def put_image(collection, number, image, blemish):
    """Write the image of a metadata file; returns its path below the collection."""
    name = f"{number}.v1" if blemish == "two dots" else str(number)
    ending = "png" if blemish == "png" else "jpg"
    file = collection / "images" / str(number % 10) / f"{name}.{ending}"
    file.parent.mkdir(parents=True, exist_ok=True)
    if blemish == "png":
        cv2.imwrite(str(file), image)
    elif blemish == "small":
        jpeg(file, cv2.resize(image, (200, 180)))
    elif blemish == "unreadable":
        file.write_bytes(b"\xff\xd8 this is no picture")
    elif blemish != "no image":
        jpeg(file, image, blemish if blemish in ("grey", "cmyk") else "colour")
    return file.relative_to(collection).as_posix()


def make_collection(folder, rng, n_articles):
    """Articles with one to three images each, in the layout of the ImageCLEF 2010 Wikipedia
    collection.
    """
    blemishes = [
        "png",
        "small",
        "grey",
        "cmyk",
        "two dots",
        "unreadable",
        "no image",
        "broken XML",
        "foreign",
        "no article",
    ]
    blemishes += ["_text"]
    themes, number = list(THEMES), 0
    for n in tqdm(range(1, n_articles + 1), desc="articles", unit="article"):
        theme = themes[n % len(themes)]
        other = themes[rng.integers(len(themes))]
        path = folder / "text" / "en" / str(n % 10) / str(n)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(article(theme, rng, other), encoding="utf-8")
        for _ in range(rng.integers(1, 4)):
            number += 1
            blemish = blemishes[rng.integers(len(blemishes))] if rng.random() < 0.08 else ""
            file = put_image(folder, number, mixed_scene(theme, rng)[0], blemish)
            where = path.relative_to(folder).as_posix()
            if blemish == "_text":
                where = "_" + where
            if blemish == "no article":
                where += "0000"
            named = f' article="{escape(where)}"'
            text = METADATA.format(
                id=number,
                file=file,
                name=f"{theme} {number}",
                caption="" if blemish == "foreign" else f"A picture of {theme}",
                english="" if blemish == "foreign" else named,
                german=named if blemish == "foreign" else "",
            )
            if blemish == "broken XML":
                text = text[: text.index("<caption")]
            metadata = folder / "metadata" / str(number % 10) / f"{number}.xml"
            metadata.parent.mkdir(parents=True, exist_ok=True)
            metadata.write_text(text, encoding="utf-8")


def make_retrieval(folder, rng, pairs_a_theme):
    """Text-image pairs by theme, in the layout of the Wikipedia set of Rasiwasia et al.; texts of
    no article above.
    """
    rows = []
    (folder / "texts").mkdir(parents=True)
    for c, theme in enumerate(THEMES, start=1):
        (folder / "images" / theme).mkdir(parents=True)
        for _ in range(pairs_a_theme):
            text, image = (rng.bytes(16).hex() for _ in range(2))
            other = list(THEMES)[rng.integers(len(THEMES))]
            body = escape("\n".join(sentences(theme, rng, 2, other)))
            (folder / "texts" / f"{text}.xml").write_text(
                f"<document><text>\n{body}\n</text></document>\n", encoding="utf-8"
            )
            jpeg(folder / "images" / theme / f"{image}.jpg", mixed_scene(theme, rng)[0])
            rows.append(f"{text}\t{image}\t{c}\n")
    (folder / "categories.list").write_text("".join(f"{theme}\n" for theme in THEMES))
    (folder / "testset_txt_img_cat.list").write_text(
        "".join(rows[i] for i in rng.permutation(len(rows)))
    )


def make_voc(folder, rng, n_images):
    """Scenes with labelled objects, in VOC2007's layout: a quarter each for train and val, half for
    test.
    """
    year = folder / "VOC2007"
    (year / "JPEGImages").mkdir(parents=True)
    main = year / "ImageSets" / "Main"
    main.mkdir(parents=True)
    themes, labels = list(THEMES), {}
    for n in tqdm(range(1, n_images + 1), desc="VOC images", unit="image"):
        image, objects = mixed_scene(themes[rng.integers(len(themes))], rng)
        jpeg(year / "JPEGImages" / f"{n:06d}.jpg", image)
        labels[f"{n:06d}"] = {
            name: (0 if rng.random() < 0.04 else 1) if name in objects else -1 for name in OBJECTS
        }
    ids = [list(labels)[i] for i in rng.permutation(n_images)]
    quarter = n_images // 4
    splits = {"train": ids[:quarter], "val": ids[quarter : 2 * quarter], "test": ids[2 * quarter :]}
    splits["trainval"] = splits["train"] + splits["val"]
    for split, members in splits.items():
        (main / f"{split}.txt").write_text("".join(f"{i}\n" for i in sorted(members)))
        for name in OBJECTS:
            (main / f"{name}_{split}.txt").write_text(
                "".join(f"{i} {labels[i][name]:2d}\n" for i in sorted(members))
            )


def main():
    parser = command_line.parser(__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent)
    command_line.add_options(parser, "--seed")
    parser.add_argument("--articles", type=command_line.whole("--articles"), default=500)
    parser.add_argument(
        "--pairs",
        type=command_line.whole("--pairs"),
        default=16,
        help="of the retrieval set, a theme",
    )
    parser.add_argument("--voc-images", type=command_line.whole("--voc-images"), default=400)
    command_line.add_options(parser, "--force")
    args = parser.parse_args()

    outputs = [args.out / name for name in ("ImageCLEF_Wikipedia", "Wikipedia", "VOCdevkit")]
    for output in outputs:
        artefacts.refuse_existing(output, args.force)
    print(
        f"drawing {args.articles} articles, {args.pairs * len(THEMES)} pairs and {args.voc_images} VOC images, seed {args.seed}"
    )
    with atomic_files.written_whole(*outputs) as (collection, retrieval, voc):
        streams = np.random.default_rng(args.seed).spawn(3)
        make_collection(collection, streams[0], args.articles)
        make_retrieval(retrieval, streams[1], args.pairs)
        make_voc(voc, streams[2], args.voc_images)
    print(f"sample data sets: {', '.join(map(str, outputs))}")
    return 0


if __name__ == "__main__":
    command_line.run(main)
