"""Which attribute made it say this: the exact Shapley value of each attribute for one claim of a description.

    shapley([-9.0, -8.0, -2.0, -1.0])  # v of none, {weight}, {colour}, both -> array([1., 7.])

The value of some attributes is the log-probability of the claim's words in the text that the model wrote, given a
prompt that shows these attributes only. It says what the words depend on, not how the model reasoned.

Letters in shapes: K attributes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import compress
from typing import TypeAlias

import numpy as np

from shoplm_audit.data.public_texts import description_variables
from shoplm_audit.data.records import Product
from shoplm_audit.errors import ConfigError
from shoplm_audit.probes.choosing import balanced
from shoplm_audit.probes.describing import Known, cluster_of, described_products, record_of
from shoplm_audit.scoring.claims import Claim, Ledger
from shoplm_audit.types import Case, Floats, Generate, Material, Metric, Observing, Pair, Probe, Sampling, Score

__all__ = ["ATTRIBUTION_CASES", "attribution_probe", "shapley"]

ATTRIBUTION_CASES = 12
_ATTRIBUTES = 6  # of a product: 2 ** 6 prompts for each of two orders
_MOST = 10
_AGREE = 0.25  # how far the top attribute's share of the positive mass may lie apart in the two orders
_LEAST = 1.0  # nats: an attribute that makes a claim less than e times as probable did not make it
_WRITTEN = Sampling(max_new_tokens=120, stop=("\n\n",))

_Shown: TypeAlias = Callable[[Mapping[str, str]], str]


def shapley(values: Sequence[float] | Floats) -> Floats:
    """The exact Shapley value of each of K players, (K,): they sum to the value of all less that of none.

    Args:
        values: the value of every set of players, (2 ** K,); bit i of a set's number says whether player i is in it.

    Raises:
        ValueError: not 2 ** K values for K from 1 to 10.

    References:
        Shapley, A value for n-person games, 1953.
    """
    table = np.asarray(values, dtype=np.float64)
    count = table.size.bit_length() - 1
    if table.ndim != 1 or not 1 <= count <= _MOST or table.size != 1 << count:
        raise ValueError(f"{table.size} values: there have to be 2 ** K of them, for K from 1 to {_MOST}.")
    sets = np.arange(table.size)
    sizes = np.array([int(one).bit_count() for one in sets])
    weights = np.array([1 / (count * math.comb(count - 1, size)) for size in range(count)])
    without = [sets[(sets >> player) & 1 == 0] for player in range(count)]
    return np.array(
        [
            float((weights[sizes[rest]] * (table[rest | 1 << player] - table[rest])).sum())
            for player, rest in enumerate(without)
        ]
    )


def attribution_probe(metrics: Sequence[Metric] = (), by: tuple[str, ...] = ()) -> Probe:
    """The probe of attribution: a description is written, and its first contradicted claim, else its first supported
    one, is put down to the attributes of the product.

    Everything is computed for the attributes in the order of the record and in reverse. An attribution is shown only
    where both name the same attribute, with about the same share of what speaks for the claim.

    Args:
        metrics: what is read off.
        by: groups (`category`) whose values get estimates of their own.

    Returns:
        The probe "attribution", of products with their first six attributes. Its values: `stable` (None where the text
        makes no such claim), and where it is: `top` (the attribute), `shapley` (JSON, nats by attribute, the mean of
        both orders) and, of a supported claim, `rightly` (the top attribute is the one that the claim is about: what
        makes a false claim probable need not be the attribute that it falsifies); `claim`, `verdict`, `about`,
        `text`, `spans`. Texts are asked for without chat template, so that the words are scored behind the very prompt
        they were written behind. A model without log-probabilities raises `Unsupported`: not tested.
    """
    shown: dict[tuple[str, str], _Shown] = {}
    known = Known()

    def cases(material: Material) -> list[Case]:
        everything = described_products(material)
        digest = known.learn(everything, material.seed)
        products = [product for product in everything if len(product.attributes) > 1]
        count = min(material.limit or ATTRIBUTION_CASES, ATTRIBUTION_CASES)
        found = []
        for whole in balanced(products, count, material.seed):
            product = _short(whole)
            show = _showing(material, product)
            case = _case(material, product, cluster_of(whole), digest)
            shown[case.id, case.prompt.flat] = show
            found.append(case)
        return found

    def observe(case: Case) -> Observing:
        record: Mapping[str, str] = case.facts["record"]
        text = yield Generate(case.prompt, _WRITTEN, raw=True)
        ledger = known.of(case).check(text, case)
        claim = _asked_about(ledger, record)
        told = {"text": text, "spans": ledger.spans_json()}
        if claim is None:
            return {"stable": None, "rightly": None, **told}
        show = shown.get((case.id, case.prompt.flat))
        if show is None:
            raise ConfigError(f'case "{case.id}" is of another audit: make the cases with this probe first.')
        names = tuple(record)
        orders = [_subsets(record, names), _subsets(record, names[::-1])]
        contexts = [[show(attributes) for attributes in order] for order in orders]
        each = list(dict.fromkeys(context for order in contexts for context in order))
        span = (claim.start, claim.end)
        scores = yield [Score(Pair(context, text[: claim.end], span)) for context in each]
        nats = {context: float(one.log_prob.sum()) for context, one in zip(each, scores, strict=True)}
        forth, back = (shapley([nats[context] for context in order]) for order in contexts)
        found = _agreed(dict(zip(names, forth, strict=True)), dict(zip(names[::-1], back, strict=True)))
        top = max(found, key=lambda name: found[name]) if found else None
        return {
            "stable": found is not None,
            "top": top,
            "rightly": top == claim.attribute if top is not None and claim.verdict == "supported" else None,
            "shapley": json.dumps({name: round(value, 3) for name, value in found.items()}, ensure_ascii=False)
            if found
            else None,
            "claim": claim.words,
            "verdict": claim.verdict,
            "about": claim.attribute,
            **told,
        }

    return Probe("attribution", cases, observe, metrics, by)


def _short(product: Product) -> Product:
    return replace(product, attributes=dict(list(product.attributes.items())[:_ATTRIBUTES]))


def _showing(material: Material, product: Product) -> _Shown:
    def show(attributes: Mapping[str, str]) -> str:
        variables = description_variables(replace(product, attributes=attributes))
        return material.render("description", product.language, variables).flat

    return show


def _case(material: Material, product: Product, cluster: str, catalogue: str) -> Case:
    return Case(
        product.id,
        facts={"title": product.title, "record": record_of(product), "catalogue": catalogue},
        groups={"category": product.category},
        cluster=cluster,
        language=product.language,
        task="description",
        prompt=material.render("description", product.language, description_variables(product)),
    )


def _asked_about(ledger: Ledger, record: Mapping[str, str]) -> Claim | None:
    for verdict in ("contradicted", "supported"):
        for claim in ledger.claims:
            if claim.verdict == verdict and claim.attribute in record:
                return claim
    return None


def _subsets(record: Mapping[str, str], names: Sequence[str]) -> list[dict[str, str]]:
    """Every choice of attributes, in this order of names; bit i of its place says whether name i is in it."""
    numbers = range(1 << len(names))
    return [{name: record[name] for name in compress(names, map(int, f"{n:0{len(names)}b}"[::-1]))} for n in numbers]


def _agreed(first: Mapping[str, float], second: Mapping[str, float]) -> dict[str, float] | None:
    """The mean of two attributions that name the same attribute with about the same share of the positive mass."""
    tops = [max(one, key=lambda name: one[name]) for one in (first, second)]
    if tops[0] != tops[1] or min(first[tops[0]], second[tops[0]]) < _LEAST:
        return None
    shares = [one[tops[0]] / sum(value for value in one.values() if value > 0) for one in (first, second)]
    if abs(shares[0] - shares[1]) > _AGREE:
        return None
    return {name: (first[name] + second[name]) / 2 for name in first}
