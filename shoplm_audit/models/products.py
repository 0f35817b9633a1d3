"""Matrix products of a network by oneDNN, on processors that PyTorch's own choice, MKL, serves with older instructions.

    with quick_products(): network(input_ids=ids)     # the same products to the last bits, 1.2 to 1.4 times as fast

MKL leaves the 512-bit units of AMD's processors idle, oneDNN does not; PyTorch asks oneDNN for float32 only in compiled
code. Which one is asked follows from the processor alone, so that a machine always gives the same bits.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["quick_products"]


def quick_products() -> AbstractContextManager[Any]:
    """Within it linear layers in float32 on the CPU are computed by oneDNN, where that is the quicker of the two."""
    return _mode()() if _suits() else nullcontext()


@cache
def _suits() -> bool:
    import torch

    try:
        vendor = "AuthenticAMD" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    product = hasattr(torch.ops.mkldnn, "_linear_pointwise")
    return vendor and product and "AVX512" in torch.backends.cpu.get_cpu_capability()


@cache
def _mode() -> type[AbstractContextManager[Any]]:
    import torch
    from torch.overrides import TorchFunctionMode

    linear, product = torch.nn.functional.linear, torch.ops.mkldnn._linear_pointwise.default
    plain = (torch.Tensor, torch.nn.Parameter)

    class Products(TorchFunctionMode):
        def __torch_function__(self, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
            if (
                function is linear
                and not named
                and all(
                    of is None or (type(of) in plain and of.dtype == torch.float32 and of.device.type == "cpu")
                    for of in arguments
                )
            ):
                states, weight, *bias = arguments
                return product(states, weight, bias[0] if bias else None, "none", [], "")
            return function(*arguments, **(named or {}))

    return Products
