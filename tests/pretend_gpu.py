"""A GPU that is not there: tensors that say they are on one, and refuse what tensors on one refuse.

They are computed on the CPU. An operator that mixes them with tensors of the CPU raises, as does one that makes numpy
arrays of them, unless the CPU's is a number without dimensions, or an index.
"""

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

GPU = torch.device("cuda", 0)
INDEXED = (Tensor.__getitem__, Tensor.__setitem__)


class OnGpu(Tensor):
    """A tensor that is taken to be on the GPU."""


class PretendGpu(TorchFunctionMode):
    """Within this context tensors can be moved to a GPU by `.to("cuda")`, or made there by `device="cuda"`."""

    def __init__(self):
        super().__init__()
        self.operations = 0
        """How many there were on the GPU."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        with torch._C.DisableTorchFunctionSubclass():
            if func == Tensor.device.__get__:
                return GPU if isinstance(args[0], OnGpu) else func(*args)
            if func is Tensor.cpu:
                return _plain(args[0])
            if func is Tensor.numpy and kwargs.get("force"):
                return _plain(args[0]).numpy(force=True)
            if func in (Tensor.numpy, Tensor.__array__) and isinstance(args[0], OnGpu):
                raise TypeError("can't convert cuda:0 device type tensor to numpy")
            there = _moved_to(func, args, kwargs)
            if there is None:
                there = _place(func, args, kwargs)
            else:
                args = tuple(_plain(each) for each in args if not isinstance(each, str | torch.device))
                kwargs = {name: _plain(each) for name, each in kwargs.items() if name != "device"}
            found = func(*args, **kwargs)
            self.operations += there
            return _tagged(found) if there else found


def _moved_to(func, args, kwargs) -> bool | None:
    """Whether the result is asked for on the GPU; None: nothing is asked for."""
    asked = kwargs.get("device")
    if func is Tensor.to:
        asked = next((each for each in args[1:] if isinstance(each, str | torch.device | Tensor)), asked)
        if isinstance(asked, Tensor):
            return isinstance(asked, OnGpu)
    return None if asked is None else torch.device(asked).type == "cuda"


def _place(func, args, kwargs) -> bool:
    """Whether the arguments are on the GPU; they must be in one place."""
    if func in INDEXED:
        if isinstance(args[0], OnGpu):
            args = (args[0], *args[2:])  # whose index may be on the CPU
        elif any(isinstance(each, OnGpu) for each in _tensors(args[1])):
            raise RuntimeError(f"{func.__name__}: an index on cuda:0 into a tensor on cpu")
    tensors = list(_tensors((args, kwargs)))
    there = [each for each in tensors if isinstance(each, OnGpu)]
    here = [each for each in tensors if not isinstance(each, OnGpu) and each.ndim > 0]
    if there and here:
        name = getattr(func, "__name__", func)
        raise RuntimeError(f"{name}: expected all tensors to be on the same device, but found cuda:0 and cpu")
    return bool(there)


def _tensors(value: Any):
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _tensors(each)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))


def _plain(value: Any) -> Any:
    return value.as_subclass(Tensor) if isinstance(value, OnGpu) else value


def _tagged(value: Any) -> Any:
    """The tensors of a result, on the GPU."""
    if isinstance(value, Tensor):
        return value if isinstance(value, OnGpu) else value.as_subclass(OnGpu)
    if type(value) in (list, tuple) or hasattr(value, "n_fields"):  # what torch.sort returns, but no torch.Size
        return type(value)([_tagged(each) for each in value])
    return value
