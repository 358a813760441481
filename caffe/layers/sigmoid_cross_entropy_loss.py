"""SigmoidCrossEntropyLoss: -sum(t log p + (1 - t) log(1 - p)) / normalizer, p = sigmoid(x).

Bottoms: scores x (any shape) and targets t with the same first axis and count; whether targets are
in [0, 1] is not checked.  Honours loss_param: normalization (default BATCH_SIZE: the sum over all
elements is divided by shape[0] only, so with 40 topics the loss starts near 40 ln 2), normalize,
ignore_label (an element is ignored if its target, truncated to an integer, equals it: 0 drops every
target in (-1, 1)).  The gradient uses the probabilities of the last forward, and the targets'
current values.  The targets have no gradient.
"""

import math

import torch
import torch.nn.functional as F

from caffe.layer import Grads, Layer, Needs, Shapes, Tensors, register
from caffe.layer_parts import loss_normalization
from caffe.proto import caffe_pb2


@register("SigmoidCrossEntropyLoss")
class SigmoidCrossEntropyLoss(Layer):
    num_bottom = (2, 2)
    is_loss = True

    def setup(self, shapes: Shapes) -> None:
        self.mode = loss_normalization.mode(
            self.param.loss_param, caffe_pb2.LossParameter.BATCH_SIZE
        )

    def reshape(self, shapes: Shapes) -> Shapes:
        scores, targets = shapes
        if (
            not scores
            or not targets
            or scores[0] != targets[0]
            or math.prod(scores) != math.prod(targets)
        ):
            self.fail(
                f"scores {scores} and targets {targets} must agree in their first axis and their"
                " count"
            )
        return [()]

    def allow_force_backward(self, index: int) -> bool:
        return index != 1

    def forward(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        targets = targets.detach().reshape(scores.shape)
        self.normalizer = self._normalizer(scores, targets)
        if self.keeps:
            self.remember(probabilities=torch.sigmoid(scores.detach()))
        losses = F.binary_cross_entropy_with_logits(scores, targets, reduction="none")
        if self._ignores():
            losses = losses * self._counted(targets)
        return losses.sum() / self.normalizer

    def _ignores(self):
        return self.param.loss_param.HasField("ignore_label")

    def _counted(self, targets: torch.Tensor):
        """Which elements count (bool)."""
        return targets.trunc() != self.param.loss_param.ignore_label

    def _normalizer(self, scores: torch.Tensor, targets: torch.Tensor):
        valid = self._counted(targets).sum() if self._ignores() else scores.numel()
        return loss_normalization.normalizer(self.mode, scores.numel(), valid, scores.shape[0])

    def backward(self, bottoms: Tensors, tops: Tensors, diffs: Tensors, needs: Needs) -> Grads:
        scores, targets = bottoms[0], bottoms[1].reshape(bottoms[0].shape)
        grad = self.recall("probabilities", scores.shape) - targets
        if self._ignores():
            grad = grad * self._counted(targets)
        normalizer = self.normalizer if self.remembered else self._normalizer(scores, targets)
        return [grad * (diffs[0].sum() / normalizer), None]
