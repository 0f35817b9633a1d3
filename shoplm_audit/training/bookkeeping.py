"""Sums of clipped gradients of units, for the price of little more than one ordinary backward pass.

    sums = ClippedSums(model, clip_norm=0.5)
    norms = sums.add(lambda: record_losses(model, batch), units=32)   # (32,), before clipping
    model.lm_head.weight.summed_grad                                  # sum of min(1, 0.5 / norm) times each unit's own

Book-keeping (Bu et al., arXiv 2210.00038): the gradient of a linear map is a product of its input and of the gradient
of its output, A^T G. Both pass by in one backward pass and are kept: the norm of a unit's product follows from A A^T
and G G^T without it, and the clipped sum is one product of all units. Where a unit's product is the smaller thing to
keep, it is made at once and kept instead.

A weight that is used several times has the gradient of all uses together, so the terms between them count: those of a
tied embedding and head are found without a gradient of the vocabulary's size per unit.

N units, S positions of a unit (its rows one after another), R by C a weight matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from shoplm_audit.errors import AuditError, ModelError
from shoplm_audit.training.interception import Interception, Key, Lookup, Part, Product, Vector

__all__ = ["ClippedSums"]

_SMALL, _COARSE = 1e-6, 1e-3  # of a gradient's norm: what rounding leaves of nothing, and adds to a row
_MARGIN = 0.99  # of the clipping norm on a GPU in bf16, where clipped factors are rounded again, by 0.2 % each


class ClippedSums:
    """Adds up clipped gradients of units in `summed_grad` of each trainable parameter; `grad` is left as it was.

    Nothing has to be changed in the model. That the rows of every gradient belong to the records in order is found by
    experiment when an operation is met for the first time: losses that are weighted one by one have to weight them row
    by row. This is why a position table that is looked up once for all rows is told from one that is looked up B times,
    whatever their sizes are, and why a layer that mixes records is refused.

    Args:
        model: trained as it is called; parameters that require no gradient now are left out.
        clip_norm: the norm to which the gradient of a unit is clipped, C.

    Raises:
        ModelError: a layer keeps statistics over records, or owns a weight of a kind that cannot be booked.
    """

    def __init__(self, model: nn.Module, clip_norm: float) -> None:
        self.clip_norm = clip_norm
        self._names: dict[Tensor, str] = {
            weight: name for name, weight in model.named_parameters() if weight.requires_grad
        }
        self._parameters = frozenset(self._names)
        self._biases = [part for part in model.modules() if self._makes_bias(part)]
        self._shared: frozenset[Key] = frozenset()
        self._settled: set[Key] = set()
        self._met: dict[Key, int] = {}
        _refuse_unknown(model, self._names)

    def add(self, losses: Callable[[], Tensor], units: int, rows_per_unit: int = 1) -> Tensor:
        """Adds the clipped gradients of some units.

        Args:
            losses: runs the model and returns the loss of each record, (units * rows_per_unit,), each of its own row
                alone; the rows of a unit stand together.
            units: N.
            rows_per_unit: of how many records a unit's gradient is the mean.

        Returns:
            The norm of each unit's gradient before clipping, (N,), float32: as private as the records.

        Raises:
            ModelError: a gradient cannot be booked, or rows are not those of the records. Nothing was added.
            AuditError: a norm is not a finite number. Nothing was added.
        """
        grads = {weight: weight.grad for weight in self._parameters}
        try:
            for weight in grads:
                weight.grad = None
            book = _Book(units, self._names)
            values = self._forward(losses, units, rows_per_unit, book)
            self._backward(values, torch.full_like(values, 1 / rows_per_unit))
        finally:
            for weight, grad in grads.items():
                weight.grad = grad
        with torch.no_grad(), torch.autocast(values.device.type, enabled=False):
            norms = book.norms(values.device)
            if not norms.isfinite().all():
                raise AuditError(
                    f'The gradient of a unit has norm "{norms[~norms.isfinite()][0]}": its loss is no finite number. '
                    "Lower the learning rate. Nothing was added."
                )
            limit = self.clip_norm * (_MARGIN if book.rounds else 1.0)
            book.add_clipped((limit / (norms + 1e-6)).clamp(max=1.0))
        return norms

    def clear(self) -> None:
        """Forgets what was added: a logical step that was broken off must not leak into the next."""
        for weight in self._parameters:
            weight.summed_grad = None  # type: ignore[attr-defined]

    def _forward(self, losses: Callable[[], Tensor], units: int, rows_per_unit: int, book: _Book) -> Tensor:
        """The losses, with a graph behind them that books; lookups that all rows share were found and expanded."""
        rows = units * rows_per_unit if units > 1 else 0
        while True:
            mode = Interception(self._parameters, self._biases, rows, self._shared, book)
            with torch.enable_grad(), mode:
                values = losses()
            if values.shape != (units * rows_per_unit,):
                raise ModelError(
                    f'Losses have shape "{tuple(values.shape)}": {units} units of {rows_per_unit} rows need one each.'
                )
            if not values.isfinite().all():
                raise AuditError("A record's loss is no finite number. Lower the learning rate. Nothing was added.")
            if not rows or not values.requires_grad or not self._is_new(mode.keys):
                return values
            weighing = _Weighing(rows)
            mode.receive = weighing
            for weights in (torch.ones(rows), weighing.weights):
                self._backward(values, weights.to(values), again=True)
                weighing.turn()
            settled, mixed = weighing.result()
            if not mixed:
                self._settled |= settled
                mode.receive = book
                return values
            shared = {key for key in mixed if key.lookup and key.dimensions == 1 and not key.shared} - self._shared
            if not shared:
                name = next(name for weight, name in self._names.items() if id(weight) == mixed[0].parameter)
                raise ModelError(
                    f'Records are mixed after "{name}" is used: none could be hidden. Freeze it, or train it plainly.'
                )
            self._shared |= shared

    def _is_new(self, keys: set[Key]) -> bool:
        """Whether an operation is to be examined: at its 1st, 2nd, 4th, 8th... use until a gradient came through it."""
        new = False
        for key in keys - self._settled:
            met = self._met[key] = self._met.get(key, 0) + 1
            # A lookup in one dimension may be shared by all rows or not: it is examined until that is known.
            new |= met & (met - 1) == 0 or (key.lookup and key.dimensions == 1)
        return new

    def _backward(self, values: Tensor, weights: Tensor, again: bool = False) -> None:
        if values.requires_grad:
            with torch.autocast(values.device.type, enabled=False):
                torch.autograd.backward(values, weights, retain_graph=again)
        for weight, name in self._names.items():
            if weight.grad is not None:
                raise ModelError(
                    f'"{name}" is used by an operation whose gradient of single records is not known. Freeze it.'
                )

    def _makes_bias(self, part: Any) -> bool:
        table = getattr(part, "relative_attention_bias", None)
        return hasattr(part, "compute_bias") and isinstance(table, nn.Embedding) and table.weight in self._parameters


def _refuse_unknown(model: nn.Module, names: dict[Tensor, str]) -> None:
    from transformers.pytorch_utils import Conv1D

    known: set[Tensor] = set()
    for name, part in model.named_modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm) or getattr(part, "running_mean", None) is not None:
            raise ModelError(f'Layer "{name}" keeps statistics over records: none could be hidden. Train it plainly.')
        if isinstance(part, nn.Linear | nn.Embedding | Conv1D):
            known.update(part.parameters(recurse=False))
    for weight, name in names.items():
        if weight.dim() != 1 and weight not in known:
            raise ModelError(f'"{name}" stands in a layer whose gradient of single records is not known. Freeze it.')


class _Weighing:
    """Compares two backward passes, of losses as they are and of losses weighted one by one, row by row."""

    def __init__(self, rows: int) -> None:
        self._rng = torch.Generator().manual_seed(0)
        # Powers of two: an honest gradient is scaled by them without any rounding, also in bfloat16.
        self.weights = 2.0 ** (torch.arange(rows) % 31 - 15.0)[torch.randperm(rows, generator=self._rng)]
        self._passes: list[list[tuple[Key, Tensor | None]]] = [[]]
        self._probes: dict[int, Tensor] = {}

    def __call__(self, key: Key, gradient: Tensor, parts: Sequence[Part]) -> None:
        rows, seen = len(self.weights), None
        if gradient.numel() % rows == 0:
            flat = gradient.reshape(rows, -1).float()
            probes = self._probes.get(flat.shape[1])
            if probes is None:
                probes = self._probes[flat.shape[1]] = torch.randn(flat.shape[1], 4, generator=self._rng)
            seen = torch.cat([flat @ probes.to(flat.device), flat.norm(dim=1, keepdim=True)], dim=1).cpu()
        self._passes[-1].append((key, seen))

    def turn(self) -> None:
        self._passes.append([])

    def result(self) -> tuple[set[Key], list[Key]]:
        """Operations through which gradients of two rows or more came as they should; those where they did not."""
        settled: set[Key] = set()
        mixed: list[Key] = []
        size = max((float(seen[:, -1].max()) for _, seen in self._passes[0] if seen is not None), default=0.0)
        for (key, seen), (_, weighted) in zip(*self._passes[:2], strict=True):
            if seen is None or weighted is None:
                mixed.append(key)
                continue
            off = (weighted[:, :-1] / self.weights[:, None] - seen[:, :-1]).abs().amax(dim=1)
            small = _SMALL * size
            if bool((off > 5 * (_COARSE * seen[:, -1] + small)).any()):
                mixed.append(key)
            elif int((seen[:, -1] > 10 * small).sum()) > 1:
                settled.add(key)
        return settled.difference(mixed), mixed


@dataclass(slots=True, eq=False)
class _Entry:
    """What came of one parameter: the gradient of each unit, or products and lookups it can be made of."""

    own: Tensor | None = None  # (N, R, C) or (N, D)
    products: list[tuple[Tensor, Tensor]] = field(default_factory=list)  # (N, S, R) and (N, S, C)
    lookups: list[tuple[Tensor, Tensor]] = field(default_factory=list)  # (N, S) and (N, S, C)


class _Book:
    """The gradients of units in one backward pass, each held in the smaller of its forms."""

    def __init__(self, units: int, names: dict[Tensor, str]) -> None:
        self._units, self._names = units, names
        self._entries: dict[Tensor, _Entry] = {}
        self.rounds = False  # whether factors are rounded to bfloat16 after they were clipped

    def __call__(self, key: Key, gradient: Tensor, parts: Sequence[Part]) -> None:
        for part in parts:
            entry = self._entries.setdefault(part.parameter, _Entry())
            match part:
                case Vector(_, values):
                    own = self._by_unit(part, values).sum(dim=1, dtype=torch.float32)
                    entry.own = own if entry.own is None else entry.own + own
                case Product(weight, left, right):
                    self._take_product(entry, weight, self._by_unit(part, left), self._by_unit(part, right))
                case Lookup(weight, ids, values):
                    values = self._by_unit(part, values)
                    self._take_lookup(entry, weight, ids.reshape(self._units, -1), values)

    def _by_unit(self, part: Part, values: Tensor) -> Tensor:
        if values[..., 0].numel() % self._units:
            raise ModelError(
                f'The gradient of "{self._names[part.parameter]}" has shape "{tuple(values.shape)}", which is not that '
                f"of {self._units} units. Freeze it."
            )
        return values.reshape(self._units, -1, values.shape[-1])

    def _take_product(self, entry: _Entry, weight: Tensor, left: Tensor, right: Tensor) -> None:
        fresh = entry.own is None and not entry.products and not entry.lookups
        if fresh and weight.numel() <= left.shape[1] * sum(weight.shape):
            entry.own = _product(left.mT, right)
        elif entry.own is not None:
            entry.own += _product(left.mT, right)
        else:
            entry.products.append((left, right))
            self.rounds |= left.is_cuda and left.dtype.itemsize == 2

    def _take_lookup(self, entry: _Entry, weight: Tensor, ids: Tensor, values: Tensor) -> None:
        fresh = entry.own is None and not entry.products and not entry.lookups
        if fresh and weight.shape[0] <= ids.shape[1]:
            entry.own = values.new_zeros((self._units, *weight.shape), dtype=torch.float32)
        if entry.own is not None:
            places = _places(ids, weight.shape[0])
            entry.own.flatten(0, 1).index_add_(0, places.flatten(), values.flatten(0, 1).float())
        else:
            entry.lookups.append((ids, values))

    def norms(self, device: torch.device) -> Tensor:
        """Of each unit's gradient of all parameters together, (N,)."""
        squares = torch.zeros(self._units, device=device)
        for weight, entry in self._entries.items():
            squares += self._squares(weight, entry)
        return squares.clamp(min=0).sqrt()

    def _squares(self, weight: Tensor, entry: _Entry) -> Tensor:
        if entry.own is not None:
            own: Tensor = torch.linalg.vector_norm(entry.own.flatten(1), dim=1)
            return own.square()
        squares = torch.zeros(self._units, device=weight.device)
        if entry.products:
            left, right = _joined(entry.products)
            entry.products = [(left, right)]
            squares += (_product(left, left.mT) * _product(right, right.mT)).sum(dim=(1, 2))
        if entry.lookups:
            ids, values = _joined(entry.lookups)
            if entry.products:
                squares += 2 * _between(left, right, ids, values)
            places, inverse = torch.unique(_places(ids, weight.shape[0]), return_inverse=True)
            sums = torch.zeros(len(places), values.shape[2], device=values.device)
            sums.index_add_(0, inverse.flatten(), values.flatten(0, 1).float())  # a token's uses add up before squaring
            squares.index_add_(0, places // weight.shape[0], sums.square().sum(dim=1))
            entry.lookups = [(places, sums)]
        return squares

    def add_clipped(self, factors: Tensor) -> None:
        """Adds the sum of the units' gradients, times a factor (N,) each, to `summed_grad`."""
        weight: Any
        for weight in self._names:
            entry = self._entries.pop(weight, _Entry())
            if getattr(weight, "summed_grad", None) is None:
                weight.summed_grad = torch.zeros_like(weight, dtype=torch.float32)
            total: Tensor = weight.summed_grad
            if entry.own is not None:
                total.view(-1).addmv_(entry.own.flatten(1).t(), factors)
            for left, right in entry.products:
                narrow = left.shape[2] < right.shape[2]  # the smaller one is scaled
                left, right = (_scaled(left, factors), right) if narrow else (left, _scaled(right, factors))
                _add_product(total, left.flatten(0, 1).t(), right.flatten(0, 1))
            for places, sums in entry.lookups:
                rows = weight.shape[0]
                total.index_add_(0, places % rows, sums * factors[places // rows, None])


def _joined(uses: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Several uses of a weight as one: their positions one after another."""
    if len(uses) == 1:
        return uses[0]
    return torch.cat([one for one, _ in uses], dim=1), torch.cat([other for _, other in uses], dim=1)


def _between(left: Tensor, right: Tensor, ids: Tensor, values: Tensor) -> Tensor:
    """The inner product of a head's gradient and an embedding's, <sum_t l_t r_t^T, sum_s e_(id s) v_s^T>, (N,).

    It is sum_(s, t) l_t[id s] <r_t, v_s>: nothing of the vocabulary's size (as in Ding et al., arXiv 2405.18194).
    """
    chosen = left.gather(2, ids[:, None, :].expand(-1, left.shape[1], -1))  # (N, S, S')
    return (chosen * _product(right, values.mT)).sum(dim=(1, 2))


def _places(ids: Tensor, rows: int) -> Tensor:
    """Numbers (N, S) of a table's rows in N such tables one after another."""
    return ids + rows * torch.arange(len(ids), device=ids.device)[:, None]


def _scaled(values: Tensor, factors: Tensor) -> Tensor:
    scaled = values * factors[:, None, None]  # float32, whatever the values are
    return scaled.to(values.dtype) if values.is_cuda else scaled


def _product(one: Tensor, other: Tensor) -> Tensor:
    """A matrix product summed in float32, of factors that may be in bfloat16."""
    if one.is_cuda and one.dtype == other.dtype and one.dtype.itemsize == 2:
        return (torch.bmm if one.dim() == 3 else torch.mm)(one, other, out_dtype=torch.float32)
    return one.float() @ other.float()


def _add_product(total: Tensor, one: Tensor, other: Tensor) -> None:
    if one.dtype == other.dtype == torch.float32:
        total.addmm_(one, other)
    else:
        total += _product(one, other)
