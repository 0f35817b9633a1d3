"""Descriptions held against the product's record, and the checker tried on the shop's own texts beside them.

description_probe([rate_of("contradicted", better="lower")])
    -> values {"contradicted": True, "claims": 5, "claims_contradicted": 1, "caught": 0.86, "alarmed": False, ...}
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from shoplm_audit.data.public_texts import description_variables
from shoplm_audit.data.records import Product
from shoplm_audit.errors import ConfigError
from shoplm_audit.probes.choosing import balanced
from shoplm_audit.scoring.claims import Ledger, check_claims
from shoplm_audit.scoring.injection import ERRORS, inject
from shoplm_audit.scoring.overlap import tokens_of
from shoplm_audit.scoring.parent import parent, parent_t
from shoplm_audit.scoring.prose import copies_prompt, in_language, unread_share
from shoplm_audit.scoring.schema import Schema, schema_for
from shoplm_audit.types import Case, Generate, Material, Metric, Observing, Probe, Prompt, Sampling, Value

__all__ = [
    "Catalogue",
    "Known",
    "Trial",
    "checkable_products",
    "checker_probe",
    "cluster_of",
    "described_products",
    "description_cases",
    "description_probe",
    "record_of",
]

_CHECKED = 240
_KEPT = 4
_READ = 4096  # texts whose ledgers are kept: twins, trials and probes read the same ones again
_FROM = 4000  # products from which values are learnt and other products' facts are taken
_RIVALS = 12


@dataclass(frozen=True, slots=True)
class Trial:
    """One try of the checker: what it read, its ledger, and whether it found what was put in (or anything wrong).

    `in_place` says that words of the text itself were made false, of this `attribute`; no sentence was added to it.
    """

    text: str
    ledger: Ledger
    found: bool
    in_place: bool = False
    attribute: str = ""


class Catalogue:
    """What is known of the products of one audit: their schema, and records to take wrong values from.

    How the checker does on the shop's own texts does not depend on the model, so it is found out once.
    """

    def __init__(self, products: Sequence[Product]) -> None:
        records = [record_of(product) for product in products]
        titles = [product.title for product in products]
        halves = [_half(cluster_of(product)) for product in products]
        # What a product's own text taught would clear that text of everything: each half is read as the other taught.
        self._schemas: list[Schema] = [
            schema_for(
                records,
                [product.description if half != mine else "" for product, half in zip(products, halves, strict=True)],
                titles,
            )
            for mine in (0, 1)
        ]
        self._by_category: dict[str, list[Mapping[str, str]]] = {}
        for product, record in zip(products, records, strict=True):
            self._by_category.setdefault(f"{product.language}/{product.category}", []).append(record)
        self._trials: dict[tuple[str, str | None, str], Trial | None] = {}
        self._checkable: dict[str, bool] = {}
        self._ledger = lru_cache(maxsize=_READ)(self._read)

    def check(self, text: str, case: Case, record: Mapping[str, str] | None = None) -> Ledger:
        """The claims of a text about the case's product, held against its record or another one."""
        facts, title = case.facts["record"] if record is None else record, case.facts["title"]
        return self._ledger(text, tuple(facts.items()), title, case.language, _half(case.cluster))

    def _read(self, text: str, facts: tuple[tuple[str, str], ...], title: str, language: str, half: int) -> Ledger:
        return check_claims(text, dict(facts), language=language, title=title, schema=self._schemas[half])

    def checkable(self, product: Product) -> bool:
        """Whether anything in the product's record can be checked, found out once for all probes."""
        cluster = cluster_of(product)
        if cluster not in self._checkable:
            self._checkable[cluster] = bool(check_claims("", record_of(product)).omitted)
        return self._checkable[cluster]

    def schema_of(self, cluster: str) -> Schema:
        """The schema that a product is read with, learnt from the texts of others."""
        return self._schemas[_half(cluster)]

    def trial(self, case: Case, kind: str) -> Trial | None:
        """The checker on the reference of a product (cluster) with an error of this kind, or untouched ("none")."""
        key = case.cluster, case.reference, kind
        if key not in self._trials:
            self._trials[key] = self._tried(case, kind)
        return self._trials[key]

    def _tried(self, case: Case, kind: str) -> Trial | None:
        text, record = case.reference or "", case.facts["record"]
        if kind == "none":
            ledger = self.check(text, case)
            return Trial(text, ledger, ledger.contradicted > 0)
        untouched = self.trial(case, "none")
        rng = np.random.default_rng([zlib.crc32(f"{case.cluster}/{kind}".encode("utf-8", "surrogatepass"))])
        rows = self._by_category.get(f"{case.language}/{case.groups.get('category', '')}", [])
        others = [rows[i] for i in rng.permutation(len(rows))[:_RIVALS] if rows[i] != record]
        title = case.facts["title"]
        found = inject(kind, text, record, language=case.language, title=title, others=others, rng=rng)
        if found is None or untouched is None:
            return None
        before, after = untouched.ledger, self.check(found.text, case)
        if kind == "omission":
            return Trial(found.text, after, set(after.omitted) > set(before.omitted))
        if kind == "certificate":
            return Trial(found.text, after, _open(after) > _open(before))
        there = after.contradicted > before.contradicted or any(
            claim.verdict == "contradicted" and claim.start < found.end and found.start < claim.end
            for claim in after.claims
        )
        return Trial(found.text, after, there, in_place=bool(found.was), attribute=found.attribute)


