"""One layer type per file, named after it; importing this package registers them all."""

import importlib
import pkgutil
from collections import abc

from caffe import net_spec

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")


def __getattr__(name: str) -> abc.Callable[..., net_spec.Top]:
    """`from caffe import layers as L`: L.<Type>(...) makes a layer (see caffe/net_spec.py)."""
    if name[:1].isupper():
        return net_spec.layer_function(name)
    raise AttributeError(f"module 'caffe.layers' has no attribute '{name}'")
