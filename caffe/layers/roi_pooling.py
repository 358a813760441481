"""ROIPooling: the maxima of pooled_h x pooled_w bins of each region of interest (RoI).

Outside BVLC Caffe 1.0: the layer of Fast R-CNN's fork (rbgirshick/caffe-fast-rcnn).  Bottoms: maps
(N, C, H, W), and RoIs (R, 5), each a row (number of the image, x1, y1, x2, y2) of inclusive
coordinates, which spatial_scale takes to those of the maps.  Top: (R, C, pooled_h, pooled_w).

Honours pooled_h, pooled_w and spatial_scale, with the fork's rounding: the scaled corners are
rounded half away from zero; a bin is widened to whole cells and clipped to the map; an empty one
gives 0.  torchvision's roi_pool rounds half to even.  As in the fork, the first of equal maxima
takes the gradient, and an RoI that ends before it starts pools one cell but passes no gradient.
"""

import torch
from torch.autograd.function import FunctionCtx

from caffe.layer import Grads, Layer, Needs, Shapes, Tensors, register
from caffe.layer_parts.labels import integers

Bins = tuple[torch.Tensor, torch.Tensor]  # first cell and the one after the last, (R, pooled)
Edges = tuple[list[int], list[int]]  # the same for one RoI


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


def _first_maxima(maps: torch.Tensor, rows: Edges, columns: Edges) -> torch.Tensor:
    """Where the maxima of the bins of one RoI are.

    Parameters
    ----------
    maps : Tensor of shape (C, H, W)
    rows, columns : pairs of lists of int
        Starts and ends of the bins along H and along W.

    Returns
    -------
    Tensor of int64, shape (C, pooled_h, pooled_w)
        Number of the cell in H x W; of equal maxima the first.  -1 where a bin is empty.
    """
    channels, _, width = maps.shape
    low, high = min(rows[0]), max(rows[1])
    index = torch.full(
        (channels, len(rows[0]), len(columns[0])), -1, dtype=torch.int64, device=maps.device
    )
    filled = [w for w, (left, right) in enumerate(zip(*columns, strict=True)) if right > left]
    if high <= low or not filled:
        return index
    # the first maximum of each row, then the first of the rows: the first in the order of the cells
    strips = [maps[:, low:high, columns[0][w] : columns[1][w]].max(2) for w in filled]
    best = torch.stack([strip.values for strip in strips], 2)
    at = torch.stack([s.indices + columns[0][w] for s, w in zip(strips, filled, strict=True)], 2)
    for h, (top, bottom) in enumerate(zip(*rows, strict=True)):
        if bottom > top:
            row = best[:, top - low : bottom - low].max(1, keepdim=True).indices + (top - low)
            found = (row + low) * width + at.gather(1, row)
            index[:, h, filled] = found[:, 0]
    return index


@register("ROIPooling")
class ROIPooling(Layer):
    capturable = False  # the bins are computed on the host
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
        p = self.param.roi_pooling_param
        bins = [a.bins(c) for a, c in zip(self._axes(rois), maps.shape[2:], strict=True)]
        rows, columns = ([t.tolist() for t in pair] for pair in bins)
        found = torch.empty(
            len(rois), maps.shape[1], p.pooled_h, p.pooled_w, dtype=torch.int64, device=maps.device
        )
        for r, image in enumerate(self._images(rois, len(maps)).tolist()):
            edges = (rows[0][r], rows[1][r]), (columns[0][r], columns[1][r])
            found[r] = _first_maxima(maps[image], *edges)
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
