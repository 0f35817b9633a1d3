"""How well claims are checked, on real data: E2E's corrected records, injected errors, calls and their summaries.

python -m benchmarks.faithfulness --data FOLDER [--parts e2e,injected,speed,calls] [--texts N]

FOLDER holds `e2e_cleaned`, `webnlg_v1.5_en`, `advertisegen`, `product_catalog_er` and `summedits`.

e2e: texts against their original record. True is what the corrected record says: a text does not fit where the slots of
the two records differ. The wordings of the schema were gathered from texts with an even checksum; the others are new.
injected: errors put into people's texts about records, one of each kind a text. The schema is learnt from one half of
the catalogue (by entity in WebNLG, by record in AdvertiseGen) and its texts, and tried on the other.
speed: texts a minute on one core, each of 60 words (of Chinese: 100 characters).
calls: summaries of sales calls, consistent or not (SummEdits). The rule that does best on the four calls of the split
`evaluation` is the checker's; the thresholds of the overlap measures are found by leaving one call out at a time.

Intervals are two one-sided 95 % bounds, over clusters: entity, record, call.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import sys
import time
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shoplm_audit.data.readers import read_records
from shoplm_audit.data.records import Product
from shoplm_audit.scoring.claims import check_claims
from shoplm_audit.scoring.injection import ERRORS, inject
from shoplm_audit.scoring.overlap import grams_of, rouge, tokens_of
from shoplm_audit.scoring.schema import E2E, Schema
from shoplm_audit.scoring.slots import AttributeCounts, SlotErrors
from shoplm_audit.scoring.words import alike, words
from shoplm_audit.uncertainty import bootstrap, rate_interval

SEED, CONFIDENCE = 0, 0.95  # of each bound
OTHERS = 12  # records that an error is borrowed from, per attribute
WORDS, CHARACTERS, SPEED_TEXTS = 60, 100, 1500
CALLED = {"certificate": ("contradicted", "unsupported", "prohibited")}  # no record of these sets has certificates


def even(text: str) -> bool:
    return zlib.crc32(text.encode()) % 2 == 0


def clusters_of(names: Sequence[str]) -> Any:
    return np.unique(np.array(names), return_inverse=True)[1]


def rate(hits: Sequence[bool], names: Sequence[str]) -> str:
    values = np.array(hits, dtype=float)
    told = rate_interval(values, clusters_of(names), CONFIDENCE)
    return f"{values.mean():.4f} [{told.low:.4f}, {told.high:.4f}], n = {len(hits)}"


# E2E ----------------------------------------------------------------------------------------------------------------


def f1(sums: Any) -> Any:
    """F1 of sums (B, 3): hits, false alarms, misses."""
    hit, false, missed = np.asarray(sums, dtype=float).T
    with np.errstate(invalid="ignore"):
        return 2 * hit / (2 * hit + false + missed)


def told_f1(name: str, rows: Sequence[tuple[bool, bool]], texts: Sequence[str]) -> None:
    said, true = np.array(rows, dtype=bool).T
    counts = np.stack([said & true, said & ~true, ~said & true], axis=1).astype(float)
    bounds = bootstrap(counts, clusters_of(texts), f1, CONFIDENCE, np.random.default_rng(SEED))
    hit, false, missed = counts.sum(axis=0).astype(int)
    value = float(f1(counts.sum(axis=0, keepdims=True))[0])
    print(
        f"| {name} | {value:.4f} [{bounds.low:.4f}, {bounds.high:.4f}] | {hit} | {false} | {missed} | {len(rows)} |",
        flush=True,
    )


def slots_of(record: str) -> dict[str, str]:
    """The slots of a meaning representation; of two values of a slot the last (29 corrected records are so equal)."""
    return {name.strip(): value for name, value in re.findall(r"([^,\[\]]+)\[([^\[\]]*)\]", record)}


def e2e(data: Path) -> None:
    """Which texts do not fit their original record."""
    rows = list(csv.DictReader((data / "e2e_cleaned" / "devel-fixed.no-ol.csv").open(encoding="utf-8", newline="")))
    halves: dict[bool, list[tuple[bool, bool]]] = {True: [], False: []}
    changed: list[tuple[bool, bool]] = []
    changed_only: list[tuple[bool, bool]] = []
    texts: dict[str, list[str]] = defaultdict(list)
    original, corrected, counts = SlotErrors(), SlotErrors(), AttributeCounts()
    for row in rows:
        text, now, before = row["ref"], slots_of(row["mr"]), slots_of(row["orig_mr"])
        errors = E2E.slot_errors(text, before)
        original += errors
        corrected += E2E.slot_errors(text, now)
        counts += E2E.attribute_counts(text, now)
        differs = now != before
        more = any(before.get(name) != value for name, value in now.items())
        halves[even(text)].append((not errors.fits, differs))
        texts["even" if even(text) else "odd"].append(text)
        if more or not differs:
            changed.append((bool(errors.added or errors.wrong), differs))
            changed_only.append((not errors.fits, differs))
            texts["changed"].append(text)
    print("| texts | F1 | hits | false alarms | misses | rows |\n|---|---|---|---|---|---|")
    told_f1("all", halves[True] + halves[False], texts["even"] + texts["odd"])
    told_f1("even, whose wordings were read", halves[True], texts["even"])
    told_f1("odd, not read", halves[False], texts["odd"])
    told_f1("changed or added slot, any error found", changed_only, texts["changed"])
    told_f1("changed or added slot, found as such", changed, texts["changed"])
    print(f"slot error rate of the original records {original.rate:.4f}, of the corrected {corrected.rate:.4f}")
    print(f"{original}\n{corrected}")
    print(
        f"attributes against the corrected records: P {counts.precision:.4f} R {counts.recall:.4f} F1 {counts.f1:.4f}"
    )


# Injected errors ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Entry:
    """A record with a text about it; entries of a cluster stand on one side."""

    cluster: str
    title: str
    facts: dict[str, str]
    text: str


def webnlg(data: Path) -> Iterator[Entry]:
    """English: triples as attributes of the text's subject, repeated predicates as one; subjects are the title."""
    for split in ("train", "dev", "test"):
        for line in (data / "webnlg_v1.5_en" / f"{split}.jsonl").read_text(encoding="utf-8").splitlines():
            read = json.loads(line)
            triples = [[part.strip('"').replace("_", " ") for part in triple] for triple in read["triples"]]
            facts: dict[str, str] = {}
            for (_, _, value), (_, predicate, _) in zip(triples, read["triples"], strict=True):
                known = facts.get(predicate, "")
                facts[predicate] = f"{known}; {value}" if known and value not in known else known or value
            title = "; ".join(dict.fromkeys(subject for subject, _, _ in triples))
            for text in read["lexs"]:
                if text["comment"] == "good":
                    yield Entry(triples[0][0], title, facts, text["text"])


