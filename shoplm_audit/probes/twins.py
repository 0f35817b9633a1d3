"""Counterfactual twins: a product, and the same with one attribute changed; the text must change there and only there.

twin_of(Product("p17", "Alder kettle", "kettles", {"colour": "navy", "weight": "1.2 kg"}), donors, seed=0)
-> Twin("colour", "navy", "red", {"colour": "red", "weight": "1.2 kg"})
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from shoplm_audit.data.public_texts import description_variables
from shoplm_audit.data.records import Product
from shoplm_audit.models.decoding import folded
from shoplm_audit.models.required import stated
from shoplm_audit.probes.choosing import balanced
from shoplm_audit.probes.describing import Catalogue, Known, cluster_of, described_products
from shoplm_audit.scoring.claims import Ledger, check_claims
from shoplm_audit.scoring.prose import rest_kept
from shoplm_audit.scoring.schema import Schema
from shoplm_audit.types import Case, Generate, Material, Metric, Observing, Probe, Prompt, Sampling, Value

__all__ = ["TWIN_CASES", "Donors", "Twin", "twin_of", "twins_probe"]

TWIN_CASES = 80
_WRITTEN = Sampling(max_new_tokens=120, stop=("\n\n",))
_SPARE = 2  # so many times the cases are tried: some products have no twin
_TRIED = 20  # values of other products that are tried for an attribute
_SHORTEST = 2  # characters of a value that is looked for by its own words
_CHECKED = ("supported", "contradicted", "unsupported")


@dataclass(frozen=True, slots=True)
class Twin:
    """The attribute that was changed, what it was and is, and all attributes of the changed product."""

    attribute: str
    was: str
    now: str
    attributes: Mapping[str, str]


class Donors:
    """The values of each attribute in the products of a shop, by language and category."""

    def __init__(self, products: Sequence[Product]) -> None:
        values: dict[tuple[str, str], dict[str, dict[str, None]]] = {}
        for product in products:
            for name, value in product.attributes.items():
                # A dictionary keeps each value once, in order.
                of_name = values.setdefault((product.language, name), {})
                of_name.setdefault(product.category, {})[str(value)] = None
        self._values = values

    def others(self, product: Product, name: str, rng: np.random.Generator) -> list[str]:
        """Values that other products have of an attribute, those of the same category first, each part shuffled."""
        of_name = self._values.get((product.language, name), {})
        own = of_name.get(product.category, {})
        far = dict.fromkeys(value for values in of_name.values() for value in values if value not in own)
        return [list(part)[i] for part in (own, far) for i in rng.permutation(len(part))]


def twin_of(product: Product, donors: Donors, seed: int, schema: Schema | None = None) -> Twin | None:
    """A product with one attribute changed to another product's value; None where no value would tell.

    A value tells where neither the old nor the new one implies the other, and where neither stands in the title or in
    another attribute, as they are read with the schema. Which attribute and value follows from the seed and the
    product's id alone.
    """
    rng = np.random.default_rng([seed, zlib.crc32(product.id.encode("utf-8", "surrogatepass"))])

    @lru_cache(maxsize=_TRIED)
    def says(name: str, text: str, record: tuple[tuple[str, str], ...]) -> bool:
        facts = dict(record)
        ledger = check_claims(text, facts, language=product.language, title=product.title, schema=schema)
        return _says(ledger, text, facts, name)

    names = list(product.attributes)
    for name in (names[i] for i in rng.permutation(len(names))):
        was = str(product.attributes[name])
        for now in donors.others(product, name, rng)[:_TRIED]:
            twin = Twin(name, was, now, {**product.attributes, name: now})
            if _tells(product, twin, says):
                return twin
    return None


def _tells(product: Product, twin: Twin, says: Callable[[str, str, tuple[tuple[str, str], ...]], bool]) -> bool:
    elsewhere = [product.title, *(str(v) for n, v in product.attributes.items() if n != twin.attribute)]
    if any(stated(text, [value]) for text in elsewhere for value in (twin.was, twin.now) if value.strip()):
        return False
    mark = "：" if product.language == "zh" else ": "
    old, new = (f"{twin.attribute}{mark}{value}" for value in (twin.was, twin.now))
    before, after = (
        tuple((name, str(value)) for name, value in facts.items()) for facts in (product.attributes, twin.attributes)
    )
    pairs = ((old, before, True), (new, after, True), (new, before, False), (old, after, False))
    return all(says(twin.attribute, text, facts) is wanted for text, facts, wanted in pairs)


def _says(ledger: Ledger, text: str, facts: Mapping[str, str], name: str) -> bool:
    """Whether a text states an attribute as the record has it: by its claims, or by its words if none denies it."""
    verdicts = {claim.verdict for claim in ledger.claims if claim.attribute == name}
    return "supported" in verdicts or ("contradicted" not in verdicts and _has(text, facts[name]))


def _has(text: str, value: str) -> bool:
    return sum(map(str.isalnum, value)) >= _SHORTEST and bool(stated(text, [value]))


def twins_probe(metrics: Sequence[Metric] = (), by: tuple[str, ...] = ()) -> Probe:
    """The probe of counterfactual twins: both products are described, and the two texts compared by their claims.

    Args:
        metrics: what is read off.
        by: groups (`attribute`, `category`) whose values get estimates of their own.

    Returns:
        The probe "twins", as many cases in English as in Chinese where there are as many. Its values: `changed_there`
        (the twin's text states the new value and the old one no longer), `changed_elsewhere` (of the other attributes
        it says anything else than the first text does), `rest_kept` (the share of the words outside the claims that
        both texts have), `twin_contradicted`, the two texts with their spans, and what was changed. An attribute that
        neither text states has not changed there.
    """
    known = Known()

    def cases(material: Material) -> list[Case]:
        products = described_products(material)
        digest = known.learn(products, material.seed)
        count = min(material.limit or TWIN_CASES, TWIN_CASES)
        donors = Donors(products)
        tried = [
            (product, twin)
            for product in balanced(products, _SPARE * count, material.seed)
            if (twin := twin_of(product, donors, material.seed, known[digest].schema_of(cluster_of(product))))
        ]
        chosen = balanced(tried, count, material.seed, by=lambda one: one[0].language)
        return [_case(material, product, twin, digest) for product, twin in chosen]

    def observe(case: Case) -> Observing:
        prompts = (case.prompt, Prompt(case.facts["twin_prompt"], case.prompt.system))
        text, other = yield [Generate(prompt, _WRITTEN) for prompt in prompts]
        return _compared(case, text, other, known.of(case))

    return Probe("twins", cases, observe, metrics, by)


def _case(material: Material, product: Product, twin: Twin, catalogue: str) -> Case:
    language = product.language
    changed = replace(product, attributes=twin.attributes)
    first, second = (material.render("description", language, description_variables(one)) for one in (product, changed))
    return Case(
        product.id,
        facts={
            "title": product.title,
            "record": {name: str(value) for name, value in product.attributes.items()},
            "twin": {name: str(value) for name, value in twin.attributes.items()},
            "twin_prompt": second.text,
            "changed": twin.attribute,
            "catalogue": catalogue,
        },
        groups={"category": product.category, "attribute": twin.attribute},
        cluster=cluster_of(product),
        language=language,
        task="description",
        prompt=first,
    )


def _compared(case: Case, text: str, other: str, catalogue: Catalogue) -> dict[str, Value]:
    name, record, twin = (case.facts[key] for key in ("changed", "record", "twin"))
    first, second = catalogue.check(text, case), catalogue.check(other, case, twin)
    unchanged = catalogue.check(other, case, record)
    masked = [[(claim.start, claim.end) for claim in ledger.claims] for ledger in (first, second)]
    return {
        "changed_there": _says(second, other, twin, name)
        and not (_says(unchanged, other, record, name) or _has(other, record[name])),
        "changed_elsewhere": _besides(first, name) != _besides(second, name),
        "rest_kept": rest_kept(text, other, (masked[0], masked[1])),
        "twin_contradicted": second.contradicted > 0,
        "attribute": name,
        "was": record[name],
        "now": twin[name],
        "text": text,
        "spans": first.spans_json(),
        "text_twin": other,
        "spans_twin": second.spans_json(),
    }


def _besides(ledger: Ledger, name: str) -> set[tuple[str, str, str]]:
    """What a text says of all but one attribute, however it is worded: what is borne out is the same record."""
    return {
        (claim.attribute, "" if claim.verdict == "supported" else "".join(folded(claim.words).split()), claim.verdict)
        for claim in ledger.claims
        if claim.attribute != name and claim.verdict in _CHECKED
    }
