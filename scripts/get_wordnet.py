"""Get WordNet 3.0, which NLTK's lemmatizer needs, into data/nltk_data/ (idempotent; no root).

Reads:   NLTK's own download server; if that cannot be reached, Debian's packages wordnet-base and
         wordnet-sense-index
Writes:  data/nltk_data/corpora/wordnet/
Paper:   section 3 (text preprocessing)
Usage:   python scripts/get_wordnet.py
"""

import io
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

from texttopicnet import artefacts, command_line
from texttopicnet.errors import UserError

FOLDER = artefacts.DATA / "nltk_data" / "corpora" / "wordnet"
PACKAGES = ("wordnet-base", "wordnet-sense-index")
FILES = (
    "cntlist.rev",
    "index.sense",
    *(f"{kind}.{pos}" for kind in ("index", "data") for pos in ("noun", "verb", "adj", "adv")),
)
EXCEPTIONS = tuple(f"{pos}.exc" for pos in ("noun", "verb", "adj", "adv"))
SECONDS = 20  # to wait for the download server

# lexnames(5WN): the lexicographer files in order, with their parts of speech (1 noun, 2 verb, 3
# adjective, 4 adverb)
LEXNAMES = (
    ("all pert", "adj", 3),
    ("all", "adv", 4),
    (
        "Tops act animal artifact attribute body cognition communication event feeling food group"
        " location motive object person phenomenon plant possession process quantity relation shape"
        " state substance time",
        "noun",
        1,
    ),
    (
        "body change cognition communication competition consumption contact creation emotion"
        " motion perception possession social stative weather",
        "verb",
        2,
    ),
    ("ppl", "adj", 3),
)


def works() -> bool:
    """Whether NLTK lemmatizes correctly with what is in the folder."""
    import nltk
    from nltk.stem import WordNetLemmatizer

    nltk.data.path.insert(0, str(FOLDER.parent.parent))
    try:
        lemmatize = WordNetLemmatizer().lemmatize
        return [lemmatize(w) for w in ("topics", "mice", "churches", "running")] == [
            "topic",
            "mouse",
            "church",
            "running",
        ]
    except LookupError:
        return False


def by_nltk() -> bool:
    """Download from NLTK's server; False if it does not answer."""
    import nltk

    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SECONDS)
    try:
        return nltk.download(
            "wordnet",
            download_dir=str(FOLDER.parent.parent),
            quiet=True,
            print_error_to=io.StringIO(),
        )
    except Exception:  # whatever goes wrong with the network, the packages are next
        return False
    finally:
        socket.setdefaulttimeout(before)


def by_debian() -> str:
    """Unpack Debian's packages; returns what went wrong, or ''."""
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        return "there is no apt-get or dpkg here"
    with tempfile.TemporaryDirectory() as folder:
        command = ["apt-get", "download", *PACKAGES]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if done.returncode:  # the package lists may be missing: fetch them into a folder of our own
            lists = ["-o", f"Dir::State={folder}/state", "-o", f"Dir::Cache={folder}/cache"]
            for name in ("state/lists/partial", "cache/archives/partial"):
                Path(folder, name).mkdir(parents=True)
            subprocess.run(
                ["apt-get", *lists, "update"], cwd=folder, capture_output=True, text=True
            )
            done = subprocess.run(
                ["apt-get", *lists, *command[1:]], cwd=folder, capture_output=True, text=True
            )
        if done.returncode:
            return "apt-get download failed: " + " ".join(done.stderr.split())[-200:]
        for package in sorted(Path(folder).glob("*.deb")):
            subprocess.run(
                ["dpkg", "-x", str(package), f"{folder}/out"], check=True, capture_output=True
            )
        source = Path(folder) / "out" / "usr" / "share" / "wordnet"
        made = Path(folder) / "wordnet"
        made.mkdir()
        for name in (*FILES, *EXCEPTIONS):
            shutil.copy(source / name, made / name)
        names = [
            f"{pos}.{word}\t{number}" for words, pos, number in LEXNAMES for word in words.split()
        ]
        (made / "lexnames").write_text(
            "".join(f"{i:02d}\t{name}\n" for i, name in enumerate(names))
        )
        shutil.rmtree(FOLDER, ignore_errors=True)
        FOLDER.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(str(made), str(FOLDER))
    return ""


def main() -> int:
    command_line.parser(__doc__).parse_args()
    if works():
        print(f"WordNet: {FOLDER}")
        return 0
    FOLDER.parent.mkdir(parents=True, exist_ok=True)
    print(f"getting WordNet 3.0 into {FOLDER}")
    wrong = "" if by_nltk() and works() else by_debian()
    if wrong or not works():
        raise UserError(
            "WordNet could not be downloaded, neither from NLTK's server nor from Debian"
            f" ({wrong or 'the files do not work'}): put nltk_data's corpora/wordnet into {FOLDER}"
            " by hand"
        )
    print(f"WordNet: {FOLDER}")
    return 0


if __name__ == "__main__":
    command_line.run(main)
