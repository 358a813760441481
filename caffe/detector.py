"""caffe.Detector: class scores of windows of images (R-CNN)."""

import os

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
        Pixels of the net's input around the window; beyond the image they hold the mean.

    Raises
    ------
    CaffeError
        `context_pad` leaves nothing of the net's input for the window, or is negative.
    """

    def __init__(
        self,
        model_file,
        pretrained_file,
        mean=None,
        input_scale=None,
        raw_scale=None,
        channel_swap=None,
        context_pad=None,
    ):
        super().__init__(model_file, TEST, weights=pretrained_file)
        self.transformer = io.Transformer.of(self, mean, input_scale, raw_scale, channel_swap)
        self.configure_crop(context_pad)

    def configure_crop(self, context_pad: int | None) -> None:
        """Set the context, and what lies beyond the image: the mean, in the images' own range and
        order.

        `crop_dims` becomes the shape (H, W, K) of a window with its context, `crop_mean` such an
        array, or None without context.
        """
        name = self.inputs[0]
        channels, height, width = self.blobs[name].data.shape[1:]
        if context_pad and not 0 < 2 * context_pad < min(height, width):
            raise CaffeError(
                f"{self.file}: context_pad {context_pad} does not fit the net's input of {height} x {width}"
            )
        self.crop_dims = np.array((height, width, channels))
        self.context_pad = context_pad
        self.crop_mean = None
        if context_pad:
            zeros = np.zeros((channels, height, width), dtype=np.float32)
            self.crop_mean = self.transformer.deprocess(name, zeros)

    def crop(self, im: np.ndarray, window) -> np.ndarray:
        """The pixels of a window, with its context warped to the net's input if context is
        configured.

        With context, a window counts its last row and column as Caffe does: it is ymax - ymin + 1
        pixels high.

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
            Nothing of the window lies in the image.
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
        first, last = (
            np.round(centre - half),
            np.round(centre + half),
        )  # of the box: the window and its context
        scale = size / (last - first + 1)
        offset = np.round(np.maximum(0, -first) * scale).astype(
            int
        )  # what lies above and left of the image, warped
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
    def _outside(window, im):
        return CaffeError(
            f"nothing of the window {tuple(map(int, window))} lies in the image of {im.shape[0]} x {im.shape[1]}"
        )

    def detect_windows(self, images_windows) -> list[dict]:
        """Scores of windows.

        Parameters
        ----------
        images_windows : iterable of (image file, ndarray of shape (n, 4))
            The windows (ymin, xmin, ymax, xmax) of each image.

        Returns
        -------
        list of dict
            {'window', 'prediction', 'filename'} per window; the prediction is the window's part of
            the net's first output, an ndarray of float32: of shape (C,) for scores of shape (N, C).

        Raises
        ------
        CaffeError
            An image cannot be read, or nothing of a window lies in its image.
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

    def detect_selective_search(self, image_fnames) -> list[dict]:
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
                "detect_selective_search needs the MATLAB package selective_search_ijcv_with_python, which is not installed;"
                " pass windows of your own to detect_windows"
            ) from error
        files = [os.path.abspath(name) for name in image_fnames]  # MATLAB runs in another folder
        return self.detect_windows(
            zip(
                files, selective_search.get_windows(files, cmd="selective_search_rcnn"), strict=True
            )
        )
