"""What happens to a NetParameter before its layers are made: state rules, and Split layers.

Caffe: net.cpp, insert_splits.cpp.
"""

from caffe import log, upgrade
from caffe.error import CaffeError
from caffe.proto.caffe_pb2 import NetParameter, NetState, NetStateRule

Top = tuple[int, int]  # number of the layer, number of the top


def meets_rule(state: NetState, rule: NetStateRule, layer_name: str) -> bool:
    """Whether `state` meets `rule`; if not, log why, as Caffe does."""
    where = f"specified by a rule in layer {layer_name}"
    if rule.HasField("phase") and rule.phase != state.phase:
        log.info(
            "net.cpp:296",
            f"The NetState phase ({state.phase}) differed from the phase ({rule.phase}) {where}",
        )
        return False
    if rule.HasField("min_level") and state.level < rule.min_level:
        log.info(
            "net.cpp:306",
            f"The NetState level ({state.level}) is below the min_level ({rule.min_level}) {where}",
        )
        return False
    if rule.HasField("max_level") and state.level > rule.max_level:
        log.info(
            "net.cpp:316",
            f"The NetState level ({state.level}) is above the max_level ({rule.max_level}) {where}",
        )
        return False
    for stage in rule.stage:
        if stage not in state.stage:
            log.info("net.cpp:331", f"The NetState did not contain stage '{stage}' {where}")
            return False
    for stage in rule.not_stage:
        if stage in state.stage:
            log.info("net.cpp:347", f"The NetState contained a not_stage '{stage}' {where}")
            return False
    return True


def filter_net(param: NetParameter, name: str) -> NetParameter:
    """A copy of `param`, upgraded from older forms, with only the layers that its state includes.

    Parameters
    ----------
    param : NetParameter
    name : str
        Where it came from, for errors.

    Raises
    ------
    CaffeError
        A layer has both include and exclude rules.
    """
    whole, out = NetParameter(), NetParameter()
    whole.CopyFrom(param)
    upgrade.upgrade_net(whole, name)
    out.CopyFrom(whole)
    del out.layer[:]
    for layer in whole.layer:
        if layer.include and layer.exclude:
            raise CaffeError(
                f"{name}: layer '{layer.name}' has include and exclude rules; give one kind"
            )
        if layer.include:
            kept = any(meets_rule(param.state, rule, layer.name) for rule in layer.include)
        else:
            kept = not any(meets_rule(param.state, rule, layer.name) for rule in layer.exclude)
        if kept:
            out.layer.add().CopyFrom(layer)
    return out


def insert_splits(param: NetParameter, name: str) -> NetParameter:
    """A copy of `param` in which every blob has one reader, with a Split layer where it had more.

    The loss counts as a reader of a blob with a loss weight.  Splits are named as Caffe names them:
    ``<blob>_<layer>_<top index>_split``, their tops ``..._split_<k>``.

    Parameters
    ----------
    param : NetParameter
    name : str
        Where it came from, for errors.

    Raises
    ------
    CaffeError
        A bottom is the top of no layer before.
    """
    reading = _Reading(param, name)
    out = NetParameter()
    out.CopyFrom(param)
    del out.layer[:]
    taken: dict[Top, int] = {}  # how many tops of its Split have a reader
    for i, layer in enumerate(param.layer):
        copy = out.layer.add()
        copy.CopyFrom(layer)
        for j, blob in enumerate(layer.bottom):
            top = reading.source[i, j]
            if reading.readers[top] > 1:
                split = _split_name(param.layer[top[0]].name, blob, top[1])
                copy.bottom[j] = f"{split}_{taken.get(top, 0)}"
                taken[top] = taken.get(top, 0) + 1
        for j, blob in enumerate(layer.top):
            count = reading.readers.get((i, j), 0)
            weight = reading.loss_weight.get((i, j), 0)
            if count <= 1:
                continue
            split = out.layer.add(
                name=_split_name(layer.name, blob, j), type="Split", bottom=[blob]
            )
            for k in range(count):
                split.top.append(f"{split.name}_{k}")
                if weight:
                    split.loss_weight.append(weight if k == 0 else 0)
            if weight:
                copy.ClearField("loss_weight")
                taken[i, j] = 1  # the first split top is the loss
    return out


class _Reading:
    """Who reads the tops of a net.

    Attributes
    ----------
    source : dict
        {(layer, bottom): the top that it reads}.
    readers : dict
        {top: number of bottoms that read it, and the loss if it is part of it}.
    loss_weight : dict
        {top: its weight}, where a layer gives one.

    Raises
    ------
    CaffeError
        A bottom is the top of no layer before.
    """

    def __init__(self, param: NetParameter, name: str) -> None:
        self.source: dict[tuple[int, int], Top] = {}
        self.readers: dict[Top, int] = {}
        self.loss_weight: dict[Top, float] = {}
        writer: dict[str, Top] = {}  # the top that last wrote a blob
        for i, layer in enumerate(param.layer):
            for j, blob in enumerate(layer.bottom):
                if blob not in writer:
                    raise CaffeError(
                        f"{name}: layer '{layer.name}': bottom {j} is the unknown blob '{blob}'"
                    )
                self.source[i, j] = writer[blob]
                self._count(writer[blob])
            for j, blob in enumerate(layer.top):
                writer[blob] = (i, j)
            for blob, weight in zip(layer.top, layer.loss_weight, strict=False):
                self.loss_weight[writer[blob]] = weight
                if weight:
                    self._count(writer[blob])

    def _count(self, top: Top) -> None:
        self.readers[top] = self.readers.get(top, 0) + 1


def _split_name(layer: str, blob: str, index: int) -> str:
    return f"{blob}_{layer}_{index}_split"
