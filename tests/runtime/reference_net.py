"""A plain NumPy net to compare the runtime with: what BVLC Caffe's layers compute.

It takes the wiring and the settings from a caffe.Net, and shares nothing else with the runtime.
Each layer keeps what its C++ original keeps: Dropout its mask, MAX pooling its indices, BatchNorm
its normalised values, losses their differences.
"""

import numpy as np


class Blob:
    def __init__(self, shape):
        self.data, self.diff = np.zeros(shape), np.zeros(shape)


class Layer:
    def __init__(self, param, blobs):
        self.param, self.blobs = param, blobs
        self.in_place = bool(param.bottom) and param.bottom[0] in param.top

    def forward(self, bottom, top, draw):
        pass

    def backward(self, top, bottom, needs):
        pass


class Function(Layer):
    """Elementwise: y = value(x), dx = dy * slope(x, y).

    x is what the blob holds when backward runs.
    """

    def value(self, x):
        raise NotImplementedError

    def forward(self, bottom, top, draw):
        top[0].data[...] = self.value(bottom[0].data)

    def backward(self, top, bottom, needs):
        bottom[0].diff[...] = top[0].diff * self.slope(bottom[0].data, top[0].data)


class ReLU(Function):
    def value(self, x):
        return np.maximum(x, 0) + self.param.relu_param.negative_slope * np.minimum(x, 0)

    def slope(self, x, y):
        return np.where(x > 0, 1, self.param.relu_param.negative_slope)


class Sigmoid(Function):
    def value(self, x):
        return 1 / (1 + np.exp(-x))

    def slope(self, x, y):
        return y * (1 - y)


class TanH(Function):
    def value(self, x):
        return np.tanh(x)

    def slope(self, x, y):
        return 1 - y * y


class ELU(Function):
    def value(self, x):
        return np.where(x > 0, x, self.param.elu_param.alpha * (np.exp(np.minimum(x, 0)) - 1))

    def slope(self, x, y):
        return np.where(x > 0, 1, self.param.elu_param.alpha + y)


class Exp(Function):
    def value(self, x):
        return np.exp(x * self.param.exp_param.scale)

    def slope(self, x, y):
        return y * self.param.exp_param.scale


class Power(Function):
    """power 2 only, whose gradient reads the bottom: in place that is the square."""

    def value(self, x):
        p = self.param.power_param
        return (p.shift + p.scale * x) ** 2

    def slope(self, x, y):
        p = self.param.power_param
        return 2 * p.scale * (p.shift + p.scale * x)


class Dropout(Layer):
    mask = 0

    def forward(self, bottom, top, draw):
        self.mask = draw(self.param.name)
        top[0].data[...] = bottom[0].data * self.mask

    def backward(self, top, bottom, needs):
        bottom[0].diff[...] = top[0].diff * self.mask


class PReLU(Layer):
    x = 0

    def forward(self, bottom, top, draw):
        if self.in_place:
            self.x = bottom[0].data.copy()
        x = bottom[0].data
        top[0].data[...] = np.where(x > 0, x, x * self._slopes(x))

    def _slopes(self, x):
        return self.blobs[0].data.reshape(-1, *(1,) * (x.ndim - 2))

    def backward(self, top, bottom, needs):
        x, dy = self.x if self.in_place else bottom[0].data, top[0].diff.copy()
        axes = tuple(i for i in range(dy.ndim) if i != 1)
        self.blobs[0].diff += (dy * x * (x <= 0)).sum(axes)
        bottom[0].diff[...] = dy * np.where(x > 0, 1, self._slopes(dy))


class Scale(Layer):
    """With a bias, along axis 1."""

    x = 0

    def _spread(self, part, x):
        return part.reshape(-1, *(1,) * (x.ndim - 2))

    def forward(self, bottom, top, draw):
        x = bottom[0].data
        if self.in_place:
            self.x = x.copy()
        top[0].data[...] = x * self._spread(self.blobs[0].data, x) + self._spread(
            self.blobs[1].data, x
        )

    def backward(self, top, bottom, needs):
        x, dy = self.x if self.in_place else bottom[0].data, top[0].diff.copy()
        axes = tuple(i for i in range(dy.ndim) if i != 1)
        self.blobs[0].diff += (dy * x).sum(axes)
        self.blobs[1].diff += dy.sum(axes)
        bottom[0].diff[...] = dy * self._spread(self.blobs[0].data, dy)


