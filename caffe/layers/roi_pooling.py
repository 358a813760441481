"""ROIPooling: the maxima of pooled_h x pooled_w bins of each region of interest (RoI).

Outside BVLC Caffe 1.0: the layer of Fast R-CNN's fork (rbgirshick/caffe-fast-rcnn).  Bottoms: maps
(N, C, H, W), and RoIs (R, 5), each a row (number of the image, x1, y1, x2, y2) of inclusive
coordinates, which spatial_scale takes to those of the maps.  Top: (R, C, pooled_h, pooled_w).

Honours pooled_h, pooled_w and spatial_scale, with the fork's rounding: the scaled corners are
rounded half away from zero; a bin is widened to whole cells and clipped to the map; an empty one
gives 0.  torchvision's roi_pool rounds half to even.  As in the fork, the first of equal maxima
takes the gradient, and an RoI that ends before it starts pools one cell but passes no gradient.

The maxima of all RoIs are found at once, from a table of the maxima of all windows whose sides are
powers of 2: four of them cover any bin (the sparse table of range maximum queries).
"""

import torch
from torch.autograd.function import FunctionCtx

from caffe.layer import Grads, Layer, Needs, Shapes, Tensors, register
from caffe.layer_parts.labels import integers

Bins = tuple[torch.Tensor, torch.Tensor]  # first cell and the one after the last, (R, pooled)
LARGEST = 2**31 - 1
MOST_KEYS = 2**21  # 16 MB in one table, unless a single channel needs more


def _rounded(x: torch.Tensor) -> torch.Tensor:
    """C's round(): half away from zero, as int64.  Exact, because float64 can add the half."""
    wide = x.double()
    return (wide.sign() * (wide.abs() + 0.5).floor()).long()


class _Axis:
    """The bins of all RoIs along one axis of the maps.

    first, last : int64 (R,)
        The RoIs' cells, inclusive.
    size : float32 (R,)
        Cells per bin; a malformed RoI has one cell.
    """

    def __init__(self, start: torch.Tensor, end: torch.Tensor, scale: float, pooled: int) -> None:
        self.first, self.last = _rounded(start * scale), _rounded(end * scale)
        self.pooled = pooled
        self.size = (self.last - self.first + 1).clamp(min=1).to(start.dtype) / pooled

    def bins(self, cells: int) -> Bins:
        """Where the bins start and end, in a map of this many cells."""
        number = torch.arange(self.pooled, dtype=self.size.dtype, device=self.size.device)
        start = (number * self.size[:, None]).floor().long() + self.first[:, None]
        end = ((number + 1) * self.size[:, None]).ceil().long() + self.first[:, None]
        return start.clamp(0, cells), end.clamp(0, cells)

    def passes(self, cell: torch.Tensor, number: torch.Tensor) -> torch.Tensor:
        """Whether the fork's backward finds a bin's maximum again: int64 (R, C, h, w) -> bool.

        It asks whether the cell is inside the RoI, and which bins can have pooled it.
        """
        first, last, size = (t[:, None, None, None] for t in (self.first, self.last, self.size))
        inside = (cell >= first) & (cell <= last)
        from_start = (cell - first).to(size.dtype)
        lowest = (from_start / size).floor().clamp(0, self.pooled)
        highest = ((from_start + 1) / size).ceil().clamp(0, self.pooled)
        return inside & (number >= lowest) & (number < highest)


def _keys(maps: torch.Tensor) -> torch.Tensor:
    """One int64 per cell, larger where the value is larger or, of equal values, the cell earlier.

    Parameters
    ----------
    maps : Tensor of float32, shape (N, H, W, C)

    Returns
    -------
    Tensor of int64, shape (N, H, W, C)
        The upper half is the value, as an integer of the same order (NaN is the largest); the
        lower half counts the cells of H x W from the last one.
    """
    _, height, width, _ = maps.shape
    bits = (maps + 0.0).view(torch.int32)  # -0 is 0
    order = torch.where(bits < 0, bits ^ LARGEST, bits).masked_fill_(maps.isnan(), LARGEST)
    cells = torch.arange(height * width - 1, -1, -1, device=maps.device)
    return (order.long() << 32) | cells.view(height, width, 1)


