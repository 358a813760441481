"""Net: layers wired by blob names, their parameters and their weights (Caffe: net.cpp); passes.py
runs them.
"""

import os

import torch

import caffe.layers  # noqa: F401  registers the layer types
from caffe import allocation, log, mode, net_parameter, prototxt, snapshot
from caffe.blob import Blob
from caffe.error import CaffeError
from caffe.layer import create
from caffe.passes import Passes
from caffe.proto import caffe_pb2

AUTOMATIC = "(automatic)"  # the name of a loss's top that the prototxt does not name


class NetCore(Passes):
    """A net built from a NetParameter.

    Parameters
    ----------
    param : NetParameter
        With its state (phase, level, stages) set.
    name : str
        For errors: the file it came from.

    Attributes
    ----------
    layer_list, layer_names, blob_list, blob_names
    bottom_ids, top_ids : list of list of int
        Indices into `blob_list`, per layer.
    learnable : list of Blob
        Parameters, each once however many layers share it, with `lr_mult` and `decay_mult` beside
        them.
    layer_needs, bottom_needs, param_needs
        Per layer: whether backward runs through it, and whether it then computes each bottom's and
        parameter's gradient.
    keep_blobs : bool
        After `forward_backward`, keep every blob's data (True), or the net's outputs only.
    callbacks : dict
        {"before_forward", "after_forward", "before_backward", "after_backward": list of functions
        of the layer's index}.
    overwrites_needed : bool
        A layer overwrites in place what a gradient reads.
    """

    def __init__(self, param, name="net"):
        self.file = name
        self.device = mode.device()
        self.phase = param.state.phase
        param = net_parameter.filter_net(param, name)
        log.info(
            "net.cpp:53",
            "Initializing net from parameters: \n" + prototxt.to_text(param).rstrip("\n"),
        )
        self.param = net_parameter.insert_splits(param, name)
        self.name = param.name
        self.keep_blobs = True
        self.debug_info = param.debug_info
        self.layer_list, self.layer_names = [], []
        self.blob_list, self.blob_names = [], []
        self.bottom_ids, self.top_ids = [], []
        self.bottom_needs, self.layer_needs, blob_needs = [], [], []
        self.loss_weights = []
        self.input_ids = []
        self.learnable, self.lr_mult, self.decay_mult = [], [], []
        self.param_ids, self.param_needs = (
            [],
            [],
        )  # per layer, indices into learnable, and whether they want a gradient
        self.callbacks = {
            f"{when}_{way}": [] for way in ("forward", "backward") for when in ("before", "after")
        }
        self._param_names = {}
        self._loss_inputs = {}
        self._numbers = 0  # in all blobs so far
        self._shapes = []
        available, required = {}, 0
        for layer_param in self.param.layer:
            required = self._append_layer(layer_param, available, blob_needs, required)
        self._prune_backward()
        if self.param.force_backward:
            self._force_backward()
        self.overwrites_needed = self._overwrites_needed()
        self.output_ids = [available[n] for n in sorted(available)]
        for blob_name in sorted(available):
            log.info("net.cpp:244", f"This network produces output {blob_name}")
        log.info("net.cpp:257", "Network initialization done.")

    # ------------------------------------------------------------------------------------------------------ building
    def _append_layer(self, given, available, blob_needs, required):
        if not given.HasField("phase"):
            given.phase = self.phase
        if given.propagate_down and len(given.propagate_down) != len(given.bottom):
            raise CaffeError(
                f"{self.file}: layer '{given.name}': propagate_down is given once per bottom or not at all"
            )
        param = caffe_pb2.LayerParameter()
        param.CopyFrom(given)
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
        missing = layer.num_top[0] - len(param.top) if layer.auto_top_blobs() else 0
        param.top.extend([AUTOMATIC] * missing)
        layer.check_counts(len(param.bottom), len(param.top))
        tops = [
            self._append_top(layer, param, j, bottoms, available, blob_needs)
            for j in range(len(param.top))
        ]
        self.layer_list.append(layer)
        self.layer_names.append(param.name)
        self.bottom_ids.append(bottoms)
        self.top_ids.append(tops)
        self.loss_weights.append([0.0] * len(tops))
        self._shapes.append(None)
        with self._enough_memory(len(self.layer_list) - 1):
            self._set_up(layer, bottoms, tops)
        log.info("net.cpp:124", f"Setting up {param.name}")
        weights = self.loss_weights[-1] = self._loss_weights(layer, param)
        for blob_id, weight in zip(tops, weights, strict=True):
            blob = self.blob_list[blob_id]
            shape = " ".join([*map(str, blob.shape), f"({blob.count})"])
            log.info("net.cpp:131", f"Top shape: {shape}")
            if weight:
                log.info("net.cpp:134", f"    with loss weight {log.number(weight)}")
                blob.diff_tensor().fill_(weight)
            required += 4 * blob.count
        log.info("net.cpp:139", f"Memory required for data: {required}")
        need_backward |= self._append_params(layer, param, len(given.param))
        given.CopyFrom(
            param
        )  # what the layer has filled in is saved with the weights; a made-up top is not
        del given.top[len(given.top) - missing :]
        self.bottom_needs.append(needs)
        self.layer_needs.append(need_backward)
        if need_backward:
            for blob_id in tops:
                blob_needs[blob_id] = True
        return required

    def _set_up(self, layer, bottoms, tops):
        """Let the layer make its parameters and give its tops their shapes."""
        if layer.calls_user:
            layer.connect([self.blob_list[i] for i in bottoms], [self.blob_list[i] for i in tops])
        layer.setup([self.blob_list[i].shape for i in bottoms])
        self._reshape_layer(len(self.layer_list) - 1)
        if not layer.shares_data:
            self._numbers += sum(self.blob_list[i].count for i in tops if i not in bottoms)
            what = f"layer '{layer.name}' ({layer.type}): the net's data up to this layer"
            if self._numbers > layer.LARGE:
                allocation.check(what, self._numbers, self.device, layer.size_fields)
        for blob_id, value in zip(tops, layer.first_tops(), strict=False):
            self.blob_list[blob_id].put(value)

    def _append_top(self, layer, param, index, bottoms, available, blob_needs):
        name = param.top[index]
        if index < len(param.bottom) and name == param.bottom[index]:
            log.info("net.cpp:369", f"{param.name} -> {name} (in-place)")
            blob_id = bottoms[index]
        elif name in self.blob_names and name != AUTOMATIC:
            layer.fail(f"top blob '{name}' is produced by another layer already")
        else:
            log.info("net.cpp:382", f"{param.name} -> {name}")
            blob_id = len(self.blob_list)
            self.blob_list.append(Blob((), self.device))
            self.blob_names.append(name)
            blob_needs.append(False)
            if param.type == "Input":
                self.input_ids.append(blob_id)
        if name != AUTOMATIC:
            available[name] = blob_id
        return blob_id

    def _loss_weights(self, layer, param):
        if param.loss_weight and len(param.loss_weight) != len(param.top):
            layer.fail(
                f"loss_weight is given {len(param.loss_weight)} times for {len(param.top)} tops"
            )
        if not param.loss_weight and layer.is_loss:
            param.loss_weight.extend(layer.default_loss_weight(i) for i in range(len(param.top)))
        return list(param.loss_weight) or [0.0] * len(param.top)

    def _append_params(self, layer, param, given):
        """Register the layer's parameters; whether one of them is learnt, by the first `given`
        entries of `param`.
        """
        if len(param.param) > len(layer.blobs):
            layer.fail(
                f"has {len(layer.blobs)} parameter blob(s), the prototxt gives {len(param.param)} `param` entries"
            )
        ids, need, needs = [], False, []
        for i, blob in enumerate(layer.blobs):
            spec = param.param[i] if i < len(param.param) else caffe_pb2.ParamSpec()
            needs.append(spec.lr_mult != 0)
            need |= (
                needs[-1] or i >= given
            )  # as in Caffe, entries that a BatchNorm has added itself do not count here
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
        self.param_needs.append(needs)
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
                    layer.fail(
                        f"shares param '{spec.name}' of layer '{owner_layer}' with another {field}"
                    )
                values[owner_id] = getattr(spec, field)
        blob.share_data(owner)
        blob.share_diff(owner)
        return owner_id

    def _prune_backward(self):
        """Backward is needed only where a loss is reached and nothing below is switched off
        (Caffe's rules).
        """
        under_loss, skipped = set(), set()
        for i in reversed(range(len(self.layer_list))):
            names = [self.blob_names[t] for t in self.top_ids[i]]
            contributes = any(
                w or n in under_loss for w, n in zip(self.loss_weights[i], names, strict=True)
            )
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
        for i, layer in enumerate(self.layer_list):
            self.layer_needs[i] = True
            self.bottom_needs[i] = [
                n or layer.allow_force_backward(j) for j, n in enumerate(self.bottom_needs[i])
            ]
            self.param_needs[i] = [True] * len(self.param_needs[i])

    # -------------------------------------------------------------------------------------------------------- looking
    @property
    def layers(self):
        """The layers, in order."""
        return self.layer_list

    def output_variances(self):
        """[(loss layer, variance)] of the last `forward_backward`: of what goes into each loss,
        over the batch's images.

        The scores are taken as the loss takes them: through a sigmoid or a softmax where it has
        one.  The variance over the first axis is averaged over the rest.
        """
        found = []
        for i, scores in self._loss_inputs.items():
            if scores.dim() < 2 or len(scores) < 2:
                continue
            if self.layer_list[i].type == "SigmoidCrossEntropyLoss":
                scores = torch.sigmoid(scores)
            elif self.layer_list[i].type == "SoftmaxWithLoss":
                scores = torch.softmax(scores, 1)
            found.append((self.layer_names[i], float(scores.var(dim=0, unbiased=False).mean())))
        return found

    def clear_param_diffs(self):
        """Set the diffs of all parameters to zero."""
        for blob in self.learnable:
            blob.clear_diff()

    # -------------------------------------------------------------------------------------------------------- weights
    def share_trained_layers(self, other):
        """Use `other`'s parameters, by layer name (the test nets of a solver)."""
        theirs = dict(zip(other.layer_names, other.layer_list, strict=True))
        for layer in self.layer_list:
            if layer.name not in theirs:
                continue
            source = theirs[layer.name].blobs
            if len(source) != len(layer.blobs):
                layer.fail(
                    f"has {len(layer.blobs)} blobs here and {len(source)} in the net it shares parameters with"
                )
            for i, (mine, blob) in enumerate(zip(layer.blobs, source, strict=True)):
                if mine.shape != blob.shape:
                    layer.fail(
                        f"blob {i} is {mine.shape} here and {blob.shape} in the net it shares parameters with"
                    )
                mine.share_data(blob)

    def copy_trained_layers(self, path):
        """Copy weights from a file, by layer name; layers that only one side has are left alone, as
        in Caffe.

        A blob that the file's layer lacks must be one that this net shares with an earlier layer.
        Of several layers with the same name, the file's first one goes to the net's first one, and
        so on.

        Parameters
        ----------
        path : str
            A .caffemodel or .caffemodel.h5, whatever it is called.

        Raises
        ------
        CaffeError
            Naming file, layer, blob and both shapes where they do not fit; the net is then
            unchanged.
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
            if any(k not in blobs and own for k, own in enumerate(owned[i])) or any(
                k >= len(targets) for k in blobs
            ):
                raise CaffeError(
                    f"{path}: layer '{name}' has {len(blobs)} blob(s), the net expects {len(targets)}"
                )
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
        """Per layer and blob, whether the blob is the layer's own; otherwise an earlier layer
        shares it.
        """
        seen, owned = set(), []
        for ids in self.param_ids:
            owned.append([not (param_id in seen or seen.add(param_id)) for param_id in ids])
        return owned

    def layer_blobs(self):
        return [layer.blobs for layer in self.layers]

    def write_caffemodel(self, path, with_diff=False):
        """Write the weights as a .caffemodel: all layers with their settings, parameters with
        theirs.
        """
        snapshot.write_caffemodel(os.fspath(path), self.param, self.layer_blobs(), with_diff)

    def write_caffemodel_h5(self, path, with_diff=False):
        """Write the weights as HDF5 in Caffe's layout; blobs that layers share are written once."""
        snapshot.write_caffemodel_h5(
            os.fspath(path), self.layer_names, self.layer_blobs(), self._owned(), with_diff
        )

    def close(self):
        """Stop the threads of the data layers."""
        for layer in self.layer_list:
            if hasattr(layer, "close"):
                layer.close()

    # ---------------------------------------------------------------------------------------------------- debug_info
    def _debug_forward(self, i):
        for t in self.top_ids[i]:
            value = log.number(_mean_abs(self.blob_list[t].tensor()))
            log.info(
                "net.cpp:593",
                f"    [Forward] Layer {self.layer_names[i]}, top blob {self.blob_names[t]} data: {value}",
            )
        for k, blob in enumerate(self.layer_list[i].blobs):
            value = log.number(_mean_abs(blob.tensor()))
            log.info(
                "net.cpp:605",
                f"    [Forward] Layer {self.layer_names[i]}, param blob {k} data: {value}",
            )

    def _debug_backward(self, i):
        for b, need in zip(self.bottom_ids[i], self.bottom_needs[i], strict=True):
            if need:
                value = log.number(_mean_abs(self.blob_list[b].diff_tensor()))
                name = self.blob_names[b]
                log.info(
                    "net.cpp:621",
                    f"    [Backward] Layer {self.layer_names[i]}, bottom blob {name} diff: {value}",
                )
        for k, (blob, need) in enumerate(
            zip(self.layer_list[i].blobs, self.param_needs[i], strict=True)
        ):
            if need:
                value = log.number(_mean_abs(blob.diff_tensor()))
                log.info(
                    "net.cpp:632",
                    f"    [Backward] Layer {self.layer_names[i]}, param blob {k} diff: {value}",
                )

    def debug_all(self):
        """The line with the L1 and L2 norms of all parameters and their diffs."""
        data = [b.tensor() for b in self.learnable]
        diff = [b.diff_tensor() for b in self.learnable]
        l1 = [log.number(sum(float(t.abs().sum()) for t in ts)) for ts in (data, diff)]
        l2 = [log.number(sum(float(t.square().sum()) for t in ts) ** 0.5) for ts in (data, diff)]
        norms = f"L1 norm = ({l1[0]}, {l1[1]}); L2 norm = ({l2[0]}, {l2[1]})"
        log.error("net.cpp:721", f"    [Backward] All net params (data, diff): {norms}")


def _mean_abs(tensor):
    return float(tensor.abs().mean()) if tensor.numel() else 0.0


def _same_shape(source, shape):
    """Caffe's rule: equal shapes; an old blob's four axes may have leading ones more."""
    if not source.legacy:
        return source.shape == tuple(shape)
    return len(shape) <= 4 and source.shape == (1,) * (4 - len(shape)) + tuple(shape)
