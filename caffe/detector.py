"""caffe.Detector: class scores of windows of images (R-CNN)."""

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
    """

    def __init__(
        self, model_file, pretrained_file, mean=None, input_scale=None, raw_scale=None, channel_swap=None, context_pad=None
    ):
        super().__init__(model_file, TEST, weights=pretrained_file)
        self.transformer = io.Transformer.of(self, mean, input_scale, raw_scale, channel_swap)
        self.configure_crop(context_pad)

    def configure_crop(self, context_pad):
        """Set the context, and what lies beyond the image: the mean, in the images' own range and order."""
        name = self.inputs[0]
        self.crop_dims = np.array(self.blobs[name].data.shape[2:])
        self.context_pad = int(context_pad or 0)
        self.crop_mean = None
        if self.context_pad:
            channels = self.blobs[name].data.shape[1]
            self.crop_mean = self.transformer.deprocess(name, np.zeros((channels, *self.crop_dims), dtype=np.float32))

    def crop(self, image, window):
        """The pixels of a window (ymin, xmin, ymax, xmax), warped to the net's input where there is context.

        Returns
        -------
        ndarray of float32, shape (h, w, K)
        """
        window = np.asarray(window, dtype=float)
        y0, x0, y1, x1 = window.astype(int)
        if not self.context_pad:
            return image[y0:y1, x0:x1]
        height, width = self.crop_dims
        scale_y, scale_x = (size / (size - 2.0 * self.context_pad) for size in (height, width))
        centre = (window[:2] + window[2:]) / 2.0
        half = (window[2:] - window[:2]) / 2.0 * (scale_y, scale_x)
        box = np.round(np.concatenate([centre - half, centre + half]))
        pixels = np.maximum(box[2:] - box[:2], 1)
        step = np.array([height, width]) / pixels
        clipped = np.array([max(box[0], 0), max(box[1], 0), min(box[2], image.shape[0]), min(box[3], image.shape[1])]).astype(int)
        part = image[clipped[0] : clipped[2], clipped[1] : clipped[3]]
        if not part.size:
            raise CaffeError(f"window {tuple(window)} lies outside the image of {image.shape[:2]}")
        top, left = np.round(np.maximum(-box[:2], 0) * step).astype(int)
        size = np.maximum(np.round(np.array(part.shape[:2]) * step).astype(int), 1)
        size = np.minimum(size, self.crop_dims - (top, left))
        out = np.ones((height, width, image.shape[2]), dtype=np.float32) * self.crop_mean
        out[top : top + size[0], left : left + size[1]] = io.resize_image(part, size)
        return out

    def detect_windows(self, images_windows):
        """Scores of windows.

        Parameters
        ----------
        images_windows : iterable of (image file, ndarray of shape (n, 4))
            Windows (ymin, xmin, ymax, xmax) of each image.

        Returns
        -------
        list of dict
            {'window', 'prediction', 'filename'} of each window.
        """
        images_windows = list(images_windows)
        name = self.inputs[0]
        inputs, windows = [], []
        for file, boxes in images_windows:
            image = io.load_image(file).astype(np.float32)
            for window in boxes:
                inputs.append(self.transformer.preprocess(name, self.crop(image, window)))
                windows.append((window, file))
        scores = self.forward_all(**{name: np.stack(inputs)})[self.outputs[0]].squeeze(axis=(2, 3)) if inputs else []
        return [{"window": w, "prediction": s, "filename": f} for (w, f), s in zip(windows, scores, strict=True)]

    def detect_selective_search(self, image_fnames):
        """Refused: the proposals came from a MATLAB program that Caffe never held."""
        raise CaffeError("detect_selective_search needs the MATLAB package selective_search_ijcv_with_python: give windows to"
                         " detect_windows")  # fmt: skip
