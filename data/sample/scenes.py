"""The pictures of the sample data sets: one scene per theme, with the objects that appear in it.

Colours are B, G, R.  Every picture depends on the state of its random generator alone, so the
order of the draws is part of the result: the same seed gives the same pixels.
"""

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np

PALE, DARK = 210, 60
Colour = tuple[int, ...]
Box = tuple[int, int, int, int]  # x1, y1, x2, y2, inclusive; it may reach beyond the picture


class Object(NamedTuple):
    """An object that has been drawn: one of OBJECTS, and the box around it."""

    name: str
    box: Box


def shade(rng: np.random.Generator, b: int, g: int, r: int, spread: int = 28) -> Colour:
    """A colour near (b, g, r) as three ints in 0..255."""
    return tuple(
        int(v) for v in np.clip(np.array([b, g, r]) + rng.integers(-spread, spread + 1, 3), 0, 255)
    )


def gradient(height: int, width: int, top: Colour, bottom: Colour) -> np.ndarray:
    """uint8 (height, width, 3), BGR, from `top` to `bottom`."""
    t = np.linspace(0, 1, height)[:, None, None]
    rows = (1 - t) * np.array(top) + t * np.array(bottom)
    return np.ascontiguousarray(np.broadcast_to(rows, (height, width, 3)).astype(np.uint8))


def polygon(image: np.ndarray, points: list, colour: Colour) -> None:
    cv2.fillPoly(image, [np.array(points, dtype=np.int32)], colour)