def _windows(keys: torch.Tensor, levels: tuple[int, int]) -> torch.Tensor:
    """The largest keys in all windows of 2^i x 2^j cells, for i and j below `levels`.

    Parameters
    ----------
    keys : Tensor of int64, shape (N, H, W, C)

    Returns
    -------
    Tensor of int64, shape (levels[0], levels[1], N, H, W, C)
        Windows by their first cell; what begins where a window does not fit means nothing.
    """
    table = keys.new_empty(*levels, *keys.shape)
    table[0, 0] = keys
    for j in range(1, levels[1]):
        _double(table[0, j - 1], table[0, j], 2 ** (j - 1), 2)
    for i in range(1, levels[0]):
        _double(table[i - 1], table[i], 2 ** (i - 1), 2)
    return table


def _double(half: torch.Tensor, whole: torch.Tensor, step: int, axis: int) -> None:
    """From the maxima of windows of `step` cells to those of twice as many, along an axis."""
    count = half.shape[axis] - step
    torch.maximum(
        half.narrow(axis, 0, count),
        half.narrow(axis, step, count),
        out=whole.narrow(axis, 0, count),
    )


class _Cover:
    """Two windows of 2^level cells that together cover each bin, along one axis of the maps.

    first, second : int64 (R, pooled)
        The windows' first cells; of an empty bin any cell.
    level : int64 (R, pooled)
    levels : int
        More than any level.
    empty : bool (R, pooled)
    """

    def __init__(self, start: torch.Tensor, end: torch.Tensor, cells: int) -> None:
        self.empty, size = end <= start, (end - start).clamp(min=1)
        # on a GPU, to look at the sizes would make the host wait
        most = int(size.max()) if size.device.type == "cpu" and len(size) else cells
        self.levels = most.bit_length()
        powers = 2 ** torch.arange(1, self.levels, device=size.device)
        self.level = (size[..., None] >= powers).sum(-1)
        self.first = start.clamp(max=cells - 1)
        self.second = self.first + size - 2**self.level


