"""caffe.Classifier: class scores of images, over one or ten crops."""

from collections.abc import Iterable, Sequence

import numpy as np

from caffe import io
from caffe.error import CaffeError
from caffe.pycaffe import TEST, Net


class Classifier(Net):
    """A net for classifying images.

    Parameters
    ----------
    model_file, pretrained_file : str
    image_dims : (int, int), optional
        Height and width to which images are resized before crops are taken; by default the size of
        the net's input.
    mean, input_scale, raw_scale, channel_swap : optional
        As caffe.io.Transformer takes them.
    """

    def __init__(
        self,
        model_file: str,
        pretrained_file: str,
        image_dims: Sequence[int] | None = None,
        mean: np.ndarray | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
    ):
        super().__init__(model_file, TEST, weights=pretrained_file)
        self.transformer = io.Transformer.of(self, mean, input_scale, raw_scale, channel_swap)
        self.crop_dims = np.array(self.blobs[self.inputs[0]].data.shape[2:])
        self.image_dims = (
            self.crop_dims if image_dims is None or len(image_dims) == 0 else np.array(image_dims)
        )

    def predict(self, inputs: Iterable[np.ndarray], oversample: bool = True) -> np.ndarray:
        """Class scores.

        Parameters
        ----------
        inputs : iterable of ndarray of shape (H, W, K)
            As caffe.io.load_image returns them.
        oversample : bool
            Mean over the ten crops of caffe.io.oversample; False: the middle crop only.

        Returns
        -------
        ndarray of float32, shape (n_images, n_classes)
            Without oversampling: the net's first output, which may have another shape per image.

        Raises
        ------
        CaffeError
            No images, or `image_dims` smaller than the net's input.
        """
        resized = [io.resize_image(image, self.image_dims) for image in inputs]
        if not resized:
            raise CaffeError(f"{self.file}: predict was given no images")
        crops = io.oversample(resized, self.crop_dims)
        if not oversample:
            crops = crops[4::10]  # the middle ones
        name = self.inputs[0]
        data = np.stack([self.transformer.preprocess(name, crop) for crop in crops])
        scores = self.forward_all(**{name: data})[self.outputs[0]]
        if oversample:
            scores = scores.reshape(len(resized), 10, -1).mean(axis=1)
        return scores
