"""caffe.Classifier: class scores of images, over one or ten crops."""

import numpy as np

from caffe import io
from caffe.pycaffe import TEST, Net


class Classifier(Net):
    """A net for classifying images.

    Parameters
    ----------
    model_file, pretrained_file : str
    image_dims : (int, int), optional
        Height and width that images are resized to before crops are taken; default: the net's input.
    mean, input_scale, raw_scale, channel_swap : optional
        As caffe.io.Transformer takes them.
    """

    def __init__(
        self, model_file, pretrained_file, image_dims=None, mean=None, input_scale=None, raw_scale=None, channel_swap=None
    ):
        super().__init__(model_file, TEST, weights=pretrained_file)
        self.transformer = io.Transformer.of(self, mean, input_scale, raw_scale, channel_swap)
        self.crop_dims = np.array(self.blobs[self.inputs[0]].data.shape[2:])
        self.image_dims = self.crop_dims if not image_dims else np.array(image_dims)

    def predict(self, inputs, oversample=True):
        """Class scores.

        Parameters
        ----------
        inputs : sequence of ndarray of shape (H, W, K)
        oversample : bool
            Mean over the ten crops of caffe.io.oversample; False: the middle crop only.

        Returns
        -------
        ndarray of float32, shape (n_images, n_classes)
        """
        resized = [io.resize_image(image, self.image_dims) for image in inputs]
        height, width = self.crop_dims
        if oversample:
            crops = io.oversample(resized, self.crop_dims)
        else:
            y, x = ((self.image_dims - self.crop_dims) / 2.0).astype(int)
            crops = np.array([image[y : y + height, x : x + width] for image in resized])
        name = self.inputs[0]
        data = np.stack([self.transformer.preprocess(name, crop) for crop in crops])
        scores = self.forward_all(**{name: data})[self.outputs[0]]
        if oversample:
            scores = scores.reshape(len(inputs), 10, -1).mean(axis=1)
        return scores