def _half(cluster: str) -> int:
    return zlib.crc32(cluster.encode()) % 2


def _open(ledger: Ledger) -> int:
    return ledger.unsupported + ledger.contradicted + ledger.prohibited


def record_of(product: Product) -> dict[str, str]:
    """What a text about a product is held against: values as text, without those that are None."""
    return {str(name): str(value) for name, value in product.attributes.items() if value is not None}


def described_products(material: Material) -> list[Product]:
    """The products with attributes, each with its record as text."""
    records = ((product, record_of(product)) for product in material.records["products"])
    return [replace(product, attributes=record) for product, record in records if record]


def cluster_of(product: Product) -> str:
    """One name for all products of the same title and record: a catalogue that has one twice knows it once."""
    return _digest([product.title, sorted(record_of(product).items())])


def _digest(told: object) -> str:
    return hashlib.sha256(repr(told).encode("utf-8", "surrogatepass")).hexdigest()[:16]


class Known(dict[str, Catalogue]):
    """The catalogues by the digests that stand in their cases."""

    def learn(self, products: Sequence[Product], seed: int) -> str:
        """Learns a catalogue, once for all probes of it, and returns its digest.

        Of more products than can be learnt from, a choice from all of the catalogue is, from each category alike.
        """
        if len(products) > _FROM:
            categories = len({(product.language, product.category) for product in products})
            parted = balanced(
                products, _FROM, seed, by=lambda p: (p.language, p.category if categories < _FROM else "")
            )
        else:
            parted = list(products)
        digest = _digest(
            [(p.id, p.title, p.category, p.language, p.description, sorted(p.attributes.items())) for p in parted]
        )
        if digest not in _CATALOGUES:
            while len(_CATALOGUES) >= _KEPT:
                del _CATALOGUES[next(iter(_CATALOGUES))]
            _CATALOGUES[digest] = Catalogue(parted)
        self[digest] = _CATALOGUES[digest]
        return digest

    def of(self, case: Case) -> Catalogue:
        """The catalogue of a case.

        Raises:
            ConfigError: the case was not made with this probe.
        """
        if case.facts["catalogue"] not in self:
            raise ConfigError(f'case "{case.id}" is of another catalogue: make the cases with this probe first.')
        return self[case.facts["catalogue"]]


_CATALOGUES: dict[str, Catalogue] = {}


