"""One layer type a file; importing this package registers them all."""

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")


def __getattr__(name):
    """`from caffe import layers as L`: L.<Type>(...) makes a layer of a net written in Python (see
    caffe/net_spec.py).
    """
    if name[:1].isupper():
        from caffe.net_spec import layer_function

        return layer_function(name)
    raise AttributeError(f"module 'caffe.layers' has no attribute '{name}'")
