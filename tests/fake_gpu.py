"""A GPU that knows shapes, types and devices but no numbers, on a machine that has none.

What lies on the CPU is computed as ever. Within `strict`, everything fails that would make a
program wait for a GPU: reading a number from it, copying to or from memory that can be paged, and
indexing by what lies on the CPU. Backward passes are left out: gradients are just there.
"""

from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._pytree import tree_leaves

CUDA = torch.device("cuda:0")


class WaitsError(Exception):
    """A step would wait for the GPU."""


class FakeGpu(FakeTensorMode):
    """While it is entered, tensors on `cuda` are fake."""

    strict = False

    def __init__(self):
        super().__init__(allow_non_fake_inputs=True)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        given = tree_leaves((args, kwargs))
        fake = [leaf for leaf in given if isinstance(leaf, FakeTensor)]
        to = (kwargs or {}).get("device")
        if not fake and (to is None or torch.device(to).type != "cuda"):
            return func(*args, **(kwargs or {}))
        name = func.__name__
        on_cpu = [leaf for leaf in given if isinstance(leaf, Tensor) and leaf.device.type == "cpu"]
        copied = bool(on_cpu) if to == CUDA else bool(fake) and str(to) == "cpu"
        blocks = str(to) == "cpu" or not (kwargs or {}).get("non_blocking")
        if self.strict and copied and blocks and name.startswith("_to_copy"):
            raise WaitsError(f"{name} to {to}")
        if self.strict and name.startswith("index") and any(leaf.ndim for leaf in on_cpu):
            raise WaitsError(f"{name} by a tensor on the CPU")
        out = super().__torch_dispatch__(func, types, args, kwargs)
        if str(to) == "cpu" and isinstance(out, FakeTensor):  # nobody knows what it holds
            return torch.zeros(out.shape, dtype=out.dtype)
        return out

    @contextmanager
    def watched(self):
        """Be strict."""
        self.strict = True
        try:
            yield
        finally:
            self.strict = False


def give_gradients(loss: Tensor) -> None:
    """Do what `loss.backward()` does, but that every gradient is 0."""
    waiting, seen = [loss.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            node.variable.grad = torch.zeros_like(node.variable.detach())
        waiting += [after for after, _ in node.next_functions]


def copied(tensor: Tensor, memo: dict) -> Tensor:
    """Do as copy.deepcopy."""
    copy = tensor.detach().clone()
    copy = nn.Parameter(copy, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else copy
    memo[id(tensor)] = copy
    return copy


def move(self: nn.Module, change, recurse: bool = True) -> nn.Module:
    """Do as nn.Module._apply, which cannot swap a tensor for a fake one."""
    for module in self.modules():
        for name, weight in module._parameters.items():
            if weight is not None:
                changed = nn.Parameter(change(weight.detach()), weight.requires_grad)
                module._parameters[name] = changed
        for name, buffer in module._buffers.items():
            module._buffers[name] = None if buffer is None else change(buffer)
    return self


@contextmanager
def fake_gpu(monkeypatch):
    """Let there be a fake GPU."""
    with monkeypatch.context() as patch:
        patch.setattr(nn.Module, "_apply", move)
        patch.setattr(Tensor, "backward", give_gradients)
        patch.setattr(Tensor, "pin_memory", lambda tensor: tensor)
        patch.setattr(FakeTensor, "__deepcopy__", copied, raising=False)
        patch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
        patch.setattr(torch.cuda, "is_bf16_supported", lambda *_, **__: True)
        with FakeGpu() as gpu:
            yield gpu
