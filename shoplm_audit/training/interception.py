"""The forward pass of a model as ever, but its trainable weights get no gradient: what would make it is handed out.

    with Interception(parameters, rows=8, shared=set(), receive=book):
        losses = model(**inputs)...          # (B,)
    losses.sum().backward()                  # book(Key(parameter), gradient (B, T, D), [Product(parameter, ...), ...])

Every operation that meets a trainable parameter is told from others by the identity of that parameter, whatever module
it stands in: `linear`, `addmm` (Conv1D), `embedding`, `layer_norm`, `rms_norm` and a product with a vector. Any other
operation leaves an ordinary gradient in `parameter.grad`, by which it is found and refused.

B rows, T positions of one row, D features, H heads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional
from torch.overrides import TorchFunctionMode

__all__ = ["Interception", "Key", "Lookup", "Part", "Product", "Vector"]


class Key(NamedTuple):
    """What an operation can be known by in a later forward pass: where the rows of its output are does not change.

    Args:
        parameter: `id` of the parameter.
        dimensions: of its input.
        single: whether the first of them is 1.
        lookup: whether the input are numbers of rows of an embedding.
        shared: whether it was looked up once for all rows.
    """

    parameter: int
    dimensions: int
    single: bool
    lookup: bool
    shared: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Product:
    """A gradient that is `left`^T `right`, of (..., R) and (..., C): a linear map's."""

    parameter: Tensor
    left: Tensor
    right: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Lookup:
    """A gradient whose rows `ids` (...) are the sums of `values` (..., C): an embedding's."""

    parameter: Tensor
    ids: Tensor
    values: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Vector:
    """A gradient that is the sum of `values` (..., D) over positions: a bias's, a norm's."""

    parameter: Tensor
    values: Tensor


Part = Product | Lookup | Vector
Receive = Callable[[Key, Tensor, Sequence[Part]], None]


