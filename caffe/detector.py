"""caffe.Detector: class scores of windows of images (R-CNN)."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from caffe import io
from caffe.error import CaffeError
from caffe.pycaffe import TEST, Net


class Detector(Net):
    """A net for classifying windows of images.

    Parameters
    ----------
    model_file, pretrained_file : str
    mean, input_scale, raw_scale, channel_swap : optional
        As caffe.io.Transformer takes them.
    context_pad : int, optional
        Pixels of the net's input around the window; outside the image they are the mean.

    Raises
    ------
    CaffeError
        `context_pad` is negative, or leaves no room for the window in the net's input.
    """

    def __init__(
        self,
        model_file: str,
        pretrained_file: str,
        mean: np.ndarray | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
        context_pad: int | None = None,
    ):
        super().__init__(model_file, TEST, weights=pretrained_file)
        self.transformer = io.Transformer.of(self, mean, input_scale, raw_scale, channel_swap)
        self.configure_crop(context_pad)

    def configure_crop(self, context_pad: int | None) -> None:
        """Set how many pixels of context surround a window.

        `crop_dims` becomes the shape (H, W, K) of a window with its context.  `crop_mean`, which
        fills the part outside the image, becomes an array of that shape, in the range and channel
        order of the images, or None without context.
        """
        name = self.inputs[0]
        channels, height, width = self.blobs[name].data.shape[1:]
        if context_pad and not 0 < 2 * context_pad < min(height, width):
            raise CaffeError(
                f"{self.file}: context_pad {context_pad} does not fit the net's input of"
                f" {height} x {width}"
            )
        self.crop_dims = np.array((height, width, channels))
        self.context_pad = context_pad
        self.crop_mean = None
        if context_pad:
            zeros = np.zeros((channels, height, width), dtype=np.float32)
            self.crop_mean = self.transformer.deprocess(name, zeros)

    def crop(self, im: np.ndarray, window: Sequence[float]) -> np.ndarray:
        """The pixels of a window; if context is configured, with context and warped to the input.

        With context, the last row and column belong to the window, as in Caffe: its height is
        ymax - ymin + 1 pixels.

        Parameters
        ----------
        im : ndarray of shape (H, W, K)
        window : (ymin, xmin, ymax, xmax)

        Returns
        -------
        ndarray of float32, shape (h, w, K)

        Raises
        ------
        CaffeError
            The window is wholly outside the image.
        """
        window = np.asarray(window).astype(int)
        y0, x0, y1, x1 = window
        if not self.context_pad:
            part = im[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)]
            if not part.size:
                raise self._outside(window, im)
            return part
        size = self.crop_dims[:2]
        half = (window[2:] - window[:2] + 1) / 2.0
        centre = window[:2] + half
        half = half * (size / (size - 2.0 * self.context_pad))
        # the corners of the window with its context
        first, last = np.round(centre - half), np.round(centre + half)
        scale = size / (last - first + 1)
        # the warped part that is above and left of the image
        offset = np.round(np.maximum(0, -first) * scale).astype(int)
        first, last = (np.clip(corner, 0, im.shape[:2]).astype(int) for corner in (first, last))
        part = im[first[0] : last[0], first[1] : last[1]]
        warped = np.minimum(np.round((last - first + 1) * scale).astype(int), size - offset)
        if not part.size or (warped < 1).any():
            raise self._outside(window, im)
        out = np.ones(self.crop_dims, dtype=np.float32) * self.crop_mean
        out[offset[0] : offset[0] + warped[0], offset[1] : offset[1] + warped[1]] = io.resize_image(
            part, warped
        )
        return out

    @staticmethod
    def _outside(window: np.ndarray, im: np.ndarray) -> CaffeError:
        return CaffeError(
            f"the window {tuple(map(int, window))} is wholly outside the image of"
            f" {im.shape[0]} x {im.shape[1]}"
        )

    def detect_windows(self, images_windows: Iterable[tuple[Path | str, np.ndarray]]) -> list[dict]:
        """Scores of windows.

        Parameters
        ----------
        images_windows : iterable of (image file, ndarray of shape (n, 4))
            The windows (ymin, xmin, ymax, xmax) of each image.

        Returns
        -------
        list of dict
            {'window', 'prediction', 'filename'} per window.  The prediction is the window's part of
            the net's first output: an ndarray of float32, shape (C,) for scores of shape (N, C).

        Raises
        ------
        CaffeError
            An image cannot be read, or a window is wholly outside its image.
        """
        name = self.inputs[0]
        inputs, windows = [], []
        for file, boxes in images_windows:
            image = io.load_image(file)
            for window in boxes:
                try:
                    part = self.crop(image, window)
                except CaffeError as error:
                    raise CaffeError(f"{os.fspath(file)}: {error}") from error
                inputs.append(self.transformer.preprocess(name, part))
                windows.append((window, file))
        if not inputs:
            return []
        scores = self.forward_all(**{name: np.stack(inputs)})[self.outputs[0]]
        return [
            {"window": w, "prediction": s, "filename": f}
            for (w, f), s in zip(windows, scores, strict=True)
        ]

    def detect_selective_search(self, image_fnames: Sequence[str]) -> list[dict]:
        """Scores of the windows that Selective Search proposes, as detect_windows gives them.

        Parameters
        ----------
        image_fnames : sequence of str

        Raises
        ------
        CaffeError
            The proposals come from the package selective_search_ijcv_with_python, which runs in
            MATLAB; it is not installed.
        """
        try:
            import selective_search_ijcv_with_python as selective_search
        except ImportError as error:
            raise CaffeError(
                "detect_selective_search needs the MATLAB package"
                " selective_search_ijcv_with_python, which is not installed; pass your own windows"
                " to detect_windows"
            ) from error
        files = [os.path.abspath(name) for name in image_fnames]  # MATLAB runs in another folder
        windows = selective_search.get_windows(files, cmd="selective_search_rcnn")
        return self.detect_windows(zip(files, windows, strict=True))