class BatchNorm(Layer):
    """In TRAIN."""

    def forward(self, bottom, top, draw):
        p, x = self.param.batch_norm_param, bottom[0].data
        self.axes = tuple(i for i in range(x.ndim) if i != 1)
        mean, variance = x.mean(self.axes, keepdims=True), x.var(self.axes, keepdims=True)
        m = x.size / x.shape[1]
        for blob, value in zip(
            self.blobs, (mean.ravel(), variance.ravel() * m / (m - 1), 1), strict=True
        ):
            blob.data[...] = blob.data * p.moving_average_fraction + value
        self.deviation = np.sqrt(variance + p.eps)
        self.y = (x - mean) / self.deviation
        top[0].data[...] = self.y

    def backward(self, top, bottom, needs):
        dy, y = top[0].diff.copy(), self.y
        mean = dy.mean(self.axes, keepdims=True) + y * (dy * y).mean(self.axes, keepdims=True)
        bottom[0].diff[...] = (dy - mean) / self.deviation


class InnerProduct(Layer):
    def forward(self, bottom, top, draw):
        x = bottom[0].data.reshape(len(bottom[0].data), -1)
        top[0].data[...] = x @ self.blobs[0].data.T + self.blobs[1].data

    def backward(self, top, bottom, needs):
        x = bottom[0].data.reshape(len(bottom[0].data), -1)
        self.blobs[0].diff += top[0].diff.T @ x
        self.blobs[1].diff += top[0].diff.sum(0)
        bottom[0].diff[...] = (top[0].diff @ self.blobs[0].data).reshape(bottom[0].data.shape)


class Convolution(Layer):
    """Square kernels, stride 1, no padding."""

    def _windows(self, x):
        k = self.param.convolution_param.kernel_size[0]
        # (N, C, H_out, W_out, k, k)
        return np.lib.stride_tricks.sliding_window_view(x, (k, k), (2, 3))

    def forward(self, bottom, top, draw):
        windows = self._windows(bottom[0].data)
        top[0].data[...] = (
            np.einsum("nchwij,ocij->nohw", windows, self.blobs[0].data)
            + self.blobs[1].data[:, None, None]
        )

    def backward(self, top, bottom, needs):
        dy = top[0].diff
        self.blobs[0].diff += np.einsum("nchwij,nohw->ocij", self._windows(bottom[0].data), dy)
        self.blobs[1].diff += dy.sum((0, 2, 3))
        bottom[0].diff[...] = 0
        weight, (height, width) = self.blobs[0].data, dy.shape[2:]
        for i in range(weight.shape[2]):
            for j in range(weight.shape[3]):
                bottom[0].diff[:, :, i : i + height, j : j + width] += np.einsum(
                    "nohw,oc->nchw", dy, weight[:, :, i, j]
                )


