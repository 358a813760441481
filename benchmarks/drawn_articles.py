"""Drawn articles: a corpus in ImageCLEF's layout, whose articles have the length and the markup of
real ones, and bags of words from LDA's own model.

The same seed gives the same articles, and a smaller corpus is the beginning of a larger one.
"""

import os

import cv2
import numpy as np
from gensim.corpora import Dictionary
from nltk.corpus import wordnet
from stop_words import get_stop_words
from tqdm import tqdm

from texttopicnet import atomic_files, parallel, text

# Numbers without a source were chosen so that the articles have the means that scale_text.py's
# `length` reports.
PER_FOLDER = 1000  # files in a folder
DRAWN = 35 * PER_FOLDER  # drawn articles; in a larger corpus, each has several names
WORDS, SPREAD = 4_500, 0.8  # mean of an article's running words; deviation of their logarithm
# shares of the running words, as in the texts of Rasiwasia et al.; the rest are stop words
CONTENT, YEARS = 0.546, 0.04
PLURALS = 0.13  # share of the content words in those texts
THEMES = 40
THEMED = 0.6  # share of the content words that belong to one of the article's themes
REPEATED = 0.47  # share of the content words that repeat an earlier one of the article
FLAT, KNEE = 100, 12_000  # ranks between which Zipf's law holds
BAG_WORDS = 20_000  # words of the dictionary of drawn bags
BAG_TOKENS = 1_500  # per drawn bag: 1,112 distinct words on average

METADATA = """<?xml version="1.0" encoding="UTF-8" ?>
<image id="{n}" file="images/{folder}/{n}.jpg">
  <name>{n}.jpg</name>
  <text xml:lang="en">
    <description>{words}</description>
    <comment />
    <caption article="text/en/{folder}/{n}">{words}</caption>
  </text>
  <text xml:lang="de"><description /><comment /><caption /></text>
  <comment>(drawn by scale_text.py)</comment>
  <license>MIT</license>
</image>
"""