def advertisegen(data: Path) -> Iterator[Entry]:
    """Chinese: attribute lists with their copy."""
    for read in read_records("products", data / "advertisegen" / "dev.json", skip_bad_rows=True, on_bad=lambda _: None):
        if isinstance(read, Product):
            key = ";".join(f"{name}={value}" for name, value in read.attributes.items())
            yield Entry(key, read.title, dict(read.attributes), read.description)


def contradicted(entry: Entry, text: str, language: str, schema: Schema, kind: str = "") -> list[Any]:
    ledger = check_claims(text, entry.facts, language=language, title=entry.title, schema=schema)
    return [claim for claim in ledger.claims if claim.verdict in CALLED.get(kind, ("contradicted",))]


def injected(data: Path, most: int) -> None:
    """Sensitivity by kind, and how many untouched texts are called contradicted."""
    for language, read in (("en", webnlg), ("zh", advertisegen)):
        entries = list(read(data))
        learnt = [entry for entry in entries if not even(entry.cluster)]
        tried = [entry for entry in entries if even(entry.cluster)]
        schema = Schema.of(
            [entry.facts for entry in learnt], [entry.text for entry in learnt], [entry.title for entry in learnt]
        )
        ever = {part for entry in learnt for value in entry.facts.values() for part in re.split(r"; |、", value)}
        records = {json.dumps(entry.facts, ensure_ascii=False): entry.facts for entry in tried}
        holding: dict[str, list[dict[str, str]]] = defaultdict(list)
        for facts in records.values():
            for name in facts:
                holding[name].append(facts)
        rng = np.random.default_rng([SEED, len(language)])
        order = rng.permutation(len(tried))[:most]
        hits: dict[str, list[bool]] = defaultdict(list)
        names: dict[str, list[str]] = defaultdict(list)
        alarms, alarmed, known = [], [], []
        for place in order:
            entry = tried[int(place)]
            clean = contradicted(entry, entry.text, language, schema)
            alarms.append(bool(clean))
            alarmed.append(entry.cluster)
            if clean:
                told = [(claim.kind, claim.attribute, claim.words) for claim in clean]
                print(
                    f"  untouched, {told}: {entry.text} {json.dumps(entry.facts, ensure_ascii=False)}", file=sys.stderr
                )
            others = [
                holding[name][int(i)] for name in entry.facts for i in rng.integers(len(holding[name]), size=OTHERS)
            ]
            for kind in ERRORS:
                made = inject(
                    kind, entry.text, entry.facts, language=language, title=entry.title, others=others, rng=rng
                )
                if made is None or kind == "omission":
                    continue
                found = contradicted(entry, made.text, language, schema, kind)
                hit = any(claim.start < made.end and made.start < claim.end for claim in found)
                hits[kind].append(hit)
                names[kind].append(entry.cluster)
                if kind in ("value", "leak"):
                    known.append(any(part in made.now for part in ever if len(part) > 1))
                if not hit and kind != "certificate":
                    print(
                        f"  missed {kind} {made.was!r} -> {made.now!r} ({made.attribute}): {made.text}", file=sys.stderr
                    )
        print(f"\n{language}: schema of {len(learnt)} texts, {len(order)} texts tried, {len(set(alarmed))} clusters")
        print(f"untouched texts called contradicted: {rate(alarms, alarmed)}")
        for kind in hits:
            print(f"  {kind}: {rate(hits[kind], names[kind])}")
        held = [kind for kind in hits if kind != "certificate"]
        pooled = [hit for kind in held for hit in hits[kind]]
        print(f"  all but certificate: {rate(pooled, [name for kind in held for name in names[kind]])}")
        means = [float(np.mean(hits[kind])) for kind in held]
        print(
            f"  mean over kinds: {np.mean(means):.4f}; new values that the schema had ever seen: {np.mean(known):.3f}"
        )