class Pooling(Layer):
    """2 x 2, stride 2, on bottoms of even size."""

    def forward(self, bottom, top, draw):
        n, c, h, w = bottom[0].data.shape
        windows = (
            bottom[0]
            .data.reshape(n, c, h // 2, 2, w // 2, 2)
            .transpose(0, 1, 2, 4, 3, 5)
            .reshape(n, c, h // 2, w // 2, 4)
        )
        self.index = windows.argmax(-1)
        top[0].data[...] = (
            windows.mean(-1) if self.param.pooling_param.pool == 1 else windows.max(-1)
        )

    def backward(self, top, bottom, needs):
        bottom[0].diff[...] = 0
        for n, c, h, w in np.ndindex(top[0].diff.shape):
            dy = top[0].diff[n, c, h, w]
            if self.param.pooling_param.pool == 1:
                bottom[0].diff[n, c, 2 * h : 2 * h + 2, 2 * w : 2 * w + 2] = dy / 4
            else:
                i = self.index[n, c, h, w]
                bottom[0].diff[n, c, 2 * h + i // 2, 2 * w + i % 2] += dy


class Eltwise(Layer):
    def forward(self, bottom, top, draw):
        operation, parts = self.param.eltwise_param.operation, [b.data for b in bottom]
        self.winner = np.where(parts[0] > parts[1], 0, 1)
        top[0].data[...] = (parts[0] * parts[1], parts[0] + parts[1], np.maximum(*parts))[operation]

    def backward(self, top, bottom, needs):
        for i, blob in enumerate(bottom):
            slope = (bottom[1 - i].data, 1, self.winner == i)[self.param.eltwise_param.operation]
            blob.diff[...] = top[0].diff * slope


class Split(Layer):
    def forward(self, bottom, top, draw):
        pass  # the tops are the bottom's memory

    def backward(self, top, bottom, needs):
        bottom[0].diff[...] = sum(t.diff for t in top)


class Flatten(Layer):
    pass  # data and diff are the bottom's memory


class EuclideanLoss(Layer):
    def forward(self, bottom, top, draw):
        self.difference = bottom[0].data - bottom[1].data
        top[0].data[...] = (self.difference**2).sum() / (2 * len(bottom[0].data))

    def backward(self, top, bottom, needs):
        for i, sign in enumerate((1, -1)):
            bottom[i].diff[...] = sign * self.difference * top[0].diff / len(bottom[0].data)


class SigmoidCrossEntropyLoss(Layer):
    def forward(self, bottom, top, draw):
        self.p, t = 1 / (1 + np.exp(-bottom[0].data)), bottom[1].data
        top[0].data[...] = -(t * np.log(self.p) + (1 - t) * np.log(1 - self.p)).sum() / len(t)

    def backward(self, top, bottom, needs):
        bottom[0].diff[...] = (self.p - bottom[1].data) * top[0].diff / len(self.p)


class SoftmaxWithLoss(Layer):
    def forward(self, bottom, top, draw):
        e = np.exp(bottom[0].data - bottom[0].data.max(1, keepdims=True))
        self.p = e / e.sum(1, keepdims=True)
        top[0].data[...] = -np.log(self.p[np.arange(len(e)), bottom[1].data.astype(int)]).mean()

    def backward(self, top, bottom, needs):
        grad = self.p.copy()
        grad[np.arange(len(grad)), bottom[1].data.astype(int)] -= 1
        bottom[0].diff[...] = grad * top[0].diff / len(grad)


TYPES = {cls.__name__: cls for cls in [*Function.__subclasses__(), *Layer.__subclasses__()]}


class ReferenceNet:
    """The NumPy twin of `net`, with the same numbers in it.

    Every layer runs backward into every bottom except labels: `net` must set force_backward.
    """

    def __init__(self, net):
        self.blobs, self.params, self.layers = {}, {}, []
        by_name = {}
        for param in net.param.layer:
            own = []
            for k, blob in enumerate(net.params.get(param.name, ())):
                name = param.param[k].name if k < len(param.param) else ""
                twin = by_name.get(name) or Blob(blob.shape)
                if name:
                    by_name[name] = twin
                twin.data[...] = blob.data
                own.append(twin)
            if own:
                self.params[param.name] = own
            for top in param.top:
                if top not in self.blobs:
                    self.blobs[top] = Blob(net.blobs[top].shape)
                    self._share(param, top)
                    self.blobs[top].diff[...] = net.blobs[top].diff
            cls = TYPES.get(param.type, Layer)
            self.layers.append(
                (
                    cls(param, own),
                    [self.blobs[b] for b in param.bottom],
                    [self.blobs[t] for t in param.top],
                )
            )
        self.unique = list(
            {id(blob): blob for blobs in self.params.values() for blob in blobs}.values()
        )
        self.rates = [0 if self._is_statistic(blob) else 1 for blob in self.unique]
        self.history = [np.zeros_like(blob.data) for blob in self.unique]

    def _share(self, param, top):
        if param.type in ("Split", "Flatten"):
            source, blob = self.blobs[param.bottom[0]], self.blobs[top]
            blob.data = source.data.reshape(blob.data.shape)
            if param.type == "Flatten":
                blob.diff = source.diff.reshape(blob.data.shape)

    def _is_statistic(self, blob):
        return any(
            blob in layer.blobs for layer, _, _ in self.layers if isinstance(layer, BatchNorm)
        )

    def forward(self, start, end, draw):
        for layer, bottom, top in self.layers[start : end + 1]:
            layer.forward(bottom, top, draw)

    def backward(self, start, end):
        for layer, bottom, top in reversed(self.layers[end : start + 1]):
            layer.backward(top, bottom, None)

    def clear(self):
        for blob in self.unique:
            blob.diff[...] = 0

    def update(self, rate, momentum, decay):
        """SGD: afterwards a diff holds what was subtracted."""
        for blob, history, multiplier in zip(self.unique, self.history, self.rates, strict=True):
            history[...] = momentum * history + rate * multiplier * (blob.diff + decay * blob.data)
            blob.diff[...] = history
            blob.data -= history