def name_of(rank):
    """A made-up word for a rank beyond WordNet's nouns, because real text is full of rare names."""
    word = ""
    while rank or len(word) < 6:
        rank, syllable = divmod(rank, 100)
        word += "bcdfghjklmnpqrstvwxz"[syllable // 5] + "aeiou"[syllable % 5]
    return word


class Lexicon:
    """Stop words, years, nouns, their plurals and endlessly many names, each with a number.

    A noun's rank is its place by frequency; short nouns are frequent, as in real text.
    """

    def __init__(self, seed):
        rng = np.random.default_rng(seed)

        def short_first(words):
            return [words[i] for i in np.argsort([len(word) + rng.normal(0, 4) for word in words])]

        text.check_wordnet()
        nouns = short_first(
            sorted(
                word for word in set(wordnet.all_lemma_names("n")) if text.token_of(word) == word
            )
        )
        # a contraction is split at its apostrophe, and its first half can be a token: "let's" gives
        # "let"
        stop_words = short_first([word for word in get_stop_words("en") if word.isalpha()])
        years = [str(year) for year in range(1800, 2010)]
        plurals = [noun if noun[-1] in "shxyz" else noun + "s" for noun in nouns]
        self.words = np.array([*stop_words, *years, *nouns, *plurals], object)
        parts = stop_words, years, nouns
        self.num_stop_words, self.num_years, self.num_nouns = map(len, parts)
        self.first_noun = self.num_stop_words + self.num_years

    def numbers(self, ranks, plural):
        """Numbers of the words with some ranks, in the plural if there is one."""
        return self.first_noun + ranks + self.num_nouns * (plural | (ranks >= self.num_nouns))

    def spelt(self, numbers):
        """The words with some numbers: list of str."""
        words = self.words[np.minimum(numbers, len(self.words) - 1)]
        for place in np.flatnonzero(numbers >= len(self.words)):
            words[place] = name_of(int(numbers[place]) - self.first_noun - self.num_nouns)
        return words.tolist()


def draw_ranks(rng, size):
    """Ranks (int64, from 0) whose frequency falls as 1 / (FLAT + rank) up to KNEE and as 1 / rank²
    beyond.

    Real content words behave so; the steep end makes the vocabulary grow as the square root of the
    text.
    """
    span = np.log(1 + KNEE / FLAT)
    u, v = rng.random((2, size))
    head = FLAT * np.exp(span * u) - FLAT
    return np.where(v < span / (1 + span), head, np.minimum(KNEE / (1 - u), 1e15)).astype(np.int64)


def draw_content(rng, size):
    """Ranks of an article's content words, in the order of the text: int64 of length `size`."""
    ranks = draw_ranks(rng, size)
    themes = rng.integers(THEMES, size=rng.integers(2, 4))
    theme = themes[(len(themes) * rng.random(size) ** 1.5).astype(int)]  # the first one prevails
    ranks = np.where(rng.random(size) < THEMED, ranks - ranks % THEMES + theme, ranks)
    earlier = (np.arange(size) * rng.random(size)).astype(int)
    return np.where(rng.random(size) < REPEATED, ranks[earlier], ranks)


def draw_words(rng, lexicon, size):
    """The running words of an article: list of str of length `size`."""
    kind = rng.random(size)
    numbers = (lexicon.num_stop_words ** rng.random(size)).astype(int) - 1
    years, content = np.flatnonzero(kind > 1 - YEARS), np.flatnonzero(kind < CONTENT)
    numbers[years] = lexicon.num_stop_words + rng.integers(lexicon.num_years, size=len(years))
    numbers[content] = lexicon.numbers(
        draw_content(rng, len(content)), rng.random(len(content)) < PLURALS
    )
    return lexicon.spelt(numbers)


def draw_article(rng, lexicon):
    """Wiki markup of an article: str."""
    size = max(int(rng.lognormal(np.log(WORDS) - SPREAD**2 / 2, SPREAD)), 50)
    plain = draw_words(rng, lexicon, size)
    words = plain.copy()

    def places(words_each):
        """Places in the text, one per `words_each` words, each with some words of the article."""
        for place, other in rng.integers(0, size - 8, (size // words_each, 2)).tolist():
            yield place, plain[other : other + 8]

    for place, (a, b, *_) in places(25):
        words[place] = f"[[{words[place]}]]" if len(a) < 5 else f"[[{a} {b}|{words[place]}]]"
    for place, _ in places(150):
        words[place] = f"'''{words[place]}'''" if place % 5 == 0 else f"''{words[place]}''"
    for place, _ in places(200):
        words[place] += "&nbsp;" if place % 2 else "&mdash;"
    for place, (a, b, c, d, e, *_) in places(150):
        cited = (
            f"{{{{cite web|url=http://www.{a}.org/{b}.html|title={c} {d}"
            f"|publisher={e}|accessdate=2009-05-12}}}}"
        )
        words[place] += f'<ref name="{a}">{cited}</ref>' if place % 4 else f'<ref name="{a}" />'
    for place, _ in places(20):
        words[place] += "." if place % 3 else ","
        words[place + 1] = words[place + 1].capitalize()
    for place, (a, b, *_) in places(120):
        words[place] += ".\n\n" if place % 4 else f".\n\n== {a.capitalize()} {b} ==\n"
    for place, (a, b, c, *_) in places(1500):
        words[place] += f"\n[[File:{a} {b}.jpg|thumb|250px|{c} {b}]]\n<!-- {a} {c} -->\n"
        words[place] += (
            f'{{| class="wikitable"\n|-\n! scope="col" | {a} || {b}\n'
            f'|-\n| align="right" | {b} || {c}\n|}}\n'
        )
    infobox = "".join(f"| {a} = {b} {{{{{c}|{d}}}}}\n" for _, (a, b, c, d, *_) in places(500))
    links = "".join(f"[[Category:{a} {b}]]\n[[de:{c}]]\n" for _, (a, b, c, *_) in places(1000))
    return f"{{{{Infobox {plain[0]}\n{infobox}}}}}\n{' '.join(words)}\n\n{{{{Reflist}}}}\n{links}"


def make_folder(lexicon, collection, image, num_articles, seed, folder):
    """Make the articles of one folder, from number folder * PER_FOLDER, each with metadata and an
    image; returns how many.
    """
    rng = np.random.default_rng((seed, folder))
    images, metadata, texts = folders = [
        collection / name / str(folder) for name in ("images", "metadata", "text/en")
    ]
    for path in folders:
        path.mkdir(parents=True)
    first = folder * PER_FOLDER
    numbers = range(first, min(first + PER_FOLDER, num_articles))
    # a file can have at most 65,000 hard links, so each folder has its own image
    (images / f"{first}.jpg").write_bytes(image)
    for n in numbers:
        if n < DRAWN:
            (texts / str(n)).write_text(draw_article(rng, lexicon), encoding="ascii")
        else:  # the folder of its text exists already
            os.link(
                collection / "text/en" / str(n % DRAWN // PER_FOLDER) / str(n % DRAWN),
                texts / str(n),
            )
        caption = METADATA.format(n=n, folder=folder, words=lexicon.words[n % len(lexicon.words)])
        (metadata / f"{n}.xml").write_text(caption, encoding="ascii")
        if n > first:
            os.link(images / f"{first}.jpg", images / f"{n}.jpg")
    return len(numbers)


def make_corpus(collection, num_articles, seed, workers):
    """Make a corpus in ImageCLEF's layout, whole or not at all."""
    noise = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    smooth = cv2.resize(noise, (256, 256), interpolation=cv2.INTER_CUBIC)
    image = cv2.imencode(".jpg", smooth)[1].tobytes()
    with (
        atomic_files.written_whole(collection) as folder,
        tqdm(desc="drawn", unit="article", total=num_articles) as bar,
    ):
        setup = Lexicon(seed), folder, image, num_articles, seed
        for made in parallel.ordered_map(
            make_folder, range(-(-num_articles // PER_FOLDER)), workers, *setup
        ):
            bar.update(made)


def draw_bags(count, num_topics, seed=0):
    """Dictionary and bags of words of `count` articles, drawn from LDA's own model."""
    rng = np.random.default_rng(seed)
    topics = rng.dirichlet(np.full(BAG_WORDS, 0.02), num_topics)
    documents = []
    for _ in range(count):
        counts = rng.multinomial(BAG_TOKENS, rng.dirichlet(np.full(num_topics, 0.1)) @ topics)
        words = np.flatnonzero(counts)
        documents.append(list(zip(words.tolist(), counts[words].tolist(), strict=True)))
    dictionary = Dictionary()
    dictionary.token2id = {f"word{i}": i for i in range(BAG_WORDS)}
    dictionary.num_docs = count
    return dictionary, documents
