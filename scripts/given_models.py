"""Weights and a topic model from elsewhere, such as the authors', in place of the stages that would
make them.

A part of chain.py.  Both are copied into the work folder, under the names that the stages give
them, so that every later script finds them there.  Nothing that is there is replaced.
"""

import argparse
import filecmp
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from texttopicnet import artefacts, atomic_files, files
from texttopicnet.errors import UserError

if TYPE_CHECKING:
    from gensim.corpora import Dictionary

GET = "python models/get.py --list names the released ones"
AWAY = "give another --work folder, or move it away"


def check_given(s: argparse.Namespace) -> None:
    """UserError for --weights or --lda that do not exist, or with stages that they replace."""
    for option, path in (("--weights", s.weights), ("--lda", s.lda)):
        if path:
            try:
                files.check_regular(path)
            except files.Unusable as error:
                raise UserError(f"{option} {error}: {GET}") from error
    if s.weights and s.first < 6:
        raise UserError("--weights takes the place of stages 1 to 5: give --from 6 or later")
    if s.lda and s.embedding != "lda":
        raise UserError(f"--lda is a topic model, and --embedding {s.embedding} needs none")


def has_topics(s: argparse.Namespace) -> bool:
    """Whether there is a topic model, or will be."""
    return bool(s.lda) or (s.work / artefacts.lda_model(s.topics)).is_file()


def without_stage_2(s: argparse.Namespace) -> str:
    """Why no topics are learnt; empty if they are."""
    return f"the topics come from {s.lda}" if s.lda else ""


def without_stages_4_and_5(s: argparse.Namespace) -> str:
    """Why no net is trained; empty if one is."""
    return f"the weights come from {s.weights}" if s.weights else ""


def install(s: argparse.Namespace) -> None:
    """Copy --weights and --lda into the work folder; with --dry-run, say so.

    Raises
    ------
    UserError
        The files do not fit the net or the number of topics, or another file has their place.
    """
    if s.weights:
        _install_weights(s)
    if s.lda:
        _install_topics(s)


def _install_weights(s: argparse.Namespace) -> None:
    """Copy the weights, and the net's deploy.prototxt, which training would have copied."""
    net, folder = artefacts.ROOT / "CNN" / s.net, s.work / "CNN" / s.net
    copies = {
        net / "deploy.prototxt": folder / "deploy.prototxt",
        s.weights: folder / "trained.caffemodel",
    }
    missing = {path: place for path, place in copies.items() if not _is_there(path, place)}
    if s.dry_run:
        for path, place in missing.items():
            print(f"{path} would be copied to {place}")
        return
    if s.weights in missing:
        _check_weights(s.weights, net / "deploy.prototxt")
    for path, place in missing.items():
        with atomic_files.written_whole(place) as temporary:
            shutil.copyfile(path, temporary)
        print(f"{path} is now {place}")


def _check_weights(path: Path, deploy: Path) -> None:
    """UserError unless every layer of a net finds its weights in a file."""
    os.environ.setdefault("GLOG_minloglevel", "1")  # the net's own text is not a result
    import caffe
    from caffe.weights_file import read_layers

    try:
        names = {name for name, _ in read_layers(path)}
        net = caffe.Net(str(deploy), caffe.TEST, weights=str(path))
    except caffe.CaffeError as error:
        raise UserError(f"{path} does not fit {deploy}: {error}") from error
    if lacking := net.params.keys() - names:  # Caffe would silently use the fillers' numbers
        raise UserError(f"{path} has no weights for {', '.join(sorted(lacking))} of {deploy}")


def _install_topics(s: argparse.Namespace) -> None:
    """Copy the model, gensim's files beside it, and the dictionary."""
    source, target = s.lda, s.work / artefacts.lda_model(s.topics)
    words, place_of_words = source.with_name("dictionary.dict"), s.work / artefacts.DICTIONARY
    if not source.with_name(f"{source.name}.state").is_file():
        raise UserError(f"{source}.state does not exist, though {source} needs it: {GET}")
    beside = sorted(p for p in source.parent.iterdir() if p.name.startswith(f"{source.name}."))
    places = {p: target.with_name(target.name + p.name.removeprefix(source.name)) for p in beside}
    places[source] = target  # last, so that a copy that was interrupted is repeated
    if words.is_file():
        places = {words: place_of_words} | places
    missing = {path: place for path, place in places.items() if not _is_there(path, place)}
    if not missing and place_of_words.is_file():
        return
    if s.dry_run:
        print(f"{source} and the files beside it would be copied to {target.parent}")
        return
    from texttopicnet import pickles

    dictionary = _checked_words(source, words, s)
    new = [*missing.values()]
    if not place_of_words.is_file() and place_of_words not in new:
        new.insert(0, place_of_words)
    with atomic_files.written_whole(*new) as temporaries:
        for temporary in [temporaries] if len(new) == 1 else temporaries:
            of = [path for path, place in missing.items() if place.name == temporary.name]
            if of:
                shutil.copyfile(of[0], temporary)
            else:
                pickles.save(dictionary, temporary)
    print(f"{source} is now {target}")


def _checked_words(source: Path, words: Path, s: argparse.Namespace) -> "Dictionary":
    """The dictionary of a model, from the file beside it or from the model itself; UserError if the
    model has another number of topics, or neither has the words.
    """
    from texttopicnet import lda_files, vocabulary  # gensim takes seconds to load

    lda = lda_files.load(source, s.trust_pickle)
    if lda.num_topics != s.topics:
        raise UserError(f"{source} has {lda.num_topics} topics: give --topics {lda.num_topics}")
    if words.is_file():
        return vocabulary.load(words, s.trust_pickle)
    own = vocabulary.of_model(lda)
    if own is None:
        raise UserError(f"{words} does not exist, and {source} has no words of its own: {GET}")
    return own


def _is_there(source: Path, target: Path) -> bool:
    """Whether a file has been copied already; UserError if another file has its place."""
    if not os.path.lexists(target):
        return False
    if target.is_file() and filecmp.cmp(source, target, shallow=False):
        return True
    raise UserError(f"{target} exists already and is not {source}: {AWAY}")
