"""The names and places of artefacts, whether they exist, and their checksums.

Every stage writes below one work folder, laid out like the project itself (``LDA/``,
``CNN/<net>/``, ``experiments/``).  The default work folder is the project's root, so that
``cd LDA && python learn_LDA_model.py`` finds and leaves its files beside the script, as the
original did.
"""

import hashlib
import os
import sys
from pathlib import Path

from texttopicnet.errors import UserError


def _project() -> Path:
    """The project's folder: the parent of this package or, if the package was installed without -e,
    the project that the running script belongs to.
    """
    installed = Path(__file__).resolve().parent.parent
    script = Path(sys.argv[0] if sys.argv else "").resolve()
    for folder in (installed, *script.parents):
        if (folder / "LDA" / "learn_LDA_model.py").is_file():
            return folder
    return installed


ROOT = _project()
DATA = ROOT / "data"

TRAIN_DICT = "LDA/train_dict_ImageCLEF_Wikipedia.json"
TOKENS = "LDA/tokens.sqlite"
DICTIONARY = "LDA/dictionary.dict"
BOW = "LDA/bow.mm"
TOPICS_PAGE = "LDA/topics.html"
IMAGES_LMDB, LABELS_LMDB = "train_images_lmdb", "train_labels_lmdb"  # in the net's folder

MARK = "dictionary_sha256"  # attribute of every dictionary and model that is made here
LAYERS = ("max5", "pool5", "fc6", "fc7")  # whose features the linear SVMs classify
NETS = ("trained", "untrained")
RETRIEVAL_TRAIN_LIST = "trainset_txt_img_cat.list"  # of the Wikipedia retrieval set
RETRIEVAL_FEATURES = "experiments/features/wikipedia_prob.npz"
RESULTS = "experiments/results"
TRAINING_RECORD = f"{RESULTS}/training.json"
RETRIEVAL_RECORD = f"{RESULTS}/retrieval.json"
OWN_RETRIEVAL_RECORD = f"{RESULTS}/retrieval_own.json"
BASELINES_RECORD = f"{RESULTS}/retrieval_baselines.json"
DETECTION_RECORD = f"{RESULTS}/voc2007_detection.json"
TOPIC_NUMBERS_RECORD = f"{RESULTS}/number_of_topics.json"
MORE_RECORDS = (BASELINES_RECORD, TOPIC_NUMBERS_RECORD, DETECTION_RECORD)  # of stages 11 to 13
TOPIC_NUMBERS_PLOT = "experiments/number_of_topics.png"


def lda_model(num_topics: int = 40) -> str:
    """Name of the gensim LDA model with `num_topics` topics, below the work folder."""
    return f"LDA/ldamodel{num_topics}.lda"


def embedding_model(name: str, num_topics: int = 40) -> str:
    """Name of the gensim model of a text embedding other than LDA, below the work folder."""
    return f"LDA/{name}{num_topics}.model"


def training_labels(num_topics: int = 40, embedding: str = "lda") -> str:
    """Name of the JSON file of image labels, below the work folder."""
    return f"LDA/training_labels{'' if embedding == 'lda' else f'_{embedding}'}{num_topics}.json"


def voc_features(layer: str, net: str) -> str:
    """Name of the features of VOC2007, below the work folder; `net` is one of `NETS`."""
    return f"experiments/features/voc2007_{layer}_{net}.npz"


def voc_record(layer: str, net: str, difficult: str = "leave-out") -> str:
    """Name of the record of the SVMs on VOC2007, below the work folder."""
    suffix = "" if difficult == "leave-out" else f"_difficult-{difficult}"
    return f"{RESULTS}/voc2007_svm_{layer}_{net}{suffix}.json"


def fine_tuned_net(task: str, net: str) -> str:
    """Folder below CNN/ of a net that is fine-tuned for `task`, 'voc2007' or 'classes'."""
    ending = net.removeprefix("CaffeNet").lower()
    return f"finetune_{task}_{ending}" if ending else f"finetune_{task}"


def fine_tuning_record(folder: str, name: str) -> str:
    """Name of the training record of a fine-tuning, below the work folder."""
    return f"{RESULTS}/training_{folder}_{name}.json"


def topic_index(net: str) -> str:
    """Folder of the index of a net's corpus (`texttopicnet.topic_index`), below the work folder."""
    return f"experiments/topic_index_{net}"


def set_features(image_set: str, layer: str, net: str) -> str:
    """Name of the features of a set with a class per image, below the work folder."""
    return f"experiments/features/{image_set}_{layer}_{net}.npz"


def classification_record(image_set: str, method: str, net: str) -> str:
    """Name of the record of a set with a class per image, below the work folder; `method` is a
    layer whose features an SVM classifies, or 'fine-tuned'.
    """
    return f"{RESULTS}/classification_{image_set}_{method}_{net}.json"


def voc_fine_tuning_record(net: str) -> str:
    """Name of the record of a net fine-tuned on VOC2007, below the work folder."""
    return f"{RESULTS}/voc2007_fine_tuning_{net}.json"


def voc_devkit_results(layer: str, net: str, difficult: str = "leave-out") -> str:
    """Name of the folder of the VOC devkit's results files, below the work folder."""
    return devkit_results(voc_record(layer, net, difficult))


def devkit_results(record: str) -> str:
    """Name of the folder of the VOC devkit's results files that belong to a record."""
    return f"{record.removesuffix('.json')}/VOC2007/Main"


def existing(path: Path | str, made_by: str) -> Path:
    """Return `path` as a Path, or raise UserError naming the command that makes it.

    Parameters
    ----------
    path : str or Path
    made_by : str
        The command or step that makes the file, for the error's sentence.
    """
    path = Path(path)
    if not os.path.exists(path):
        raise UserError(f"{path} does not exist: make it with {made_by}")
    return path


def downloaded(path: Path | str, readme: str) -> Path:
    """Return `path` as a Path, or raise UserError naming the README that says how to get it."""
    path = Path(path)
    if not os.path.exists(path):
        raise UserError(f"{path} does not exist: {readme} says how to get it")
    return path


def refuse_existing(path: Path | str, force: bool) -> None:
    """Raise UserError if `path` exists and `force` is false."""
    if os.path.lexists(path) and not force:
        raise UserError(
            f"{path} exists already: give --force to replace it, or another --work folder to keep"
            " it"
        )


def sha256(path: Path | str) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with open(path, "rb") as f:
        for block in iter(lambda: f.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
