"""A part of make_tables.py: the curves in a training's log, and a net's first-layer filters."""

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from report_drawing import Drawn, LeftOut, panels

from caffe import log_grammar
from caffe.error import CaffeError
from caffe.weights_file import read_layers
from texttopicnet import artefacts
from texttopicnet.errors import UserError

TRAINED_BY = "bash scripts/05_train_cnn.sh"
NO_TESTS = (
    "The log has no tests on held-out images: they take a net with a TEST phase and a solver with"
    " test_iter and test_interval, as experiments/evidence.py makes them."
)
NO_LOG = "There is no log, and so no loss on held-out images."
YEAR = 2000  # assumed for a log without a year; only the order of its lines counts here
Points = list[tuple[int, float]]


@dataclass(frozen=True)
class Curves:
    """What a training's log shows, as points (iteration, value), and why a curve is missing.

    Attributes
    ----------
    loss, validation, variance : list of (int, float)
        The displayed loss; the mean loss of the tests on held-out images; the variance of the
        outputs between the images of a batch.  An iteration that ran twice, because the training
        was resumed, counts once, with its later value.
    no_loss, no_validation, no_variance : str
        A sentence that says what would make the curve; empty if it is there.
    """

    loss: Points = field(default_factory=list)
    validation: Points = field(default_factory=list)
    variance: Points = field(default_factory=list)
    no_loss: str = ""
    no_validation: str = ""
    no_variance: str = ""


def read_curves(log: Path, record: dict | None) -> Curves:
    """The curves in a log of `caffe train`; without the log, the losses of the training's record.

    Parameters
    ----------
    log : Path
        WORK/CNN/<net>/trained.log.
    record : dict or None
        Of CNN/train_cnn.py.
    """
    loss: dict[int, float] = {}
    validation: dict[int, float] = {}
    variance: dict[int, float] = {}
    found = log.is_file()
    shown = tested = None
    for row in log.read_text("utf-8", "replace").splitlines() if found else ():
        line = log_grammar.parse(row, YEAR)
        if not line:
            continue
        text = line.text.strip()
        if match := log_grammar.TESTING.match(text):
            tested = int(match[1]) if match[2] == "0" else None  # of several test nets, the first
        elif match := log_grammar.LOSS.match(text):
            shown, tested = int(match[1]), None
            keep(loss, shown, match[2])
        elif (match := log_grammar.VARIANCE.match(text)) and shown is not None:
            keep(variance, shown, match[2])
        elif (match := log_grammar.OUTPUT.match(text)) and tested is not None and "(*" in text:
            keep(validation, tested, match[3])  # "(* 1 = 4.1 loss)": it is part of the loss
    if not loss and record:
        loss = {int(i): float(value) for i, value in record["losses"]}
    lacks = f"{log} has no {{}}" if found else f"{log} does not exist"
    return Curves(
        sorted(loss.items()),
        sorted(validation.items()),
        sorted(variance.items()),
        "" if loss else f"{lacks.format('loss')}: {TRAINED_BY} trains a net and writes it.",
        "" if validation else NO_TESTS if found else NO_LOG,
        ""
        if variance
        else f"{lacks.format('variance of the outputs')}: {TRAINED_BY} trains a net and writes it.",
    )


def keep(points: dict[int, float], iteration: int, text: str) -> None:
    """Add a number of the log, unless it is NaN or infinite."""
    if math.isfinite(value := float(text)):
        points[iteration] = value


def first_filters(weights: Path) -> np.ndarray:
    """The filters of the first convolution over colours.

    Parameters
    ----------
    weights : Path
        A .caffemodel.

    Returns
    -------
    ndarray of float32, shape (n_filters, height, width, 3)
        RGB, as the weights are.

    Raises
    ------
    UserError
        The file is missing or broken, or has no convolution with three input channels.
    """
    artefacts.existing(weights, TRAINED_BY)
    try:
        layers = read_layers(weights)
    except CaffeError as error:
        raise UserError(str(error)) from error
    for _, blobs in layers:
        if 0 in blobs and len(blobs[0].shape) == 4 and blobs[0].shape[1] == 3:
            return blobs[0].array()[:, ::-1].transpose(0, 2, 3, 1)
    raise UserError(f"{weights} has no layer whose filters have three colours: give another --net")


def mosaic(filters: np.ndarray, columns: int, scale: int = 6) -> np.ndarray:
    """Filters side by side, as an image.

    Parameters
    ----------
    filters : ndarray of float, shape (n_filters, height, width, 3)
    columns : int
    scale : int
        Pixels per weight.

    Returns
    -------
    ndarray of float, shape (rows * (height * scale + scale) - scale, ..., 4)
        RGBA from 0 to 1; a weight of 0 is middle grey, and each filter's largest weight, positive
        or negative, is 1 or 0.  Between the filters it is transparent.
    """
    count, height, width, _ = filters.shape
    rows = math.ceil(count / columns)
    step_y, step_x = (height + 1) * scale, (width + 1) * scale
    image = np.zeros((rows * step_y - scale, columns * step_x - scale, 4))
    for i, weights in enumerate(filters):
        largest = np.abs(weights).max() or 1.0
        y, x = i // columns * step_y, i % columns * step_x
        part = image[y : y + height * scale, x : x + width * scale]
        part[..., :3] = np.kron(0.5 + weights / (2 * largest), np.ones((scale, scale, 1)))
        part[..., 3] = 1
    return image


def filters(folder: Path, records: list[dict]) -> Drawn | LeftOut:
    """The first layer's filters of the trained net, beside those of the untrained one.

    Parameters
    ----------
    folder : Path
        WORK/CNN/<net>.
    records : list of dict
        The record of the training, if there is one.
    """
    name, title = "first_layer_filters", "Filters of the first layer"
    try:
        nets = {"trained": first_filters(folder / "trained.caffemodel")}
    except UserError as error:
        return LeftOut(name, title, f"{error}.")
    if (untrained := folder / "untrained.caffemodel").exists():
        try:
            nets["untrained"] = first_filters(untrained)
        except UserError as error:
            print(f"the figure of the filters leaves the untrained net out: {error}")
    count, height, width, _ = nets["trained"].shape

    def draw(narrow: bool) -> Figure:
        columns = 8
        # two panels beside each other need a gap that is wider than that between filters
        rows = math.ceil(count / columns)
        inches = (3.5 if narrow else 4.1) * rows * (height + 1) / (columns * (width + 1)) + 0.35
        figure, axes = panels(len(nets), narrow, inches)
        figure.get_layout_engine().set(wspace=0.06)
        for panel, (which, weights) in zip(axes, nets.items(), strict=True):
            panel.imshow(mosaic(weights, columns), interpolation="none")
            panel.set_title(which)
            panel.set_axis_off()
        return figure

    caption = (
        f"{count} filters of {height} x {width} pixels in colour. Each is stretched to its own"
        " largest weight; middle grey is 0."
    )
    alt = f"The {count} filters of the first layer, as small colour images: {' and '.join(nets)}."
    return Drawn(name, title, caption, alt, draw, records=records)
