"""Net: layers wired by blob names, run forward and backward (Caffe: net.cpp).

Two ways through the same layers.  `run_layers`/`run_layers_back` go blob by blob, each layer its own little graph, so
that every blob's data and diff can be read and written in between: pycaffe's way.  `forward_backward` runs all layers as
one autograd graph, channels last on the CPU, without touching NumPy: the solver's way.
"""

import os

import torch

import caffe.layers  # noqa: F401  registers the layer types
from caffe import log, mode, net_parameter, prototxt, snapshot
from caffe.blob import Blob
from caffe.error import CaffeError
from caffe.layer import create
from caffe.proto import caffe_pb2

# types whose gradient does not need their own output, so that an in-place ReLU may destroy it
OUTPUT_NOT_NEEDED = {"Convolution", "Deconvolution", "InnerProduct", "Scale", "Bias", "Eltwise"}


class NetCore:
    """A net built from a NetParameter.

    Parameters
    ----------
    param : NetParameter
        With its state (phase, level, stages) set.
    name : str
        For errors: the file it came from.
    train_net : NetCore, optional
        Not used for building; see `share_trained_layers`.

    Attributes
    ----------
    layers, layer_names, blob_list, blob_names
    bottom_ids, top_ids : list of list of int
        Indices into `blob_list`, per layer.
    learnable : list of Blob
        Parameters, each once however many layers share it, with `lr_mult` and `decay_mult` beside them.
    keep_blobs : bool
        After `forward_backward`, keep every blob's data (True), or the net's outputs only.
    """

    def __init__(self, param, name="net"):
        self.file = name
        self.device = mode.device()
        self.phase = param.state.phase
        param = net_parameter.filter_net(param, name)
        log.info("net.cpp:53", "Initializing net from parameters: \n" + prototxt.to_text(param).rstrip("\n"))
        self.param = net_parameter.insert_splits(param, name)
        self.name = param.name
        self.keep_blobs = True
        self.debug_info = param.debug_info
        self.layers, self.layer_names = [], []
        self.blob_list, self.blob_names = [], []
        self.bottom_ids, self.top_ids = [], []
        self.bottom_needs, self.layer_needs, blob_needs = [], [], []
        self.loss_weights = []
        self.input_ids = []
        self.learnable, self.lr_mult, self.decay_mult = [], [], []
        self.param_ids = []  # per layer, indices into learnable
        self._param_names = {}
        self._graphs = {}
        self._loss_inputs = {}
        self._shapes = []
        available, memory = {}, 0
        for layer_param in self.param.layer:
            memory = self._append_layer(layer_param, available, blob_needs, memory)
        self._prune_backward()
        if self.param.force_backward:
            self._force_backward()
        self.output_ids = [available[n] for n in sorted(available)]
        for blob_name in sorted(available):
            log.info("net.cpp:244", f"This network produces output {blob_name}")
        log.info("net.cpp:257", "Network initialization done.")

    # ------------------------------------------------------------------------------------------------------ building
    def _append_layer(self, param, available, blob_needs, memory):
        if not param.HasField("phase"):
            param.phase = self.phase
        if param.propagate_down and len(param.propagate_down) != len(param.bottom):
            raise CaffeError(f"{self.file}: layer '{param.name}': propagate_down is given once per bottom or not at all")
        log.info("layer_factory.hpp:77", f"Creating layer {param.name}")
        layer = create(param, self.file, self.device)
        log.info("net.cpp:86", f"Creating Layer {param.name}")
        bottoms, needs, need_backward = [], [], False
        for j, blob_name in enumerate(param.bottom):
            if blob_name not in available:
                layer.fail(f"bottom {j} is the unknown blob '{blob_name}'")
            blob_id = available.pop(blob_name)
            log.info("net.cpp:408", f"{param.name} <- {blob_name}")
            bottoms.append(blob_id)
            need_backward |= blob_needs[blob_id]
            needs.append(param.propagate_down[j] if param.propagate_down else blob_needs[blob_id])
        if layer.auto_top_blobs() and len(param.top) < layer.num_top[0]:
            param.top.append(f"(automatic)_{param.name}")
        layer.check_counts(len(param.bottom), len(param.top))
        tops = [self._append_top(layer, param, j, bottoms, available, blob_needs) for j in range(len(param.top))]
        self.layers.append(layer)
        self.layer_names.append(param.name)
        self.bottom_ids.append(bottoms)
        self.top_ids.append(tops)
        shapes = [self.blob_list[i].shape for i in bottoms]
        layer.setup(shapes)
        self._shapes.append(None)
        self._reshape_layer(len(self.layers) - 1)
        for blob_id, value in zip(tops, layer.first_tops(), strict=False):
            self.blob_list[blob_id].put(value)
        log.info("net.cpp:124", f"Setting up {param.name}")
        weights = self._loss_weights(layer, param)
        for blob_id, weight in zip(tops, weights, strict=True):
            blob = self.blob_list[blob_id]
            shape = " ".join([*map(str, blob.shape), f"({blob.count})"])
            log.info("net.cpp:131", f"Top shape: {shape}")
            if weight:
                log.info("net.cpp:134", f"    with loss weight {log.number(weight)}")
                blob.diff_tensor().fill_(weight)
            memory += 4 * blob.count
        log.info("net.cpp:139", f"Memory required for data: {memory}")
        self.loss_weights.append(weights)
        need_backward |= self._append_params(layer, param)
        self.bottom_needs.append(needs)
        self.layer_needs.append(need_backward)
        if need_backward:
            for blob_id in tops:
                blob_needs[blob_id] = True
        return memory

    def _append_top(self, layer, param, index, bottoms, available, blob_needs):
        name = param.top[index]
        if index < len(param.bottom) and name == param.bottom[index]:
            log.info("net.cpp:369", f"{param.name} -> {name} (in-place)")
            blob_id = bottoms[index]
        elif name in self.blob_names:
            layer.fail(f"top blob '{name}' is produced by another layer already")
        else:
            log.info("net.cpp:382", f"{param.name} -> {name}")
            blob_id = len(self.blob_list)
            self.blob_list.append(Blob((), self.device))
            self.blob_names.append(name)
            blob_needs.append(False)
            if param.type == "Input":
                self.input_ids.append(blob_id)
        available[name] = blob_id
        return blob_id

    def _loss_weights(self, layer, param):
        if param.loss_weight and len(param.loss_weight) != len(param.top):
            layer.fail(f"loss_weight is given {len(param.loss_weight)} times for {len(param.top)} tops")
        if not param.loss_weight and layer.is_loss:
            param.loss_weight.extend(layer.default_loss_weight(i) for i in range(len(param.top)))
        return list(param.loss_weight) or [0.0] * len(param.top)

    def _append_params(self, layer, param):
        if len(param.param) > len(layer.blobs):
            layer.fail(f"has {len(layer.blobs)} parameter blob(s), the prototxt gives {len(param.param)} `param` entries")
        ids, need = [], False
        for i, blob in enumerate(layer.blobs):
            spec = param.param[i] if i < len(param.param) else caffe_pb2.ParamSpec()
            need |= spec.lr_mult != 0
            if spec.name and spec.name in self._param_names:
                ids.append(self._share_param(layer, i, blob, spec))
                continue
            ids.append(len(self.learnable))
            self.learnable.append(blob)
            self.lr_mult.append(spec.lr_mult)
            self.decay_mult.append(spec.decay_mult)
            if spec.name:
                self._param_names[spec.name] = (ids[-1], layer.name, spec)
        self.param_ids.append(ids)
        return need

    def _share_param(self, layer, index, blob, spec):
        owner_id, owner_layer, owner_spec = self._param_names[spec.name]
        owner = self.learnable[owner_id]
        permissive = spec.share_mode == caffe_pb2.ParamSpec.PERMISSIVE
        if blob.count != owner.count or (not permissive and blob.shape != owner.shape):
            layer.fail(
                f"shares param '{spec.name}' of layer '{owner_layer}', but blob {index} is {blob.shape}, not {owner.shape}"
            )
        for field, values in (("lr_mult", self.lr_mult), ("decay_mult", self.decay_mult)):
            if spec.HasField(field):
                if owner_spec.HasField(field) and getattr(spec, field) != values[owner_id]:
                    layer.fail(f"shares param '{spec.name}' of layer '{owner_layer}' with another {field}")
                values[owner_id] = getattr(spec, field)
        if blob.shape == owner.shape:
            blob.share_data(owner)
            blob.share_diff(owner)
        else:
            layer.fail(f"shares param '{spec.name}' with another shape ({blob.shape}, {owner.shape}); not supported")
        return owner_id

    def _prune_backward(self):
        """Backward is needed only where a loss is reached and nothing below is switched off (Caffe's rules)."""
        under_loss, skipped = set(), set()
        for i in reversed(range(len(self.layers))):
            names = [self.blob_names[t] for t in self.top_ids[i]]
            contributes = any(w or n in under_loss for w, n in zip(self.loss_weights[i], names, strict=True))
            if self.layer_needs[i] and names and all(n in skipped for n in names):
                self.layer_needs[i] = False
                self.bottom_needs[i] = [False] * len(self.bottom_needs[i])
            if not contributes:
                self.layer_needs[i] = False
            verdict = "needs" if self.layer_needs[i] else "does not need"
            position = "net.cpp:200" if self.layer_needs[i] else "net.cpp:202"
            log.info(position, f"{self.layer_names[i]} {verdict} backward computation.")
            for j, blob_id in enumerate(self.bottom_ids[i]):
                if contributes:
                    under_loss.add(self.blob_names[blob_id])
                else:
                    self.bottom_needs[i][j] = False
                if not self.bottom_needs[i][j]:
                    skipped.add(self.blob_names[blob_id])

    def _force_backward(self):
        for i, layer in enumerate(self.layers):
            self.layer_needs[i] = True
            self.bottom_needs[i] = [n or layer.allow_force_backward(j) for j, n in enumerate(self.bottom_needs[i])]

    # ------------------------------------------------------------------------------------------------------- running
    def _reshape_layer(self, i):
        """Give layer i's tops their shapes if its bottoms' shapes have changed."""
        shapes = [self.blob_list[b].shape for b in self.bottom_ids[i]]
        if self._shapes[i] == shapes:
            return
        layer = self.layers[i]
        for blob_id, shape in zip(self.top_ids[i], layer.reshape(shapes), strict=True):
            self.blob_list[blob_id].reshape(*shape)
        self._shapes[i] = shapes

    def reshape(self):
        """Carry changed input shapes through to all blobs, without computing."""
        for i in range(len(self.layers)):
            self._reshape_layer(i)

    def _layer_params(self, i, gradient):
        tensors = []
        for blob, param_id in zip(self.layers[i].blobs, self.param_ids[i], strict=True):
            wanted = gradient and (self.lr_mult[param_id] != 0 or self.param.force_backward)
            tensors.append(blob.tensor().detach().requires_grad_(wanted))
        return tensors

    def run_layers(self, start, end):
        """Run layers start..end (inclusive), blob by blob; return the weighted loss of these layers (float)."""
        loss = 0.0
        for i in range(start, end + 1):
            layer = self.layers[i]
            self._reshape_layer(i)
            if getattr(layer, "fed_by_user", False):
                continue
            in_place = set(self.bottom_ids[i]) & set(self.top_ids[i])
            needs = self.layer_needs[i]
            inputs = []
            for blob_id, need in zip(self.bottom_ids[i], self.bottom_needs[i], strict=True):
                tensor = self.blob_list[blob_id].tensor().detach()
                if blob_id in in_place:
                    tensor = tensor.clone()
                inputs.append(tensor.requires_grad_(needs and need))
            layer.params = self._layer_params(i, needs)
            layer.overwrites = False
            with torch.set_grad_enabled(needs):
                outputs = layer.forward(*inputs)
            outputs = [outputs] if isinstance(outputs, torch.Tensor) else list(outputs)
            self._graphs[i] = (inputs, layer.params, outputs) if needs else None
            for blob_id, output, weight in zip(self.top_ids[i], outputs, self.loss_weights[i], strict=True):
                self.blob_list[blob_id].put(output.detach())
                if weight:
                    loss += weight * float(output.detach().sum())
            self._shapes_from(i)
            if self.debug_info:
                self._debug_forward(i)
        return loss

    def _shapes_from(self, i):
        # a data layer may give another shape with every batch; its readers look again before they run
        self._shapes[i] = [self.blob_list[b].shape for b in self.bottom_ids[i]]

    def run_layers_back(self, start, end):
        """Run layers start down to end (inclusive) backward from the tops' diffs; parameter diffs accumulate."""
        for i in range(start, end - 1, -1):
            if not self.layer_needs[i] or not (self.bottom_ids[i] or self.layers[i].blobs):
                continue
            if self._graphs.get(i) is None:
                self.run_layers(i, i)
            inputs, params, outputs = self._graphs[i]
            pairs = [
                (o, self.blob_list[t].diff_tensor()) for o, t in zip(outputs, self.top_ids[i], strict=True) if o.requires_grad
            ]
            sources = [t for t in (*inputs, *params) if t.requires_grad]
            if not outputs:  # Silence: whatever the diffs were, they are 0 now
                for blob_id, tensor in zip(self.bottom_ids[i], inputs, strict=True):
                    if tensor.requires_grad:
                        self.blob_list[blob_id].put_diff(torch.zeros_like(tensor))
            if not pairs or not sources:
                continue
            grads = torch.autograd.grad(
                [o for o, _ in pairs],
                sources,
                [d.view(o.shape) for o, d in pairs],
                retain_graph=True,
                allow_unused=True,
            )
            found = {id(t): g for t, g in zip(sources, grads, strict=True)}
            for blob_id, tensor in zip(self.bottom_ids[i], inputs, strict=True):
                if tensor.requires_grad:
                    grad = found[id(tensor)]
                    self.blob_list[blob_id].put_diff(torch.zeros_like(tensor) if grad is None else grad)
            for blob, tensor in zip(self.layers[i].blobs, params, strict=True):
                if tensor.requires_grad and found[id(tensor)] is not None:
                    blob.diff_tensor().add_(found[id(tensor)])
            if self.debug_info:
                self._debug_backward(i)

    def forward_backward(self, backward=True, gradient_ready=None):
        """One pass as a single graph; parameter diffs are added to what is there.

        Parameters
        ----------
        backward : bool
        gradient_ready : callable, optional
            Called as ``gradient_ready(i, gradient)`` for learnable parameter i as soon as its gradient is known; the
            gradients are then not kept as diffs.

        Returns
        -------
        torch.Tensor
            The net's weighted loss (0-d, on the device, not synchronised).
        """
        values, losses, leaves, diffs = {}, [], {}, {}
        self._forget()
        with torch.set_grad_enabled(backward):
            for i, layer in enumerate(self.layers):
                self._reshape_layer(i)
                if getattr(layer, "fed_by_user", False):
                    for blob_id in self.top_ids[i]:
                        values[blob_id] = self._fast_format(self.blob_list[blob_id].tensor().detach())
                    continue
                inputs = [
                    values[b] if need and self.layer_needs[i] else values[b].detach()
                    for b, need in zip(self.bottom_ids[i], self.bottom_needs[i], strict=True)
                ]
                layer.params = self._leaves(i, leaves, backward)
                layer.overwrites = self._may_overwrite(i)
                outputs = layer.forward(*inputs)
                outputs = [outputs] if isinstance(outputs, torch.Tensor) else outputs
                if layer.is_loss and inputs:
                    self._loss_inputs[i] = inputs[0].detach()
                for blob_id, output, weight in zip(self.top_ids[i], outputs, self.loss_weights[i], strict=True):
                    if tuple(output.shape) != self.blob_list[blob_id].shape:
                        self.blob_list[blob_id].reshape(*output.shape)
                    values[blob_id] = output if i and self.bottom_ids[i] else self._fast_format(output)
                    if weight:
                        losses.append(weight * output.sum())
                    if self.keep_blobs and output.requires_grad and blob_id not in self.bottom_ids[i]:
                        output.register_hook(lambda grad, key=blob_id: diffs.__setitem__(key, grad))
            loss = torch.stack(losses).sum() if losses else torch.zeros((), device=self.device)
        for blob_id in range(len(self.blob_list)) if self.keep_blobs else self.output_ids:
            if blob_id in values and blob_id not in self.input_ids:
                self.blob_list[blob_id].put(values[blob_id].detach())
        del values
        if backward and loss.requires_grad:
            if gradient_ready is not None:
                for param_id, leaf in leaves.items():
                    if leaf.requires_grad:
                        leaf.register_post_accumulate_grad_hook(_handing_over(gradient_ready, param_id))
            loss.backward()
            self._collect(leaves)
            for blob_id, diff in diffs.items():
                self.blob_list[blob_id].put_diff(diff)
        return loss.detach()

    def _fast_format(self, tensor):
        if tensor.dim() == 4 and self.device.type == "cpu" and tensor.shape[1] > 1:
            return tensor.contiguous(memory_format=torch.channels_last)
        return tensor.contiguous()

    def output_variances(self):
        """[(loss layer, variance)] of the last `forward_backward`: of what goes into each loss, over the batch's images.

        The scores are taken as the loss takes them: through a sigmoid or a softmax where it has one.  The variance over the
        first axis is averaged over the rest.
        """
        found = []
        for i, scores in self._loss_inputs.items():
            if scores.dim() < 2 or len(scores) < 2:
                continue
            if self.layers[i].type == "SigmoidCrossEntropyLoss":
                scores = torch.sigmoid(scores)
            elif self.layers[i].type == "SoftmaxWithLoss":
                scores = torch.softmax(scores, 1)
            found.append((self.layer_names[i], float(scores.var(dim=0, unbiased=False).mean())))
        return found

    def _forget(self):
        """Let go of the blobs of the last pass before the next one fills the memory anew."""
        fed = {
            t for layer, tops in zip(self.layers, self.top_ids, strict=True) if getattr(layer, "fed_by_user", False) for t in tops
        }
        for i, blob in enumerate(self.blob_list):
            if i not in fed and not blob._data.persistent:
                blob._data.value = None

    def _leaves(self, i, leaves, backward):
        """The parameters of layer i as leaves of the graph, one leaf for shared ones; frozen ones want no gradient."""
        tensors = []
        for blob, param_id in zip(self.layers[i].blobs, self.param_ids[i], strict=True):
            if param_id not in leaves:
                wanted = backward and self.layer_needs[i] and self.lr_mult[param_id] != 0
                leaves[param_id] = blob.tensor().detach().requires_grad_(wanted)
            tensors.append(leaves[param_id])
        return tensors

    def _may_overwrite(self, i):
        layer = self.layers[i]
        if not layer.can_overwrite or self.bottom_ids[i] != self.top_ids[i]:
            return False
        before = [k for k in range(i) if self.bottom_ids[i][0] in self.top_ids[k]]
        return bool(before) and self.layers[before[-1]].type in OUTPUT_NOT_NEEDED

    def _collect(self, leaves):
        for param_id, leaf in leaves.items():
            if leaf.grad is None:
                continue
            memory = self.learnable[param_id]._diff
            if memory.value is None:
                memory.put(leaf.grad.contiguous())
            else:
                memory.tensor().add_(leaf.grad)

    def clear_param_diffs(self):
        """Set the diffs of all parameters to zero."""
        for blob in self.learnable:
            if blob._diff.persistent:
                blob.diff_tensor().zero_()
            else:
                blob._diff.value = None

    # -------------------------------------------------------------------------------------------------------- weights
    def share_trained_layers(self, other):
        """Use `other`'s parameters, by layer name (the test nets of a solver)."""
        theirs = dict(zip(other.layer_names, other.layers, strict=True))
        for layer in self.layers:
            if layer.name not in theirs:
                continue
            source = theirs[layer.name].blobs
            if len(source) != len(layer.blobs):
                layer.fail(f"has {len(layer.blobs)} blobs here and {len(source)} in the net it shares parameters with")
            for i, (mine, blob) in enumerate(zip(layer.blobs, source, strict=True)):
                if mine.shape != blob.shape:
                    layer.fail(f"blob {i} is {mine.shape} here and {blob.shape} in the net it shares parameters with")
                mine.share_data(blob)

    def copy_trained_layers(self, path):
        """Copy weights from a file, by layer name; layers that only one side has are left alone, as in Caffe.

        A blob that the file's layer lacks must be one that this net shares with an earlier layer.  Of several layers with the
        same name, the file's first one goes to the net's first one, and so on.

        Parameters
        ----------
        path : str
            A .caffemodel or .caffemodel.h5, whatever it is called.

        Raises
        ------
        CaffeError
            Naming file, layer, blob and both shapes where they do not fit; the net is then unchanged.
        """
        path = os.fspath(path)
        waiting, copies = {}, []
        for i, name in enumerate(self.layer_names):
            waiting.setdefault(name, []).append(i)
        owned = self._owned()
        for name, blobs in snapshot.read_layers(path):
            if name not in waiting:
                log.info("net.cpp:742", f"Ignoring source layer {name}")
                continue
            i = waiting[name].pop(0) if len(waiting[name]) > 1 else waiting[name][0]
            targets = self.layers[i].blobs
            if any(k not in blobs and own for k, own in enumerate(owned[i])) or any(k >= len(targets) for k in blobs):
                raise CaffeError(f"{path}: layer '{name}' has {len(blobs)} blob(s), the net expects {len(targets)}")
            for k, source in sorted(blobs.items()):
                if not _same_shape(source, targets[k].shape):
                    raise CaffeError(
                        f"{path}: layer '{name}', blob {k} has the shape {source.shape}, the net expects {targets[k].shape}; to"
                        " learn this layer from scratch, give it another name in the prototxt"
                    )
                copies.append((targets[k], source))
        for target, source in copies:
            target.tensor().copy_(torch.from_numpy(source.array().reshape(target.shape).copy()))

    def _owned(self):
        """Per layer and blob, whether the blob is the layer's own; otherwise an earlier layer shares it."""
        seen, owned = set(), []
        for ids in self.param_ids:
            owned.append([not (param_id in seen or seen.add(param_id)) for param_id in ids])
        return owned

    def layer_blobs(self):
        return [layer.blobs for layer in self.layers]

    def write_caffemodel(self, path, with_diff=False):
        """Write the weights as a .caffemodel: all layers with their settings, parameters with theirs."""
        snapshot.write_caffemodel(os.fspath(path), self.param, self.layer_blobs(), with_diff)

    def write_caffemodel_h5(self, path, with_diff=False):
        """Write the weights as HDF5 in Caffe's layout; blobs that layers share are written once."""
        snapshot.write_caffemodel_h5(os.fspath(path), self.layer_names, self.layer_blobs(), self._owned(), with_diff)

    def close(self):
        """Stop the threads of the data layers."""
        for layer in self.layers:
            if hasattr(layer, "close"):
                layer.close()

    # ---------------------------------------------------------------------------------------------------- debug_info
    def _debug_forward(self, i):
        for t in self.top_ids[i]:
            value = log.number(_mean_abs(self.blob_list[t].tensor()))
            log.info("net.cpp:593", f"    [Forward] Layer {self.layer_names[i]}, top blob {self.blob_names[t]} data: {value}")
        for k, blob in enumerate(self.layers[i].blobs):
            value = log.number(_mean_abs(blob.tensor()))
            log.info("net.cpp:605", f"    [Forward] Layer {self.layer_names[i]}, param blob {k} data: {value}")

    def _debug_backward(self, i):
        for b, need in zip(self.bottom_ids[i], self.bottom_needs[i], strict=True):
            if need:
                value = log.number(_mean_abs(self.blob_list[b].diff_tensor()))
                name = self.blob_names[b]
                log.info("net.cpp:621", f"    [Backward] Layer {self.layer_names[i]}, bottom blob {name} diff: {value}")
        for k, (blob, p) in enumerate(zip(self.layers[i].blobs, self.param_ids[i], strict=True)):
            if self.lr_mult[p]:
                value = log.number(_mean_abs(blob.diff_tensor()))
                log.info("net.cpp:632", f"    [Backward] Layer {self.layer_names[i]}, param blob {k} diff: {value}")

    def debug_all(self):
        """The line with the L1 and L2 norms of all parameters and their diffs."""
        data = [b.tensor() for b in self.learnable]
        diff = [b.diff_tensor() for b in self.learnable]
        l1 = [log.number(sum(float(t.abs().sum()) for t in ts)) for ts in (data, diff)]
        l2 = [log.number(sum(float(t.square().sum()) for t in ts) ** 0.5) for ts in (data, diff)]
        norms = f"L1 norm = ({l1[0]}, {l1[1]}); L2 norm = ({l2[0]}, {l2[1]})"
        log.error("net.cpp:721", f"    [Backward] All net params (data, diff): {norms}")


def _handing_over(gradient_ready, param_id):
    def hand_over(leaf):
        grad, leaf.grad = leaf.grad, None
        gradient_ready(param_id, grad.contiguous())

    return hand_over


def _mean_abs(tensor):
    return float(tensor.abs().mean()) if tensor.numel() else 0.0


def _same_shape(source, shape):
    """Caffe's rule: equal shapes; an old blob's four axes may have leading ones more."""
    if not source.legacy:
        return source.shape == tuple(shape)
    return len(shape) <= 4 and source.shape == (1,) * (4 - len(shape)) + tuple(shape)