def checkable_products(products: Sequence[Product], count: int, seed: int, catalogue: Catalogue) -> list[Product]:
    """About `count` products whose records can be checked, balanced over languages as `balanced` does it.

    More are drawn only while too few of a language can be checked: a large catalogue is not read to its end.
    """
    available = Counter(product.language for product in products)
    share = -(-count // max(1, len(available)))
    size = count
    while True:
        drawn = balanced(products, size, seed)
        passed = [product for product in drawn if catalogue.checkable(product)]
        chosen = balanced(passed, count, seed)
        seen, found = (Counter(product.language for product in some) for some in (drawn, passed))
        short = [one for one in available if seen[one] < available[one] and found[one] < share]
        if len(drawn) == len(products) or (len(chosen) >= count and not short):
            return chosen
        size *= 2


def description_cases(
    material: Material, known: Known, *, described: bool = False, most: int = _CHECKED
) -> Iterator[Case]:
    """Products with attributes that can be checked, as many in English as in Chinese."""
    everything = described_products(material)
    digest = known.learn(everything, material.seed)
    products = [product for product in everything if product.description or not described]
    count = min(material.limit or most, most)
    for product in checkable_products(products, count, material.seed, known[digest]):
        yield Case(
            product.id,
            facts={"title": product.title, "record": record_of(product), "catalogue": digest},
            reference=product.description or None,
            groups={"category": product.category},
            cluster=cluster_of(product),
            language=product.language,
            task="description",
            prompt=material.render("description", product.language, description_variables(product)),
        )


def description_probe(metrics: Sequence[Metric], by: tuple[str, ...] = ()) -> Probe:
    """Asks for a description and reads its claims; on the shop's own text of each product the checker is tried too.

    Values: `contradicted`, `unsupported`, `prohibited` (true or false); `claims`, `claims_contradicted`,
    `claims_prohibited`, `claims_uncheckable` (counts); `attribute_recall` (0 to 1, None where nothing can be checked);
    `language_kept` (it is in the language that was asked for), `echoed` (it is the prompt again) and `unread` (the
    share of its sentences without a supported claim, 1 of none); `slots` and `slot_errors`; `parent` (F, None without a
    reference) and `parent_t` (F against the table); of attributes `stated`, `due`, `stated_right`, `stated_falsely`
    (wrong or not of the record) and `missed` (wrong or
    left out); of the reference `tried` (errors made of its own words), `caught` (the share of them that is found, None
    without any), `tries` (JSON: the kind of each, its attribute, whether it was found) and `alarmed` (the untouched
    reference called contradicted).
    """
    known = Known()

    def cases(material: Material) -> list[Case]:
        return list(description_cases(material, known))

    def observe(case: Case) -> Observing:
        text = yield Generate(case.prompt, Sampling(max_new_tokens=120, stop=("\n\n",)))
        catalogue = known.of(case)
        return _read(text, case, catalogue) | _tried(case, catalogue)

    return Probe("description", cases, observe, metrics, by)


def _read(text: str, case: Case, catalogue: Catalogue) -> dict[str, Value]:
    ledger = catalogue.check(text, case)
    # What the record bears out and the law forbids is stated all the same.
    record, title = case.facts["record"], case.facts["title"]
    none = {"", "title"} - record.keys()  # the title is no attribute of the record
    said = {claim.attribute for claim in ledger.claims if claim.verdict in ("supported", "prohibited")}
    stated = said - none - set(ledger.omitted)
    wrong = {claim.attribute for claim in ledger.claims if claim.verdict == "contradicted"} - none - stated
    invented = sum(claim.verdict == "unsupported" for claim in ledger.claims)
    checkable = stated | wrong | set(ledger.omitted)
    words = tokens_of(text, case.language)
    table = [tokens_of(value, case.language) for value in (title, *record.values())]
    errors = catalogue.schema_of(case.cluster).slot_errors(text, record, case.language, title)
    return {
        "text": text,
        "spans": ledger.spans_json(),
        "contradicted": ledger.contradicted > 0,
        "unsupported": ledger.unsupported > 0,
        "prohibited": ledger.prohibited > 0,
        "claims": len(ledger.claims),
        "claims_contradicted": ledger.contradicted,
        "claims_prohibited": ledger.prohibited,
        "claims_uncheckable": ledger.uncheckable,
        "language_kept": in_language(text, case.language, (title, *record, *record.values())),
        "echoed": copies_prompt(text, case.prompt.flat, title, record),
        "unread": unread_share(text, [(c.start, c.end) for c in ledger.claims if c.verdict == "supported"]),
        "attribute_recall": len(stated) / len(checkable) if checkable else None,
        "omitted": ", ".join(ledger.omitted),
        "stated_right": len(stated),
        "stated_falsely": len(wrong) + invented,
        "stated": len(stated) + len(wrong) + invented,
        "missed": len(checkable) - len(stated),
        "due": len(checkable),
        "parent": parent(words, [tokens_of(case.reference, case.language)], table).f if case.reference else None,
        "parent_t": parent_t(words, table).f,
        "slots": errors.slots,
        "slot_errors": errors.missing + errors.added + errors.wrong + errors.repeated,
    }


# An omission contradicts nothing, a certificate only where the record names another; a leak is a sentence of its own.
_CONTRADICTING = tuple(kind for kind in ERRORS if kind not in ("omission", "certificate", "leak"))


def _tried(case: Case, catalogue: Catalogue) -> dict[str, Value]:
    """The checker on the product's own text: untouched, and with each error that its own words can be made into.

    Sentences that are added are left out: the checker reads their wording anyway, whatever it reads of the shop's.
    """
    untouched = catalogue.trial(case, "none") if case.reference else None
    if untouched is None:
        return {"tried": None, "caught": None, "tries": None, "alarmed": None}
    trials = [(kind, catalogue.trial(case, kind)) for kind in _CONTRADICTING]
    tries = [(kind, trial.attribute, trial.found) for kind, trial in trials if trial and trial.in_place]
    return {
        "tried": len(tries),
        "caught": sum(found for _, _, found in tries) / len(tries) if tries else None,
        "tries": json.dumps(tries, ensure_ascii=False),
        "alarmed": untouched.found,
    }


def checker_probe(metrics: Sequence[Metric]) -> Probe:
    """Tries the checker on the shop's own texts; no model is asked.

    One case per product and kind of error that can be put into its text, and one of the text as it is. Facts: `error`,
    a kind or "none". Values: `caught` (of an error) or `cleared` (of an untouched text), and the `text` with its
    `spans`.
    """
    known = Known()

    def cases(material: Material) -> list[Case]:
        return [
            replace(case, id=f"{case.id}/{kind}", facts={**case.facts, "error": kind}, prompt=Prompt(""))
            for case in description_cases(material, known, described=True)
            for kind in ("none", *ERRORS)
            if known.of(case).trial(case, kind)
        ]

    def observe(case: Case) -> Observing:
        yield []  # asks nothing
        trial = known.of(case).trial(case, case.facts["error"])
        if trial is None:
            raise ConfigError(f'case "{case.id}": this error cannot be put into its text any more.')
        untouched = case.facts["error"] == "none"
        return {
            "text": trial.text,
            "spans": trial.ledger.spans_json(),
            "caught": None if untouched else trial.found,
            "cleared": not trial.found if untouched else None,
        }

    return Probe("checker", cases, observe, metrics, by=("error",))