# Speed --------------------------------------------------------------------------------------------------------------


def speed(data: Path) -> None:
    """Texts a minute."""
    sets: dict[str, list[Entry]] = {"AdvertiseGen": list(advertisegen(data)), "product_catalog_er": []}
    for path in sorted((data / "product_catalog_er").glob("*.jsonl")):
        for read in read_records("products", path, skip_bad_rows=True, on_bad=lambda _: None):
            if isinstance(read, Product):
                facts = {**read.attributes, **({"price": read.price} if read.price else {})}
                text = read.description or read.title
                sets["product_catalog_er"].append(Entry(read.id, read.title, facts, text))
    for name, entries in sets.items():
        language = "zh" if name == "AdvertiseGen" else "en"
        schema = Schema.of([entry.facts for entry in entries], [entry.text for entry in entries])
        rng = np.random.default_rng(SEED)
        chosen = [entries[int(i)] for i in rng.permutation(len(entries))[:SPEED_TEXTS]]
        texts = [lengthened(entry.text, language) for entry in chosen]
        for told, used in (("without a schema", None), ("with its schema", schema)):
            started, claims = time.process_time(), 0
            for entry, text in zip(chosen, texts, strict=True):
                ledger = check_claims(text, entry.facts, language=language, title=entry.title, schema=used)
                claims += len(ledger.claims)
            seconds = time.process_time() - started
            print(
                f"{name}, {told}: {60 * len(texts) / seconds:.0f} texts a minute, {60 * claims / seconds:.0f} claims",
                flush=True,
            )


