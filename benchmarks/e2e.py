"""Meaning to text on E2E: BLEU and ROUGE-L of a plain model and of private ones of the same shape and beginning.

python -m benchmarks.e2e --data FOLDER [--out FOLDER] [--arms plain,private8,...] [--steps N]

FOLDER holds `e2e_nlg` (Novikova et al., arXiv 1706.09254) and `webnlg_v1.5_en`. E2E's development set is divided by
record: all texts of one meaning (its set of slots) stand on one side, 200 meanings are held out. The protected unit is
one (meaning, text) pair of the other side, as in Li et al. (arXiv 2110.05679); what is held out is only scored.

Public, and without any guarantee: ShopWorld, WebNLG, and restaurants that are invented here (`eatery`) after the slots
that E2E's authors published. Of E2E itself nothing enters the tokenizer or the base. All is lower-cased: so is E2E's
usual scoring.
`base` learns from these; `primed` goes on with restaurants of many more names, so that names are copied; the other arms
begin at `primed` and differ in how they learn from E2E alone. Texts are written by a beam (--beams 1 is greedy). An
interval is two one-sided 95 % bounds of a bootstrap over meanings, and does not hold how runs differ.
An arm that is in --out already is not trained again. --steps shortens every training, to try the script out.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from shoplm_audit.data.shopworld import invent_products
from shoplm_audit.training.corpus import Example
from shoplm_audit.training.loop import train
from shoplm_audit.training.settings import TrainSettings

HELD_OUT, PRODUCTS, EATERIES, TRIPLES, SEED = 200, 12_000, 12_000, 4, 0
DRAWS, BOUNDS = 1000, (5, 95)  # of the bootstrap over meanings: two one-sided 95 % bounds
Slots = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Arm:
    """One training, by what it begins from and reads: "public", "names" or "e2e"."""

    reads: str
    begins: str
    settings: Mapping[str, Any]


SHAPE = {"layers": 3, "heads": 4, "width": 128, "vocabulary": 1536, "context": 128}
TUNED = {"holdout": 0.0, "micro_batch": 16}
PLAIN = TUNED | {"steps": 300, "batch": 48, "learning_rate": 1e-3}
# Four earlier runs on these pairs were looked at: unprimed, private8, slow3 and lora3.
PRIVATE = TUNED | {"micro_batch": 32, "steps": 50, "batch": 384, "clip_norm": 0.1, "searched": 4}
ARMS: dict[str, Arm] = {
    "base": Arm("public", "", SHAPE | {"steps": 1500, "batch": 48, "micro_batch": 12, "learning_rate": 4e-3}),
    "primed": Arm("names", "base", {"steps": 300, "batch": 48, "micro_batch": 12, "learning_rate": 2e-3}),
    "plain": Arm("e2e", "primed", PLAIN),
    "private8": Arm("e2e", "primed", PRIVATE | {"epsilon": 8.0, "learning_rate": 2e-3}),
    "private3": Arm("e2e", "primed", PRIVATE | {"epsilon": 3.0, "learning_rate": 2e-3, "steps": 40}),
    "slow3": Arm("e2e", "primed", PRIVATE | {"epsilon": 3.0, "learning_rate": 1e-3}),
    "lora3": Arm("e2e", "primed", PRIVATE | {"epsilon": 3.0, "learning_rate": 6e-3, "adapter": "lora", "rank": 8}),
    "unprimed": Arm("e2e", "base", PLAIN),
}


# Data ---------------------------------------------------------------------------------------------------------------


def prompt_of(slots: Slots) -> str:
    """name: alimentum | area: city centre =>"""
    return " | ".join(f"{_words(name)}: {value.lower().strip()}" for name, value in slots.items()) + " =>"


def _words(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])|_+", " ", name).lower().strip()


def example(slots: Slots, text: str, private: bool = False) -> Example:
    prompt = prompt_of(slots)
    return Example(f"{prompt} {' '.join(text.lower().split())}", private=private, answer_start=len(prompt))


def ordered(slots: Sequence[tuple[str, str]]) -> Sequence[tuple[str, str]]:
    return sorted(slots, key=lambda slot: (slot[0] != "name", slot))


def shuffled(slots: Slots, rng: np.random.Generator) -> Slots:
    """The first slot stays first: it is what the text is about."""
    first, *rest = slots
    return {name: slots[name] for name in (first, *(rest[int(i)] for i in rng.permutation(len(rest))))}


def public(data: Path, rng: np.random.Generator) -> Iterator[Example]:
    """ShopWorld's English products and WebNLG's triples, both written as slots, and invented restaurants."""
    for product in invent_products(SEED, PRODUCTS):
        if product.language == "en":
            told = {n: v for n, v in product.attributes.items() if v.lower() in product.description.lower()}
            yield example(shuffled({"name": product.title, **told}, rng), product.description)
    for line in (data / "webnlg_v1.5_en" / "train.jsonl").read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        triples = [[part.strip('"').replace("_", " ") for part in triple] for triple in entry["triples"]]
        slots = {"name": triples[0][0]}
        for subject, predicate, value in triples:
            slots[_words(predicate) if subject == slots["name"] else f"{_words(predicate)} of {subject}"] = value
        for text in entry["lexs"]:
            if text["comment"] == "good" and len(triples) <= TRIPLES:
                yield example(shuffled(slots, rng), text["text"])
    for _ in range(EATERIES):
        yield eatery(rng, _name)


def e2e(data: Path) -> dict[tuple[tuple[str, str], ...], list[str]]:
    """The texts of each meaning. Slots stand in one order, the name first, whatever order they were written in."""
    found: dict[tuple[tuple[str, str], ...], list[str]] = {}
    with (data / "e2e_nlg" / "devset.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            slots = [(name.strip(), value) for name, value in re.findall(r"([^,\[]+)\[([^\]]*)\]", row["mr"])]
            found.setdefault(tuple(ordered(slots)), []).append(row["ref"])
    return found


def divided(data: Path) -> tuple[list[Example], dict[str, list[str]]]:
    """What is learned, and the texts of each held-out prompt."""
    meanings = e2e(data)
    keys = sorted(meanings)
    out = {keys[int(i)] for i in np.random.default_rng([SEED, 1]).permutation(len(keys))[:HELD_OUT]}
    learned = [example(dict(key), text, True) for key in keys if key not in out for text in meanings[key]]
    return learned, {prompt_of(dict(key)): meanings[key] for key in keys if key in out}


# Invented restaurants -----------------------------------------------------------------------------------------------

_FIRST = (
    "amber birch copper daisy elm falcon garden harbour indigo juniper king lantern maple north olive pearl queen "
    "river silver tulip velvet willow crooked hungry jolly red"
)
_SECOND = (
    "barrel bell cellar corner crown duck fork goose hall hearth inn kitchen ladle lion mill oven pantry plate spoon "
    "table tavern well"
)
_SOUNDS = ("bcdfghjklmnprstvz", "aeiou")
_VALUES: dict[str, Sequence[str]] = {
    "eatType": ("restaurant", "pub", "coffee shop"),
    "food": ("italian", "french", "english", "chinese", "indian", "japanese", "fast food", "greek", "thai", "mexican"),
    "priceRange": ("cheap", "moderate", "high", "less than £20", "£20-25", "more than £30"),
    "customer rating": ("low", "average", "high", "1 out of 5", "3 out of 5", "5 out of 5"),
    "area": ("riverside", "city centre"),
    "familyFriendly": ("yes", "no"),
}
_AREAS = {
    "riverside": ("in the riverside area", "by the riverside", "on the riverside"),
    "city centre": ("in the city centre", "in the centre of the city"),
}
_FAMILY = {
    "yes": ("family friendly", "child friendly", "kid friendly"),
    "no": ("not family friendly", "not child friendly", "not a place for families"),
}


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _name(rng: np.random.Generator) -> str:
    words = (str(rng.choice(_FIRST.split())), str(rng.choice(_SECOND.split())))
    return (f"the {words[0]} {words[1]}", " ".join(words), f"the {words[1]}", f"{words[0]}'s")[int(rng.integers(4))]


def _any_name(rng: np.random.Generator, words: Sequence[str]) -> str:
    """Of any public words or of syllables, so that a name can only be copied."""
    if rng.random() < 0.4:
        word = "".join(one + two for one, two in zip(*(rng.choice(list(s), 4) for s in _SOUNDS), strict=True))
        word = word[: int(rng.integers(3, 9))]
    else:
        word = " ".join(words[int(i)] for i in rng.integers(len(words), size=int(rng.integers(1, 3))))
    return f"the {word}" if rng.random() < 0.4 else word


def eatery(rng: np.random.Generator, named: Callable[[np.random.Generator], str]) -> Example:
    """name: the red fork | area: riverside | food: thai => the red fork serves thai food by the riverside."""

    def one(*texts: str) -> str:
        return texts[int(rng.integers(len(texts)))]

    slots = {"name": named(rng)} | {name: one(*texts) for name, texts in sorted(_VALUES.items()) if rng.random() < 0.65}
    if rng.random() < 0.6:
        slots["near"] = named(rng)
    name, food, price, rating = (slots.get(slot, "") for slot in ("name", "food", "priceRange", "customer rating"))
    places, told = [], []
    if "area" in slots:
        places.append(one(*_AREAS[slots["area"]]))
    if "near" in slots:
        places.append(f"{one('near', 'close to', 'located near')} {slots['near']}")
    if price:
        told.append(one(f"prices are {price}", f"the price range is {price}", f"its price range is {price}"))
    if rating:
        known = (
            f"it has a customer rating of {rating}" if "5" in rating else f"it has {_article(rating)} customer rating"
        )
        told.append(one(known, f"the customer rating is {rating}"))
    kind, friendly = slots.get("eatType") or one("place", "restaurant", "venue"), ""
    if "familyFriendly" in slots:
        friendly = one(*_FAMILY[slots["familyFriendly"]])
        if rng.random() < 0.5:
            kind = f"{friendly} {kind}"
        else:
            told.append(f"it is {friendly}")
    if food and rng.random() < 0.4:
        kind = f"{food} {kind}"
    elif food:
        kind += f" {one('serving', 'that serves', 'offering')} {food}{'' if 'food' in food else ' food'}"
    kind, place = _article(kind), " ".join(places)
    text = one(f"{name} is {kind} {place}", f"there is {kind} {place} called {name}", f"{place}, {name} is {kind}")
    for part in (told[int(i)] for i in rng.permutation(len(told))):
        text += one(". ", ". ", " and ", ", ") + part
    return example(dict(ordered([*slots.items()])), re.sub(r" +(?=[.,])", "", text).strip(" ,") + ".")


# Scores -------------------------------------------------------------------------------------------------------------


def rouge_l(said: Sequence[str], texts: Sequence[Sequence[str]]) -> float:
    """F1 of the longest common subsequence of words with the nearest reference (Lin, 2004)."""
    return max(2 * _common(said, text) / max(1, len(said) + len(text)) for text in texts)


def _common(a: Sequence[str], b: Sequence[str]) -> int:
    row = [0] * (len(b) + 1)
    for word in a:
        before = 0
        for j, other in enumerate(b):
            before, row[j + 1] = row[j + 1], before + 1 if word == other else max(row[j + 1], row[j])
    return row[-1]


def scores(folder: Path, held_out: Mapping[str, Sequence[str]], beams: int) -> tuple[Any, Any, list[str]]:
    """What BLEU is added up from (meanings, 10), ROUGE-L of each meaning, and what was written."""
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

    from shoplm_audit.models.load import load_model
    from shoplm_audit.types import Generate, Prompt, Sampling

    sampling = Sampling(max_new_tokens=64, beams=beams)
    said = load_model(str(folder), device="cpu").generate([Generate(Prompt(p), sampling) for p in held_out])
    bleu, words, counted, rouge = BLEU(lowercase=True, effective_order=True), Tokenizer13a(), [], []  # type: ignore[no-untyped-call]
    for text, references in zip(said, held_out.values(), strict=True):
        one = bleu.sentence_score(text, list(references))
        counted.append([*one.counts, *one.totals, one.sys_len, one.ref_len])
        rouge.append(rouge_l(words(text.lower()).split(), [words(ref.lower()).split() for ref in references]))
    return np.array(counted), np.array(rouge), said


def bleu_of(sums: Any) -> float:
    """Corpus BLEU of added-up counts (10,), as sacrebleu makes it."""
    from sacrebleu.metrics.bleu import BLEU

    whole = [int(number) for number in sums]
    return float(BLEU.compute_bleu(whole[:4], whole[4:8], whole[8], whole[9]).score)


def table(scored: Mapping[str, tuple[Any, Any, list[str]]], out: Path) -> Iterator[str]:
    """One row per arm; shares of the plain arm are drawn with it, meaning by meaning."""
    yield "| arm | epsilon at delta | BLEU | ROUGE-L | of plain: BLEU, ROUGE-L | steps x batch | trainable | seconds |"
    yield "|---|---|---|---|---|---|---|---|"
    rng, size = np.random.default_rng([SEED, 2]), len(next(iter(scored.values()))[1])
    weights = rng.multinomial(size, [1 / size] * size, size=DRAWS)
    drawn = {name: np.array([bleu_of(row) for row in weights @ counted]) for name, (counted, _, _) in scored.items()}
    whole = {name: bleu_of(counted.sum(axis=0)) for name, (counted, _, _) in scored.items()}
    for name, (_, rouge, _) in scored.items():
        record = json.loads((out / name / "training.json").read_text(encoding="utf-8"))
        settings, privacy, longest = record["settings"], record["privacy"], weights @ rouge / size
        shares = "-"
        if "plain" in scored and whole["plain"]:
            other = scored["plain"][1]
            shares = f"{whole[name] / whole['plain']:.3f} {_interval(drawn[name] / drawn['plain'], 3)}, "
            shares += f"{rouge.mean() / other.mean():.3f} {_interval(longest / (weights @ other / size), 3)}"
        yield " | ".join(
            (
                f"| {name}",
                f"{privacy['epsilon']:.2f} at {privacy['delta']:.2g}" if privacy else "none",
                f"{whole[name]:.1f} {_interval(drawn[name], 1)}",
                f"{rouge.mean():.3f} {_interval(longest, 3)}",
                shares,
                f"{record['steps']} x {settings['batch']}",
                f"{record['cost']['trainable_parameters']:,.0f}",
                f"{record['cost']['seconds']:.0f} |",
            )
        )


def _interval(draws: Any, digits: int) -> str:
    low, high = np.percentile(draws, BOUNDS)
    return f"[{low:.{digits}f}, {high:.{digits}f}]"


def watched(name: str) -> Callable[[Any], None]:
    began = time.perf_counter()

    def at(progress: Any) -> None:
        if progress.step % max(1, progress.steps // 30) == 0:
            told = (
                f"{name}: {progress.step}/{progress.steps}, loss {progress.loss:.3f}, held out {progress.held_out:.3f}"
            )
            print(f"{told}, {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)

    return at


def main() -> None:
    """Trains the arms that are named, and what they begin from; prints the table and a few texts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/e2e"))
    parser.add_argument("--arms", default="primed,plain,private8,private3")
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--beams", type=int, default=4)
    asked = parser.parse_args()
    rng = np.random.default_rng([SEED, 0])
    learned, held_out = divided(asked.data)
    known = list(public(asked.data, rng))
    words = sorted({word for one in known for word in re.findall(r"\b[a-z]{3,9}\b", one.text)})
    named = [eatery(rng, lambda rng: _any_name(rng, words)) for _ in range(EATERIES)]
    texts = {"public": (known, []), "names": (named, []), "e2e": ([], learned)}
    print(f"{len(learned)} pairs to learn, {len(held_out)} meanings held out; {len(known)} public texts", flush=True)

    def trained(name: str) -> Path:
        arm, folder = ARMS[name], Path(asked.out) / name
        begins = str(trained(arm.begins)) if arm.begins else ""
        if not folder.exists():
            changes = {"steps": asked.steps} if asked.steps else {}
            settings = TrainSettings(base=begins, seed=SEED, **{**arm.settings, **changes})
            train(settings, *texts[arm.reads], folder, watched(name))
        return folder

    scored = {name: scores(trained(name), held_out, asked.beams) for name in asked.arms.split(",")}
    for line in table(scored, asked.out):
        print(line)
    for number, prompt in islice(enumerate(held_out), 0, HELD_OUT, 50):
        print(f"\n{prompt}", *(f"  {name}: {said[number]}" for name, (_, _, said) in scored.items()), sep="\n")


main()
