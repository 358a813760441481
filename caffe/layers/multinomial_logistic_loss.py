"""MultinomialLogisticLoss: -log of the probability of each item's label, summed / N.

Bottoms: probabilities (N, ...), one per class, and N integer labels.  Probabilities below 1e-20
count as 1e-20, and their gradient is -1 / 1e-20; that of a clamp would be 0.
"""

import torch

from caffe.layer import Layer, Shapes, register
from caffe.layer_parts.labels import check_one_per_item, integers

LOG_THRESHOLD = 1e-20


@register("MultinomialLogisticLoss")
class MultinomialLogisticLoss(Layer):
    num_bottom = (2, 2)
    is_loss = True

    def reshape(self, shapes: Shapes) -> Shapes:
        check_one_per_item(self, "probabilities", shapes)
        return [()]

    def allow_force_backward(self, index: int) -> bool:
        return index != 1

    def forward(self, probabilities: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        rows = probabilities.reshape(probabilities.shape[0], -1)
        picked = rows.gather(1, integers(self, labels.reshape(-1), rows.shape[1])[:, None])
        raised = picked.detach().clamp(min=LOG_THRESHOLD)
        # the first term is 0 and carries the gradient
        return -((picked - picked.detach()) / raised + raised.log()).sum() / len(rows)