class Interception(TorchFunctionMode):
    """While it is entered, operations on trainable parameters are replaced by those below.

    Args:
        parameters: those that are trained.
        biases: modules that make a table of relative positions, as T5's attention does: (1, H, T, T) for all rows.
        rows: B; 0 where all rows belong to one unit, and nothing needs to be told apart.
        shared: lookups that are known to be one for all rows also where they have B of something.
        receive: called in the backward pass with the gradient of each operation's output and the parts it makes.
    """

    def __init__(
        self,
        parameters: frozenset[Tensor],
        biases: Sequence[Any],
        rows: int,
        shared: frozenset[Key],
        receive: Receive,
    ) -> None:
        super().__init__()
        self.receive = receive
        self.keys: set[Key] = set()
        self._parameters, self._biases, self._rows, self._shared = parameters, biases if rows else (), rows, shared
        self._relative: dict[Tensor, Tensor] = {}  # the numbers that a table of relative positions looked up
        self._cast: dict[Tensor, Tensor] = {}
        self._known: dict[Any, Callable[..., Tensor | None]] = {
            functional.linear: self._linear,
            torch.addmm: self._addmm,
            functional.embedding: self._embedding,
            functional.layer_norm: self._layer_norm,
            functional.rms_norm: self._rms_norm,
            **dict.fromkeys((torch.mul, Tensor.mul, Tensor.__mul__, Tensor.__rmul__), self._scale),
        }

    def __enter__(self) -> Interception:
        for part in self._biases:
            part.compute_bias = self._relative_bias(part)
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *fault: Any) -> None:
        super().__exit__(*fault)  # type: ignore[no-untyped-call]
        for part in self._biases:
            del part.compute_bias  # the class's own is found again
        self._cast.clear()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        replaced = self._known.get(func)
        kwargs = dict(kwargs or {})
        if replaced is not None and torch.is_grad_enabled():
            if "input" in kwargs:  # the first argument of all of them
                args = (kwargs.pop("input"), *args)
            output = replaced(*args, **kwargs)
            if output is not None:
                return output
        return func(*args, **kwargs)

    def _key(self, parameter: Tensor, given: Tensor) -> Key:
        key = Key(id(parameter), given.dim(), given.shape[0] == 1, False)
        self.keys.add(key)
        return key

    def _trained(self, *tensors: Tensor | None) -> list[Tensor]:
        return [tensor for tensor in tensors if tensor is not None and tensor in self._parameters]

    def _linear(self, given: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor | None:
        return self._affine(given, weight, bias, turned=False)

    def _addmm(self, bias: Tensor, given: Tensor, weight: Tensor, **scales: Any) -> Tensor | None:
        return None if scales or bias.dim() != 1 else self._affine(given, weight, bias, turned=True)

    def _affine(self, given: Tensor, weight: Tensor, bias: Tensor | None, turned: bool) -> Tensor | None:
        trained = self._trained(weight, bias)
        if not trained:
            return None
        device = given.device.type
        if torch.is_autocast_enabled(device):
            given = given.to(torch.get_autocast_dtype(device))
        product = self._as(weight, given.dtype), None if bias is None else self._as(bias, given.dtype)
        return _applied(_Affine, given, weight, bias, product, turned, self, self._key(trained[0], given))

    def _as(self, parameter: Tensor, dtype: torch.dtype) -> Tensor:
        """The parameter in the precision of its input, cast once per forward pass as autocast does."""
        if parameter.dtype == dtype:
            return parameter.detach()
        if parameter not in self._cast:
            self._cast[parameter] = parameter.detach().to(dtype)
        return self._cast[parameter]

    def _embedding(
        self,
        ids: Tensor,
        weight: Tensor,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Tensor | None:
        if weight not in self._parameters or max_norm is not None or scale_grad_by_freq or sparse:
            return None
        if weight in self._relative:
            self._relative[weight] = ids
            return functional.embedding(ids, weight.detach())
        key = Key(id(weight), ids.dim(), ids.shape[0] == 1, True)
        # A position table is looked up once for all rows. Its size says so or, if that fits by chance, `shared` does.
        rows = self._rows if ids.dim() == 1 or key.single else 0  # nothing else can be one for all rows
        if ids.shape[0] == self._rows and key not in self._shared:
            rows = 0
        key = key._replace(shared=rows > 0)
        self.keys.add(key)
        return _applied(_Lookup, weight, ids, padding_idx, rows, self, key)

    def _relative_bias(self, part: Any) -> Callable[..., Tensor]:
        table = part.relative_attention_bias.weight

        def compute_bias(*args: Any, **kwargs: Any) -> Tensor:
            self._relative[table] = torch.empty(0)
            try:
                found = type(part).compute_bias(part, *args, **kwargs)  # (1, H, T, T)
                key = self._key(table, found)
                return _applied(_RelativeBias, table, self._relative[table], found.shape, self._rows, self, key)
            finally:
                del self._relative[table]

        return compute_bias

    def _layer_norm(
        self,
        given: Tensor,
        normalized_shape: Sequence[int],
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        eps: float = 1e-5,
    ) -> Tensor | None:
        trained = self._trained(weight, bias)
        if not trained or len(normalized_shape) != 1 or weight is None:
            return None
        return _applied(_LayerNorm, given.to(weight.dtype), weight, bias, eps, self, self._key(trained[0], given))

    def _rms_norm(
        self, given: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
    ) -> Tensor | None:
        if weight is None or weight not in self._parameters or weight.dim() != 1:
            return None
        return self._scale(functional.rms_norm(given, normalized_shape, None, eps), weight)

    def _scale(self, one: Any, other: Any) -> Tensor | None:
        weight, given = (one, other) if isinstance(one, nn.Parameter) else (other, one)
        tensors = isinstance(weight, nn.Parameter) and isinstance(given, Tensor)
        if not tensors or weight not in self._parameters or weight.dim() != 1:
            return None
        if given.dim() < 2 or given.shape[-1:] != weight.shape:
            return None
        return _applied(_Scale, given, weight, self, self._key(weight, given))


def _applied(function: Any, *arguments: Any) -> Tensor:
    output: Tensor = function.apply(*arguments)
    return output


class _Affine(Function):
    """`given` W^T + b, or `given` W + b where W is turned; backward gives no gradient of W and b."""

    @staticmethod
    def forward(
        ctx: Any, given: Tensor, weight: Any, bias: Any, product: Any, turned: bool, mode: Interception, key: Key
    ) -> Tensor:
        ctx.save_for_backward(given, product[0])
        ctx.weight, ctx.bias, ctx.turned, ctx.mode, ctx.key = weight, bias, turned, mode, key
        if turned:
            return torch.addmm(product[1], given, product[0])
        return functional.linear(given, *product)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        given, product = ctx.saved_tensors
        parts: list[Part] = []
        if ctx.needs_input_grad[1]:
            pair = (given, gradient) if ctx.turned else (gradient, given)
            parts.append(Product(ctx.weight, *pair))
        if ctx.needs_input_grad[2]:
            parts.append(Vector(ctx.bias, gradient))
        ctx.mode.receive(ctx.key, gradient, parts)
        back = None
        if ctx.needs_input_grad[0]:
            back = gradient @ (product.t() if ctx.turned else product)
        return back, None, None, None, None, None, None


class _Lookup(Function):
    """Rows of a table; `rows` times the same where they are shared by all."""

    @staticmethod
    def forward(
        ctx: Any, weight: Any, ids: Tensor, padding_idx: int | None, rows: int, mode: Interception, key: Key
    ) -> Tensor:
        ctx.save_for_backward(ids)
        ctx.weight, ctx.padding, ctx.rows, ctx.mode, ctx.key = weight, padding_idx, rows, mode, key
        found = functional.embedding(ids, weight)
        return found.expand(rows, *found.shape[-1 - max(1, ids.dim() - 1) :]) if rows else found

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        (ids,) = ctx.saved_tensors
        values = gradient
        if ctx.padding is not None:
            values = gradient * (ids != ctx.padding).unsqueeze(-1)
        ctx.mode.receive(ctx.key, gradient, [Lookup(ctx.weight, ids.expand(values.shape[:-1]), values)])
        return None, None, None, None, None, None


class _RelativeBias(Function):
    """A table looked up at (T, T) numbers, as what is added to each row's attention: (B, H, T, T)."""

    @staticmethod
    def forward(
        ctx: Any, weight: Any, ids: Tensor, shape: torch.Size, rows: int, mode: Interception, key: Key
    ) -> Tensor:
        ctx.save_for_backward(ids)
        ctx.weight, ctx.mode, ctx.key = weight, mode, key
        return functional.embedding(ids, weight).permute(2, 0, 1).reshape(shape).expand(rows, -1, -1, -1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        (ids,) = ctx.saved_tensors
        values = gradient.permute(0, 2, 3, 1)  # (B, T, T, H)
        ctx.mode.receive(ctx.key, values, [Lookup(ctx.weight, ids.expand(values.shape[:-1]), values)])
        return None, None, None, None, None, None


class _LayerNorm(Function):
    @staticmethod
    def forward(ctx: Any, given: Tensor, weight: Any, bias: Any, eps: float, mode: Interception, key: Key) -> Tensor:
        output, mean, deviation = torch.native_layer_norm(given, weight.shape, weight, bias, eps)
        ctx.save_for_backward(given, mean, deviation)
        ctx.weight, ctx.bias, ctx.mode, ctx.key = weight, bias, mode, key
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        given, mean, deviation = ctx.saved_tensors
        parts = []
        if ctx.needs_input_grad[1]:
            parts.append(Vector(ctx.weight, (given - mean).mul_(deviation).mul_(gradient)))
        if ctx.needs_input_grad[2]:
            parts.append(Vector(ctx.bias, gradient))
        ctx.mode.receive(ctx.key, gradient, parts)
        back = None
        if ctx.needs_input_grad[0]:
            back = torch.ops.aten.native_layer_norm_backward(
                gradient, given, ctx.weight.shape, mean, deviation, ctx.weight, ctx.bias, [True, False, False]
            )[0]
        return back, None, None, None, None, None


class _Scale(Function):
    @staticmethod
    def forward(ctx: Any, given: Tensor, weight: Any, mode: Interception, key: Key) -> Tensor:
        ctx.save_for_backward(given)
        ctx.weight, ctx.mode, ctx.key = weight, mode, key
        scaled: Tensor = given * weight
        return scaled

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        (given,) = ctx.saved_tensors
        ctx.mode.receive(ctx.key, gradient, [Vector(ctx.weight, gradient * given)])
        back = (gradient * ctx.weight).to(given.dtype) if ctx.needs_input_grad[0] else None
        return back, None, None, None