@register("ROIPooling")
class ROIPooling(Layer):
    capturable = False  # on the CPU, the size of the tables depends on the bins
    num_bottom = (2, 2)
    in_place = False

    def setup(self, shapes: Shapes) -> None:
        p = self.param.roi_pooling_param
        if not (p.pooled_h and p.pooled_w):
            self.fail("pooled_h and pooled_w must be given, and at least 1")

    def reshape(self, shapes: Shapes) -> Shapes:
        maps, rois = shapes
        if len(maps) != 4 or not rois or rois[0] * 5 != torch.Size(rois).numel():
            self.fail(f"needs maps (N, C, H, W) and RoIs (R, 5), not {maps} and {rois}")
        p = self.param.roi_pooling_param
        return [(rois[0], maps[1], p.pooled_h, p.pooled_w)]

    def allow_force_backward(self, index: int) -> bool:
        return index == 0

    def _axes(self, rois: torch.Tensor) -> tuple[_Axis, _Axis]:
        p = self.param.roi_pooling_param
        return (
            _Axis(rois[:, 2], rois[:, 4], p.spatial_scale, p.pooled_h),
            _Axis(rois[:, 1], rois[:, 3], p.spatial_scale, p.pooled_w),
        )

    def _images(self, rois: torch.Tensor, count: int) -> torch.Tensor:
        """The RoIs' numbers of images, int64 (R,)."""
        return integers(self, rois[:, 0], count, "the image of an RoI,")

    @torch.no_grad()
    def _index(self, maps: torch.Tensor, rois: torch.Tensor) -> torch.Tensor:
        """The cells of the maxima, int64 (R, C, pooled_h, pooled_w); -1 for empty bins."""
        count, channels, height, width = maps.shape
        rows, columns = (
            _Cover(*axis.bins(cells), cells)
            for axis, cells in zip(self._axes(rois), (height, width), strict=True)
        )
        levels = rows.levels, columns.levels
        table = self._images(rois, count)[:, None, None] * (height * width)
        table = table + (rows.level[:, :, None] * columns.levels + columns.level[:, None]) * (
            count * height * width
        )
        corners = [
            (table + y[:, :, None] * width + x[:, None]).reshape(-1)
            for y in (rows.first, rows.second)
            for x in (columns.first, columns.second)
        ]
        empty = (rows.empty[:, :, None] | columns.empty[:, None]).reshape(-1, 1)
        bins = len(rois), rows.first.shape[1], columns.first.shape[1]
        found = torch.empty(bins[0], channels, *bins[1:], dtype=torch.int64, device=maps.device)
        together = max(1, MOST_KEYS // (levels[0] * levels[1] * count * height * width))
        for part, indices in zip(maps.split(together, 1), found.split(together, 1), strict=True):
            keys = _windows(_keys(part.permute(0, 2, 3, 1).contiguous()), levels)
            keys = keys.view(-1, part.shape[1])
            best = keys.index_select(0, corners[0])
            for corner in corners[1:]:
                best = torch.maximum(best, keys.index_select(0, corner))
            cells = (height * width - 1 - (best & 0xFFFFFFFF)).masked_fill_(empty, -1)
            indices.copy_(cells.view(*bins, part.shape[1]).permute(0, 3, 1, 2))
        return found

    def _places(self, maps: torch.Tensor, rois: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        """Cells as numbers of elements of the maps; those of empty bins are some element."""
        images = self._images(rois, len(maps))[:, None]
        channels = torch.arange(maps.shape[1], device=maps.device)
        planes = (images * maps.shape[1] + channels)[:, :, None, None]
        return planes * (maps.shape[2] * maps.shape[3]) + index.clamp(min=0)

    def forward(self, maps: torch.Tensor, rois: torch.Tensor) -> torch.Tensor:
        rois = rois.detach().reshape(-1, 5)
        index = self._index(maps.detach(), rois)
        self.remember(index=index)
        return _Pick.apply(self, maps, rois, index)

    def pick(self, maps: torch.Tensor, rois: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        """The top: what is in the cells, 0 for empty bins."""
        values = maps.reshape(-1)[self._places(maps, rois, index).reshape(-1)].view(index.shape)
        return torch.where(index >= 0, values, torch.zeros_like(values))

    def gradient(
        self, maps: torch.Tensor, rois: torch.Tensor, index: torch.Tensor, dy: torch.Tensor
    ) -> torch.Tensor:
        """The gradient of the maps: that of each bin goes to the cell of its maximum."""
        vertical, horizontal = self._axes(rois)
        h, w = (torch.arange(n, device=maps.device) for n in index.shape[2:])
        passes = (
            (index >= 0)
            & vertical.passes(index.div(maps.shape[3], rounding_mode="floor"), h[:, None])
            & horizontal.passes(index % maps.shape[3], w)
        )
        grad = maps.new_zeros(maps.numel())
        places = self._places(maps, rois, index).reshape(-1)
        dy = torch.where(passes, dy.reshape(index.shape), torch.zeros_like(dy.reshape(index.shape)))
        return grad.index_add_(0, places, dy.reshape(-1)).view(maps.shape)

    def backward(self, bottoms: Tensors, tops: Tensors, diffs: Tensors, needs: Needs) -> Grads:
        maps, rois = bottoms[0], bottoms[1].reshape(-1, 5)
        index = self.recall("index", diffs[0].shape, torch.int64)
        index = index.clamp(max=maps.shape[2] * maps.shape[3] - 1)
        return [self.gradient(maps, rois, index, diffs[0]) if needs[0] else None, None]


class _Pick(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx,
        layer: ROIPooling,
        maps: torch.Tensor,
        rois: torch.Tensor,
        index: torch.Tensor,
    ) -> torch.Tensor:
        ctx.layer = layer
        ctx.save_for_backward(maps, rois, index)
        return layer.pick(maps, rois, index)

    @staticmethod
    def backward(ctx: FunctionCtx, dy: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        return None, ctx.layer.gradient(*ctx.saved_tensors, dy), None, None
