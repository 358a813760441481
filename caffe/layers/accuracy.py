"""Accuracy: the fraction of positions whose true class is among the top_k scores.

Honours top_k, axis, ignore_label.  Ties count against the true class.  A second top holds the
accuracy per class (0 for a class without positions).  No gradient.
"""

import math

import torch

from caffe.layer import Grads, Layer, Needs, Shapes, Tensors, Tops, register
from caffe.layer_parts.labels import counted


@register("Accuracy")
class Accuracy(Layer):
    num_bottom = (2, 2)
    num_top = (1, 2)

    def reshape(self, shapes: Shapes) -> Shapes:
        scores, labels = shapes
        self.along = self.axis(self.param.accuracy_param.axis, scores)
        classes = scores[self.along]
        if self.param.accuracy_param.top_k > classes:
            self.fail(f"top_k {self.param.accuracy_param.top_k} is more than the {classes} classes")
        if math.prod(scores) // max(1, classes) != math.prod(labels):
            self.fail(f"scores {scores} and labels {labels} do not agree along axis {self.along}")
        return [(), (classes,)][: len(self.param.top)]

    @torch.no_grad()
    def forward(self, scores: torch.Tensor, labels: torch.Tensor) -> Tops:
        p = self.param.accuracy_param
        classes = scores.shape[self.along]
        scores = scores.movedim(self.along, -1).reshape(-1, classes)
        ignored = p.ignore_label if p.HasField("ignore_label") else None
        labels, keep = counted(self, labels, classes, ignored)
        true_scores = scores.gather(1, labels[:, None])
        rivals = (scores >= true_scores).sum(1) - 1  # the true class itself does not count
        correct = ((rivals < p.top_k) & keep).float()
        accuracy = correct.sum() / keep.sum().clamp(min=1)
        if len(self.param.top) == 1:
            return accuracy
        count, hits = (  # bincount would make the host wait for a GPU
            torch.zeros(classes, device=scores.device).index_add_(0, labels, each)
            for each in (keep.float(), correct)
        )
        return accuracy, hits / count.clamp(min=1)

    def backward(self, bottoms: Tensors, tops: Tensors, diffs: Tensors, needs: Needs) -> Grads:
        return [None] * len(needs)
