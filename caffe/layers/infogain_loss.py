"""InfogainLoss: -sum over classes of H[label, class] log softmax(x)[class], summed over positions.

The sum is divided by a normalizer.  If H is the identity, this is SoftmaxWithLoss.

Bottoms: scores; integer labels of the same shape without the class axis; and optionally H (K * K
values), which is otherwise read from `source` (a BlobProto file).  A second top holds the
probabilities; loss_weight must then be given twice.

Honours infogain_loss_param: axis (default 1), source; loss_param: normalization (default VALID: the
number of positions without ignore_label), ignore_label; `normalize` is refused, as in Caffe.

Probabilities below 1e-20 count as 1e-20; the gradient is not limited.  It uses the probabilities of
the last forward, and the current values of labels and H.  Labels and H have no gradient.
"""

import math

import torch

from caffe import log, weights_file
from caffe.error import CaffeError
from caffe.layer import Grads, Layer, Needs, Shapes, Tensors, Tops, register
from caffe.layer_parts import loss_normalization
from caffe.layer_parts.labels import counted, ignore_label
from caffe.proto import caffe_pb2

LOG_THRESHOLD = 1e-20


@register("InfogainLoss")
class InfogainLoss(Layer):
    num_bottom = (2, 3)
    num_top = (1, 2)
    is_loss = True

    def setup(self, shapes: Shapes) -> None:
        # Caffe's layer makes a Softmax layer of the same name inside
        log.info("layer_factory.hpp:77", f"Creating layer {self.name}")
        if self.param.loss_param.HasField("normalize"):
            self.fail("loss_param.normalize is not for this layer; use normalization")
        self.mode = loss_normalization.mode(self.param.loss_param, caffe_pb2.LossParameter.VALID)
        self.matrix = (
            self._read(self.param.infogain_loss_param.source) if len(shapes) == 2 else None
        )

    def _read(self, path: str):
        if not path:
            self.fail(
                "infogain_loss_param.source is missing; give it, or the matrix as a third bottom"
            )
        try:
            return torch.from_numpy(weights_file.read_blob_file(path).copy()).to(self.device)
        except CaffeError as error:
            self.fail(str(error))

    def reshape(self, shapes: Shapes) -> Shapes:
        scores, labels = shapes[:2]
        self.along = self.axis(self.param.infogain_loss_param.axis, scores)
        classes = scores[self.along]
        if not labels or scores[0] != labels[0] or math.prod(scores) != classes * math.prod(labels):
            self.fail(f"scores {scores} and labels {labels} do not agree along axis {self.along}")
        count = math.prod(shapes[2]) if len(shapes) == 3 else self.matrix.numel()
        if count != classes * classes:
            self.fail(f"the matrix must hold {classes} x {classes} values, it holds {count}")
        return [(), scores][: len(self.param.top)]

    def allow_force_backward(self, index: int) -> bool:
        return index == 0

    def forward(
        self, scores: torch.Tensor, labels: torch.Tensor, matrix: torch.Tensor | None = None
    ) -> Tops:
        classes = scores.shape[self.along]
        matrix = (self.matrix if matrix is None else matrix.detach()).reshape(classes, classes)
        logs = torch.log_softmax(scores, self.along)
        rows = logs.movedim(self.along, -1).reshape(-1, classes)
        labels, keep = counted(self, labels, classes, ignore_label(self))
        # the limit changes only the value, not the gradient
        rows = rows + (rows.clamp(min=math.log(LOG_THRESHOLD)) - rows).detach()
        losses = -(matrix[labels] * rows).sum(1)
        batch = math.prod(scores.shape[: self.along])
        total = torch.where(keep, losses, torch.zeros_like(losses)).sum()
        loss = total / loss_normalization.normalizer(self.mode, len(labels), keep.sum(), batch)
        if not self.keeps and len(self.param.top) == 1:
            return loss
        probabilities = logs.detach().exp()
        self.remember(probabilities=probabilities)
        return loss if len(self.param.top) == 1 else (loss, probabilities)

    def backward(self, bottoms: Tensors, tops: Tensors, diffs: Tensors, needs: Needs) -> Grads:
        scores, labels = bottoms[:2]
        classes = scores.shape[self.along]
        matrix = (bottoms[2] if len(bottoms) > 2 else self.matrix).reshape(classes, classes)
        labels, keep = counted(self, labels, classes, ignore_label(self))
        rows = matrix[labels]
        probabilities = self.recall("probabilities", scores.shape).movedim(self.along, -1)
        grad = probabilities.reshape(-1, classes) * rows.sum(1, keepdim=True) - rows
        grad = torch.where(keep[:, None], grad, torch.zeros_like(grad))
        batch = math.prod(scores.shape[: self.along])
        grad = grad * (
            diffs[0].sum()
            / loss_normalization.normalizer(self.mode, len(labels), keep.sum(), batch)
        )
        return [
            grad.view(probabilities.shape).movedim(-1, self.along),
            *(None,) * (len(bottoms) - 1),
        ]