# ----------------------------------------------------------------------------------- the objects
def draw_boat(image: np.ndarray, rng: np.random.Generator) -> Box:
    height, width = image.shape[:2]
    s, x = rng.integers(22, 48), rng.integers(50, width - 50)
    y = rng.integers(height // 2, height - 40)
    hull = [(x - s, y), (x + s, y), (x + s // 2, y + s // 2), (x - s // 2, y + s // 2)]
    polygon(image, hull, shade(rng, 40, 60, 120))
    polygon(image, [(x, y - 2 * s), (x, y - 4), (x + s, y - 4)], shade(rng, 235, 235, 240, 15))
    cv2.line(image, (x, y), (x, y - 2 * s), (30, 40, 60), 2)
    return x - s, y - 2 * s, x + s, y + s // 2


def draw_tree(image: np.ndarray, rng: np.random.Generator) -> Box:
    height, width = image.shape[:2]
    s, x = rng.integers(30, 70), rng.integers(20, width - 20)
    y = rng.integers(height // 2, height - 5)
    cv2.rectangle(image, (x - s // 8, y - s // 2), (x + s // 8, y), shade(rng, 30, 60, 90, 15), -1)
    green = shade(rng, 40, 110, 40, 30)
    for level in range(3):
        top, half = y - s // 2 - level * s // 2, s // 2 - level * 5
        polygon(image, [(x - half, top), (x + half, top), (x, top - s)], green)
    return x - s // 2, y - s // 2 - 2 * (s // 2) - s, x + s // 2, y


def draw_flower(image: np.ndarray, rng: np.random.Generator) -> Box:
    height, width = image.shape[:2]
    s, x = rng.integers(7, 17), rng.integers(15, width - 15)
    y = rng.integers(height // 3, height - 15)
    cv2.line(image, (x, y), (x, min(height - 1, y + 4 * s)), (40, 130, 40), 2)
    colours = [(60, 40, 220), (200, 60, 200), (60, 200, 240), (240, 120, 120)]
    petals = shade(rng, *colours[rng.integers(4)])
    for angle in np.linspace(0, 2 * np.pi, 6)[:-1]:
        centre = int(x + s * np.cos(angle)), int(y + s * np.sin(angle))
        cv2.circle(image, centre, int(s * 0.7), petals, -1)
    cv2.circle(image, (x, y), int(s * 0.6), (40, 200, 240), -1)
    reach = s + int(s * 0.7)
    return x - reach, y - reach, x + reach, max(y + reach, min(height - 1, y + 4 * s))


def draw_house(image: np.ndarray, rng: np.random.Generator) -> Box:
    height, width = image.shape[:2]
    w, h = rng.integers(30, 60), rng.integers(70, 190)
    x = rng.integers(0, width - w)
    grey = int(rng.integers(60, 150))
    cv2.rectangle(image, (x, height - h), (x + w, height), shade(rng, grey, grey, grey, 12), -1)
    lit = (120, 220, 240) if rng.random() < 0.7 else (90, 70, 60)
    for wy in range(height - h + 8, height - 12, 18):
        for wx in range(x + 6, x + w - 8, 13):
            cv2.rectangle(image, (wx, wy), (wx + 6, wy + 9), lit, -1)
    return x, height - h, x + w, height - 1


def draw_moon(image: np.ndarray, rng: np.random.Generator) -> Box:
    height, width = image.shape[:2]
    r, x, y = rng.integers(18, 45), rng.integers(40, width - 40), rng.integers(40, height // 2)
    cv2.circle(image, (x, y), r, shade(rng, 200, 225, 235, 18), -1)
    for _ in range(4):
        cx, cy = x + rng.integers(-r // 2, r // 2 + 1), y + rng.integers(-r // 2, r // 2 + 1)
        cv2.circle(image, (int(cx), int(cy)), max(2, r // 6), (150, 175, 185), -1)
    return x - r, y - r, x + r, y + r


OBJECTS = {  # the classes of the VOC-layout set
    "boat": draw_boat,
    "flower": draw_flower,
    "house": draw_house,
    "moon": draw_moon,
    "tree": draw_tree,
}


def put(
    image: np.ndarray, rng: np.random.Generator, name: str, least: int, most: int
) -> list[Object]:
    """Draw an object `least` to `most` times."""
    count = rng.integers(least, most + 1)
    return [Object(name, OBJECTS[name](image, rng)) for _ in range(count)]


# ------------------------------------------------------------------------------------ the scenes
def hills(
    image: np.ndarray,
    rng: np.random.Generator,
    count: int,
    widths: tuple[int, int],
    heights: tuple[int, int],
    colour: tuple[int, ...],
) -> None:
    """Half ellipses along the lower edge; `colour` is what `shade` takes."""
    height, width = image.shape[:2]
    for _ in range(count):
        centre = int(rng.integers(width)), height
        axes = int(rng.integers(*widths)), int(rng.integers(*heights))
        cv2.ellipse(image, centre, axes, 0, 180, 360, shade(rng, *colour), -1)


def ocean(image: np.ndarray, rng: np.random.Generator) -> list[Object]:
    height, width = image.shape[:2]
    for y in range(height // 2, height, 14):
        x = np.arange(0, width, 6)
        wave = np.stack([x, y + 4 * np.sin(x / 14 + rng.random() * 6)], axis=1).astype(np.int32)
        cv2.polylines(image, [wave], False, shade(rng, 230, 190, 140), 2)
    return put(image, rng, "boat", 0, 2)


def forest(image: np.ndarray, rng: np.random.Generator) -> list[Object]:
    return put(image, rng, "tree", 5, 12)


def desert(image: np.ndarray, rng: np.random.Generator) -> list[Object]:
    hills(image, rng, 4, (70, 190), (40, 110), (80, 160, 215))
    centre, radius = (int(rng.integers(30, image.shape[1] - 30)), 45), int(rng.integers(15, 30))
    cv2.circle(image, centre, radius, shade(rng, 90, 230, 250, 10), -1)
    return []


def astronomy(image: np.ndarray, rng: np.random.Generator) -> list[Object]:
    height, width = image.shape[:2]
    for _ in range(rng.integers(60, 140)):
        centre = int(rng.integers(width)), int(rng.integers(height))
        cv2.circle(image, centre, int(rng.integers(1, 3)), (PALE,) * 3, -1)
    return put(image, rng, "moon", 0, 2)


def city(image: np.ndarray, rng: np.random.Generator) -> list[Object]:
    return put(image, rng, "house", 5, 9)


def volcano(image: np.ndarray, rng: np.random.Generator) -> list[Object]:
    height, width = image.shape[:2]
    x, half = int(rng.integers(90, width - 90)), int(rng.integers(80, 140))
    peak = height // 3
    cone = [(x - half, height), (x - 18, peak), (x + 18, peak), (x + half, height)]
    polygon(image, cone, shade(rng, 30, 35, 45, 15))
    for _ in range(rng.integers(3, 7)):
        end = (x + int(rng.integers(-half // 2, half // 2 + 1)), height)
        cv2.line(image, (x, peak), end, shade(rng, 20, 90, 235, 20), int(rng.integers(3, 9)))
    for _ in range(25):
        at = x + int(rng.normal(0, 30)), peak - int(rng.integers(0, 80))
        cv2.circle(image, at, int(rng.integers(2, 5)), (30, 130, 250), -1)
    return []


def garden(image: np.ndarray, rng: np.random.Generator) -> list[Object]:
    objects = put(image, rng, "flower", 8, 20)
    if rng.random() < 0.3:
        objects += put(image, rng, "house", 1, 1)
    return objects


def winter(image: np.ndarray, rng: np.random.Generator) -> list[Object]:
    height, width = image.shape[:2]
    hills(image, rng, 3, (80, 180), (30, 90), (248, 244, 240, 8))
    for _ in range(rng.integers(40, 90)):
        x, y, s = int(rng.integers(width)), int(rng.integers(height)), int(rng.integers(2, 5))
        for dx, dy in ((s, 0), (0, s), (s, s), (s, -s)):
            cv2.line(image, (x - dx, y - dy), (x + dx, y + dy), (255, 255, 255), 1)
    return put(image, rng, "tree", 1, 2) if rng.random() < 0.4 else []


def chess(image: np.ndarray, rng: np.random.Generator) -> list[Object]:
    height, width = image.shape[:2]
    side, dark = int(rng.integers(28, 44)), shade(rng, 50, 80, 120)
    for y in range(0, height, side):
        for x in range((y // side % 2) * side, width, 2 * side):
            cv2.rectangle(image, (x, y), (x + side - 1, y + side - 1), dark, -1)
    for _ in range(rng.integers(4, 12)):
        square = rng.integers(width // side), rng.integers(height // side)
        x, y = (int(v) * side + side // 2 for v in square)
        colour = (PALE,) * 3 if rng.random() < 0.5 else (DARK // 2,) * 3
        cv2.circle(image, (x, y), side // 3, colour, -1)
    return []


def music(image: np.ndarray, rng: np.random.Generator) -> list[Object]:
    height, width = image.shape[:2]
    for top in range(20, height - 40, 80):
        for line in range(5):
            cv2.line(image, (0, top + 9 * line), (width, top + 9 * line), (DARK,) * 3, 1)
        for x in range(20, width, int(rng.integers(25, 45))):
            y = top + int(rng.integers(0, 10)) * 4
            cv2.ellipse(image, (x, y), (6, 4), -20, 0, 360, (20, 20, 20), -1)
            cv2.line(image, (x + 6, y), (x + 6, y - 28), (20, 20, 20), 2)
    return []


class Scene(NamedTuple):
    """What a theme's pictures show.

    top, bottom : tuple of int
        The background's colours at its upper and lower edge, as `shade` takes them.
    draw : callable
        Called with the background and the random generator; returns the objects it has drawn.
    """

    top: tuple[int, ...]
    bottom: tuple[int, ...]
    draw: Callable[[np.ndarray, np.random.Generator], list[Object]]


SCENES = {
    "ocean": Scene((235, 200, 150), (120, 70, 20), ocean),
    "forest": Scene((150, 190, 150), (30, 80, 40), forest),
    "desert": Scene((210, 190, 140), (110, 180, 230), desert),
    "astronomy": Scene((40, 15, 15, 14), (20, 10, 15, 10), astronomy),
    "city": Scene((190, 165, 145), (140, 140, 140), city),
    "volcano": Scene((50, 50, 60, 20), (30, 50, 120, 25), volcano),
    "garden": Scene((240, 225, 190), (80, 190, 110), garden),
    "winter": Scene((225, 210, 195), (250, 248, 245, 6), winter),
    "chess": Scene((170, 205, 230), (150, 190, 215), chess),
    "music": Scene((215, 232, 240, 12), (205, 225, 235, 12), music),
}


def draw_scene(theme: str, rng: np.random.Generator) -> tuple[np.ndarray, list[Object]]:
    """Draw a scene of a theme; one in three also has an object that may not belong to it.

    Parameters
    ----------
    theme : str
        One of SCENES.
    rng : numpy.random.Generator

    Returns
    -------
    image : ndarray of uint8, shape (H, W, 3)
        BGR; sides of 256 to 340.
    objects : list of Object
        What has been drawn, in this order: a later object may hide an earlier one.
    """
    scene = SCENES[theme]
    height, width = rng.integers(256, 341, 2)
    image = gradient(height, width, shade(rng, *scene.top), shade(rng, *scene.bottom))
    objects = scene.draw(image, rng)
    noise = rng.normal(0, 5, image.shape)
    image = np.clip(image + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.35:
        extra = list(OBJECTS)[rng.integers(len(OBJECTS))]
        objects.append(Object(extra, OBJECTS[extra](image, rng)))
    return image, objects