def lengthened(text: str, language: str) -> str:
    """A text repeated or cut to 60 words."""
    if language == "zh":
        return (text * (CHARACTERS // max(1, len(text)) + 1))[:CHARACTERS]
    found = text.split() or ["-"]
    return " ".join((found * (WORDS // len(found) + 1))[:WORDS])


# Calls --------------------------------------------------------------------------------------------------------------

DENIES = re.compile(r"\b(?:not|no|never|without|cannot|neither|nor|none)\b|n't", re.IGNORECASE)


def strange(call: str, summary: str) -> bool:
    """Whether a summary has a name or number that the call lacks."""
    heard = {word.form for word in words(call)}
    long = [form for form in heard if len(form) > 3]
    return any(
        (word.number or word.name) and word.form not in heard and not any(alike(word.form, form) for form in long)
        for word in words(summary)
    )


def balanced(sums: Any) -> Any:
    """Balanced accuracy of sums (B, 4): right and all of the consistent, right and all of the others."""
    right, all_, found, others = np.asarray(sums, dtype=float).T
    with np.errstate(invalid="ignore", divide="ignore"):
        return (right / all_ + found / others) / 2


def told_balanced(name: str, said: Any, consistent: Any, calls: Any) -> None:
    """`said` is whether a summary was called inconsistent."""
    rows = np.stack([~said & consistent, consistent, said & ~consistent, ~consistent], axis=1).astype(float)
    value = float(balanced(rows.sum(axis=0, keepdims=True))[0])
    bounds = bootstrap(rows, calls, balanced, CONFIDENCE, np.random.default_rng(SEED))
    print(f"| {name} | {value:.3f} [{bounds.low:.3f}, {bounds.high:.3f}] | {len(said)} |", flush=True)


def best_threshold(scores: Any, consistent: Any) -> float:
    def accuracy(threshold: float) -> float:
        low = scores < threshold
        return float(low[~consistent].mean() + (~low)[consistent].mean())

    return max(map(float, np.unique(scores)), key=accuracy)


def calls(data: Path) -> None:
    """Balanced accuracy on summaries of sales calls."""
    rows = json.loads((data / "summedits" / "summedits_sales_call.json").read_text(encoding="utf-8"))
    consistent = np.array([row["label"] == 1 for row in rows])
    number = clusters_of([row["doc"] for row in rows])
    tested = np.array([row["split"] == "test" for row in rows])
    names = np.array([strange(row["doc"], row["summary"]) for row in rows])
    denies = np.array([DENIES.search(row["summary"]) is not None for row in rows])
    rules = {"a name or number that the call lacks": names, "a denial": denies, "either": names | denies}
    print("| called inconsistent for | balanced accuracy | summaries |\n|---|---|---|")
    for rule, said in rules.items():
        for split, rows_of in (("evaluation", ~tested), ("test", tested), ("all", tested | ~tested)):
            told_balanced(f"{rule}, {split}", said[rows_of], consistent[rows_of], number[rows_of])
    measures: dict[str, list[float]] = {
        "ROUGE-2 with the call": [rouge(row["summary"], row["doc"], "en").rouge2 for row in rows]
    }
    for order in (1, 2, 3):
        shares = []
        for row in rows:
            heard = set(grams_of(tokens_of(row["doc"], "en"), order))
            shares.append(float(np.mean([gram in heard for gram in grams_of(tokens_of(row["summary"], "en"), order)])))
        measures[f"share of {order}-grams that the call has"] = shares
    for name, values in measures.items():
        scores, low = np.array(values), np.zeros(len(rows), dtype=bool)
        for call in range(number.max() + 1):
            out = number == call
            low[out] = scores[out] < best_threshold(scores[~out], consistent[~out])
        told_balanced(name, low, consistent, number)


PARTS = ("e2e", "injected", "speed", "calls")


def main() -> None:
    """Runs the parts that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--texts", type=int, default=1500, help="of a language, that get errors")
    asked = parser.parse_args()
    for part in asked.parts.split(","):
        print(f"\n{part}", flush=True)
        match part:
            case "e2e":
                e2e(asked.data)
            case "injected":
                injected(asked.data, asked.texts)
            case "speed":
                speed(asked.data)
            case "calls":
                calls(asked.data)
            case _:
                parser.error(f'part "{part}": there are {", ".join(PARTS)}.')


if __name__ == "__main__":
    main()
