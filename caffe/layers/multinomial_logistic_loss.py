"""MultinomialLogisticLoss: -log of the probability of each item's label, summed / N.

Bottoms: probabilities (N, ...), an item's values being its classes, and N integer labels.
Probabilities are raised to 1e-20 first; the gradient there is -1 / 1e-20, not 0 as a clamp's.
"""

import math

from caffe.layer import Layer, register
from caffe.layer_parts.labels import integers

LOG_THRESHOLD = 1e-20


@register("MultinomialLogisticLoss")
class MultinomialLogisticLoss(Layer):
    num_bottom = (2, 2)
    is_loss = True

    def reshape(self, shapes):
        scores, labels = shapes
        if not scores or math.prod(labels) != scores[0]:
            self.fail(
                f"probabilities {scores} want one label an item, there are {math.prod(labels)} labels {labels}"
            )
        return [()]

    def allow_force_backward(self, index):
        return index != 1

    def forward(self, probabilities, labels):
        rows = probabilities.reshape(probabilities.shape[0], -1)
        picked = rows.gather(1, integers(self, labels, rows.shape[1])[:, None])
        raised = picked.detach().clamp(min=LOG_THRESHOLD)
        # the first term is 0 and carries the gradient
        return -((picked - picked.detach()) / raised + raised.log()).sum() / len(rows)
