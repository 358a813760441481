"""The ways through a net's layers, forward and backward (Caffe: Net::ForwardFromTo,
BackwardFromTo).

`run_layers` and `run_layers_back` go layer by layer from blob to blob: pycaffe's way.  Nothing but
the blobs, and what a layer has kept of its last forward, carries over from one to the other, so
that backward may run at any time: it uses the blobs as they are.  `forward_backward` runs all
layers as one autograd graph, channels last on the CPU, without touching NumPy: the solver's way.
"""

import torch

from caffe import allocation
from caffe.error import CaffeError
from caffe.layer import NOTHING, SIGNS, VALUES

# types whose gradient does not need their own output, so that an in-place ReLU may destroy it
OUTPUT_NOT_NEEDED = {"Convolution", "Deconvolution", "InnerProduct", "Scale", "Bias", "Eltwise"}


class Passes:
    """What a net (see net.py) does with its layers once they are wired."""

    # ------------------------------------------------------------------------------------------------------ reshaping
    def _reshape_layer(self, i, always=False):
        """Give layer i's tops their shapes if its blobs' shapes are not those of its last run, or
        `always`.
        """
        layer = self.layer_list[i]
        if not always and self._shapes[i] is not None:
            if self._shapes[i] == self._shapes_now(i):
                return
        shapes = [self.blob_list[b].shape for b in self.bottom_ids[i]]
        tops = [self.blob_list[t] for t in self.top_ids[i]]
        before = [top.count for top in tops]
        try:
            for top, shape in zip(tops, layer.reshape(shapes), strict=True):
                top.reshape(*shape)
        except CaffeError as error:
            if str(error).startswith("a blob "):  # of a shape that no blob can have
                layer.fail(f"{error}; lower {layer.size_fields}")
            raise
        for top, count, weight in zip(tops, before, self.loss_weights[i], strict=True):
            if weight and top.count != count:
                top.diff_tensor().fill_(weight)
        self._share_memory(i)
        self._shapes[i] = self._shapes_now(i)

    def _shapes_now(self, i):
        """The shapes of layer i's bottoms and tops.  Those of data are the data's own, so they do
        not count.
        """
        tops = self.top_ids[i] if self.bottom_ids[i] else []
        return [self.blob_list[b].shape for b in (*self.bottom_ids[i], *tops)]

    def _share_memory(self, i):
        """Lay the tops of a layer that only passes its bottom on into the bottom's memory."""
        layer = self.layer_list[i]
        if layer.shares_data:
            source = self.blob_list[self.bottom_ids[i][0]] if self.bottom_ids[i] else layer.blobs[0]
            for top in self.top_ids[i]:
                self.blob_list[top].share_data(source)
                if layer.shares_diff:
                    self.blob_list[top].share_diff(source)

    def reshape(self):
        """Carry changed input shapes through to all blobs, without computing."""
        for i, layer in enumerate(self.layer_list):
            self._reshape_layer(i, always=layer.calls_user)

    # ------------------------------------------------------------------------------------------------- layer by layer
    def run_layers(self, start, end):
        """Run layers start..end (inclusive), blob by blob; return the weighted loss of these layers
        (float).
        """
        loss = 0.0
        for i in range(start, end + 1):
            for run in self.callbacks["before_forward"]:
                run(i)
            with self._enough_memory(i):
                self._forward_layer(i, keeps=self.layer_needs[i])
            for top, weight in zip(self.top_ids[i], self.loss_weights[i], strict=True):
                if weight:  # as in Caffe, the weights are the loss's own diff
                    blob = self.blob_list[top]
                    loss += float((blob.tensor() * blob.diff_tensor()).sum())
            if self.debug_info:
                self._debug_forward(i)
            for run in self.callbacks["after_forward"]:
                run(i)
        return loss

    def _enough_memory(self, i):
        layer = self.layer_list[i]
        return allocation.enough_for(f"layer '{layer.name}' ({layer.type})", layer.size_fields)

    @torch.no_grad()
    def _forward_layer(self, i, keeps):
        layer = self.layer_list[i]
        self._reshape_layer(i, always=layer.calls_user)
        layer.keeps = keeps
        if layer.shares_data:
            self._share_memory(i)
        elif layer.calls_user:
            layer.compute()
        elif not layer.fed_by_user:
            bottoms = [self.blob_list[b].tensor() for b in self.bottom_ids[i]]
            layer.params, layer.overwrites = [blob.tensor() for blob in layer.blobs], False
            outputs = layer.forward(*bottoms)
            outputs = [outputs] if isinstance(outputs, torch.Tensor) else outputs
            taken = {t.data_ptr() for t in bottoms}
            for top, output in zip(self.top_ids[i], outputs, strict=True):
                if output.data_ptr() in taken and top not in self.bottom_ids[i]:
                    output = (
                        output.clone()
                    )  # two blobs do not share memory unless the layer says so
                self.blob_list[top].put(output)
            if layer.is_loss:
                self._loss_inputs[i] = bottoms[0]
        self._shapes[i] = self._shapes_now(i)  # a layer may give another shape with every batch

    def run_layers_back(self, start, end):
        """Run layers start down to end (inclusive) backward from the tops' diffs; parameter diffs
        accumulate.

        The blobs' data stay as they are, whatever ran before.
        """
        for i in range(start + 1):  # a blob may have been reshaped by hand
            self._reshape_layer(i)
        for i in range(start, end - 1, -1):
            for run in self.callbacks["before_backward"]:
                run(i)
            if self.layer_needs[i]:
                with self._enough_memory(i):
                    self.backward_layer(i)
                if self.debug_info:
                    self._debug_backward(i)
            for run in self.callbacks["after_backward"]:
                run(i)

    @torch.no_grad()
    def backward_layer(self, i):
        """Run layer i backward, whether the net's loss needs it or not: its bottoms' and its
        parameters' diffs.
        """
        layer = self.layer_list[i]
        bottoms, tops = (
            [self.blob_list[b] for b in ids[i]] for ids in (self.bottom_ids, self.top_ids)
        )
        needs = [*self.bottom_needs[i], *self.param_needs[i]]
        if layer.always_propagates:
            needs[0] = True
        if layer.shares_diff:
            self._share_memory(i)
        elif layer.calls_user:
            layer.compute_backward(list(self.bottom_needs[i]))
        elif any(needs):
            layer.params = [blob.tensor() for blob in layer.blobs]
            diffs = [blob.diff_tensor() for blob in tops]
            grads = layer.backward(
                [b.tensor() for b in bottoms], [t.tensor() for t in tops], diffs, needs
            )
            taken = {diff.data_ptr() for diff in diffs}
            for k, (blob, need, grad) in enumerate(
                zip([*bottoms, *layer.blobs], needs, grads, strict=True)
            ):
                if not need or grad is None:
                    continue
                if grad.data_ptr() in taken:
                    grad = grad.clone()
                taken.add(grad.data_ptr())
                blob.put_diff(grad) if k < len(bottoms) else blob.add_diff(grad)

    # -------------------------------------------------------------------------------------------------- as one graph
    def forward_backward(self, backward=True, gradient_ready=None):
        """One pass as a single graph; parameter diffs are added to what is there.

        A net with callbacks, or with a layer that overwrites in place what another layer's gradient
        reads, runs layer by layer instead.

        Parameters
        ----------
        backward : bool
        gradient_ready : callable, optional
            Called as ``gradient_ready(i, gradient)`` for learnable parameter i as soon as its
            gradient is known; the gradients are then not kept as diffs.

        Returns
        -------
        torch.Tensor
            The net's weighted loss (0-d, on the device, not synchronised).
        """
        if any(self.callbacks.values()) or (backward and self.overwrites_needed):
            return self._layer_by_layer(backward, gradient_ready)
        leaves, diffs = {}, {}
        self._forget()
        loss, values = self._forward_graph(backward, leaves, diffs)
        self._put(values)
        del values
        if backward and loss.requires_grad:
            if gradient_ready is not None:
                for param_id, leaf in leaves.items():
                    if leaf.requires_grad:
                        leaf.register_post_accumulate_grad_hook(
                            _handing_over(gradient_ready, param_id)
                        )
            with allocation.enough_for(f"{self.file}: the backward pass", "the batch size"):
                loss.backward()
            for param_id, leaf in leaves.items():
                if leaf.grad is not None:
                    self.learnable[param_id].add_diff(leaf.grad)
            for blob_id, diff in diffs.items():
                self.blob_list[blob_id].put_diff(diff)
        return loss.detach()

    def _forward_graph(self, backward, leaves, diffs):
        """The loss, and {blob id: tensor}; parameters go into `leaves`, blobs' gradients later into
        `diffs`.
        """
        values, losses = {}, []
        looked_at = self._wanted_blobs() if backward and self.keep_blobs else set()
        with torch.set_grad_enabled(backward):
            for i, layer in enumerate(self.layer_list):
                if not layer.calls_user:  # which looks at shapes itself
                    self._reshape_layer(i)
                if layer.fed_by_user:
                    for blob_id in self.top_ids[i]:
                        value = self._fast_format(self.blob_list[blob_id].tensor().detach())
                        values[blob_id] = (
                            self._leaf(value, blob_id, diffs) if blob_id in looked_at else value
                        )
                    continue
                inputs = [
                    values[b] if need and self.layer_needs[i] else values[b].detach()
                    for b, need in zip(self.bottom_ids[i], self.bottom_needs[i], strict=True)
                ]
                self._share_memory(i)
                layer.params = self._leaves(i, leaves, backward)
                layer.overwrites = self._may_overwrite(i)
                layer.keeps = self.keep_blobs and self.layer_needs[i]
                with self._enough_memory(i):
                    outputs = layer.forward(*inputs)
                outputs = [outputs] if isinstance(outputs, torch.Tensor) else outputs
                if layer.is_loss and inputs:
                    self._loss_inputs[i] = inputs[0].detach()
                for blob_id, output, weight in zip(
                    self.top_ids[i], outputs, self.loss_weights[i], strict=True
                ):
                    if tuple(output.shape) != self.blob_list[blob_id].shape:
                        self.blob_list[blob_id].reshape(*output.shape)
                    values[blob_id] = (
                        output if i and self.bottom_ids[i] else self._fast_format(output)
                    )
                    if not self.bottom_ids[i] and not output.requires_grad and blob_id in looked_at:
                        values[blob_id] = self._leaf(values[blob_id], blob_id, diffs)
                    if weight:
                        losses.append(weight * output.sum())
                    if (
                        self.keep_blobs
                        and output.requires_grad
                        and blob_id not in self.bottom_ids[i]
                    ):
                        output.register_hook(_keeping(diffs, blob_id))
                self._shapes[i] = self._shapes_now(i)
            loss = torch.stack(losses).sum() if losses else torch.zeros((), device=self.device)
        return loss, values

    def _put(self, values):
        """Give the blobs that will be looked at their data."""
        if self.keep_blobs:
            wanted = range(len(self.blob_list))
        else:  # code of the user's reads its layer's blobs in backward
            users = [i for i, layer in enumerate(self.layer_list) if layer.calls_user]
            wanted = {
                *self.output_ids,
                *(b for i in users for b in (*self.bottom_ids[i], *self.top_ids[i])),
            }
        taken, fed = (
            {},
            {
                t
                for i, layer in enumerate(self.layer_list)
                if layer.fed_by_user
                for t in self.top_ids[i]
            },
        )
        overwritten = {
            t
            for tops, bottoms in zip(self.top_ids, self.bottom_ids, strict=True)
            for t in tops
            if t in bottoms
        }
        for blob_id in {
            *wanted,
            *(fed & overwritten),
        }:  # as in Caffe, the next pass starts from what has become of the data
            if blob_id in values and blob_id not in fed - overwritten:
                blob, value = self.blob_list[blob_id], values[blob_id].detach()
                other = taken.setdefault(value.data_ptr(), blob)
                blob.put(value if blob.shares_data([other]) else value.clone())

    def _layer_by_layer(self, backward, gradient_ready):
        last = len(self.layer_list) - 1
        loss = torch.tensor(self.run_layers(0, last), device=self.device)
        if backward:
            self.run_layers_back(last, 0)
            if gradient_ready is not None:
                for param_id in sorted(self._wanted_params()):
                    gradient_ready(param_id, self.learnable[param_id].diff_tensor())
                    self.learnable[param_id].clear_diff()
        return loss

    def _fast_format(self, tensor):
        if tensor.dim() == 4 and self.device.type == "cpu" and tensor.shape[1] > 1:
            return tensor.contiguous(memory_format=torch.channels_last)
        return tensor.contiguous()

    def _forget(self):
        """Let go of the blobs of the last pass before the next one fills the memory again."""
        fed = [
            self.blob_list[t]
            for layer, tops in zip(self.layer_list, self.top_ids, strict=True)
            if layer.fed_by_user
            for t in tops
        ]
        for blob in self.blob_list:
            if not blob.shares_data(fed):
                blob.forget()

    @staticmethod
    def _leaf(value, blob_id, diffs):
        """Data that the net is fed with as a tensor whose gradient is asked for and goes into
        `diffs`.
        """
        leaf = value.detach().requires_grad_()
        leaf.register_hook(_keeping(diffs, blob_id))
        return leaf

    def _wanted_blobs(self):
        """Indices of the blobs whose gradient some layer's backward computes."""
        return {
            b
            for bottoms, bottom_needs, needs in zip(
                self.bottom_ids, self.bottom_needs, self.layer_needs, strict=True
            )
            for b, need in zip(bottoms, bottom_needs, strict=True)
            if need and needs
        }

    def _wanted_params(self):
        """Indices of the learnable parameters that some layer's backward computes the gradient of."""
        return {
            param_id
            for ids, param_needs, layer_needs in zip(
                self.param_ids, self.param_needs, self.layer_needs, strict=True
            )
            for param_id, need in zip(ids, param_needs, strict=True)
            if need and layer_needs
        }

    def _leaves(self, i, leaves, backward):
        """The parameters of layer i as leaves of the graph, one leaf for shared ones; frozen ones
        want no gradient.
        """
        if not leaves:
            wanted = self._wanted_params() if backward else set()
            for param_id, blob in enumerate(self.learnable):
                leaves[param_id] = blob.tensor().detach().requires_grad_(param_id in wanted)
        return [  # a shared parameter may have another shape here
            (leaves[param_id] if need and self.layer_needs[i] else leaves[param_id].detach()).view(
                blob.shape
            )
            for param_id, need, blob in zip(
                self.param_ids[i], self.param_needs[i], self.layer_list[i].blobs, strict=True
            )
        ]

    def _may_overwrite(self, i):
        layer = self.layer_list[i]
        if not layer.can_overwrite or self.bottom_ids[i] != self.top_ids[i]:
            return False
        before = [k for k in range(i) if self.bottom_ids[i][0] in self.top_ids[k]]
        return bool(before) and self.layer_list[before[-1]].type in OUTPUT_NOT_NEEDED

    def _overwrites_needed(self):
        """Whether a layer overwrites in place what another one's, or its own, gradient reads.

        Caffe's gradients then are those of the overwritten blob, while one graph would give those
        of the blob before.
        """
        writers, roots = {}, {}  # memory: layers that have written it, in order; blob: memory
        for i, layer in enumerate(self.layer_list):
            passes_on = layer.shares_data and self.bottom_ids[i]
            for top in self.top_ids[i]:
                in_place = top in self.bottom_ids[i]
                roots[top] = (
                    roots[self.bottom_ids[i][0]] if passes_on else roots[top] if in_place else top
                )
                if not passes_on:
                    reads = any(self.bottom_needs[i])
                    top_read = layer.reads_top if reads else NOTHING
                    bottom_read = layer.reads_own_bottom if reads and in_place else NOTHING
                    writers.setdefault(roots[top], []).append((layer, top_read, bottom_read))
        for chain in writers.values():
            for position, (_, top_read, bottom_read) in enumerate(chain):
                later = [layer for layer, _, _ in chain[position + 1 :]]
                if bottom_read == VALUES or (top_read == VALUES and later):
                    return True
                if SIGNS in (top_read, bottom_read) and not all(
                    layer.keeps_signs for layer in later
                ):
                    return True
        return False


def _keeping(diffs, blob_id):
    def keep(grad):
        if grad is not None:  # a top of the user's layer that nothing reads has none
            diffs[blob_id] = grad

    return keep


def _handing_over(gradient_ready, param_id):
    def hand_over(leaf):
        grad, leaf.grad = leaf.grad, None
        gradient_ready(param_id, grad.contiguous())

    return hand_over
