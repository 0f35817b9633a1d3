"""Leakage on real data: who is caught, what gives a sabotaged trainer away, and what helps.

python -m benchmarks leakage --data FOLDER [--out FOLDER] [--part caught,sabotaged,...] [--only amazon,...]

FOLDER holds `amazon_5core`, `zh_reviews` and `cold_zh`. All models of a part begin at one base, which read public text
alone (ShopWorld, and the comments of `cold_zh`), so plain and private ones share tokenizer, data, seed, coins, canaries
and steps. English reviews are kept by user, each text once per user; Chinese ones have no users, and their unit is the
record, so that canaries in several copies test a group there. Every interval is two one-sided 95 % bounds.

caught: plain over 20 epochs, and user-level epsilon 3 and 8. sabotaged: claims of epsilon 3 that are not kept, and who
finds out. shifted: members and non-members of different dates. seconds: what the suite costs. mitigated: the same
attacks before and after. shadows: LiRA with 8 shadows against the plain loss. A model that is in --out already is not
trained again, and answers are kept there.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np

from shoplm_audit import audit
from shoplm_audit.data.care import Care, cared_for
from shoplm_audit.data.duplicates import Repeats
from shoplm_audit.data.readers import read_records
from shoplm_audit.data.records import Customer, Review
from shoplm_audit.data.shopworld import secret_prompt, shopworld
from shoplm_audit.errors import ModelError
from shoplm_audit.models.guard import guarded
from shoplm_audit.models.load import load_model
from shoplm_audit.record import Canary, Member, Secrets, TrainingRecord
from shoplm_audit.store import Store
from shoplm_audit.training import members, noise, private, steps
from shoplm_audit.training.bookkeeping import ClippedSums
from shoplm_audit.training.corpus import Example, examples_of
from shoplm_audit.training.loop import train
from shoplm_audit.training.plain import PlainGradients
from shoplm_audit.training.settings import TrainSettings
from shoplm_audit.types import Pair

SEED, EPOCHS = 0, 20
AMAZON = ("All_Beauty_5.clean.jsonl", "AMAZON_FASHION_5.clean.jsonl")
CHARACTERS = {"en": 160, "zh": 40}  # of a review
SHAPE = {"layers": 2, "heads": 4, "width": 96, "vocabulary": 2048}  # 0.4 M parameters
COMMON: dict[str, Any] = {"seed": SEED, "context": 96, "micro_batch": 64}
PLAIN = COMMON | {"coin": "fair", "batch": 64, "learning_rate": 3e-3}
PRIVATE = COMMON | {"coin": "fair", "batch": 48, "learning_rate": 1e-3, "clip_norm": 0.1, "records_per_user": 2}
SHADOWS = 8
SABOTAGED: dict[str, Any] = {"canaries": 1000, "canary_copies": (1,), "canary_families": ("random",), "epsilon": 3.0}
SABOTAGED |= {"unit": "record", "steps": 500, "batch": 32, "learning_rate": 2e-3, "clip_norm": 0.05}


# Data ---------------------------------------------------------------------------------------------------------------


def amazon(data: Path) -> dict[str, dict[str, str]]:
    """Of each user the texts, each once, with its date; users in an order that is drawn."""
    users: dict[str, dict[str, str]] = {}
    for file in AMAZON:
        for review in read_records("reviews", data / "amazon_5core" / file, skip_bad_rows=True, on_bad=lambda _: None):
            if isinstance(review, Review) and (text := review.text[: CHARACTERS["en"]].strip()):
                users.setdefault(review.user, {}).setdefault(text, review.time)
    names = sorted(users)
    return {names[int(i)]: users[names[int(i)]] for i in np.random.default_rng([SEED, 0]).permutation(len(names))}


def by_user(users: Mapping[str, Mapping[str, str]]) -> list[Example]:
    return [Example(text, user, True) for user, texts in users.items() for text in texts]


def chinese(data: Path) -> list[Example]:
    """Chinese reviews, none of which is repeated: they belong to nobody but themselves."""
    path = data / "zh_reviews" / "online_shopping_10_cats.csv"
    found = read_records("reviews", path, skip_bad_rows=True, on_bad=lambda _: None)
    texts = sorted({review.text[: CHARACTERS["zh"]].strip() for review in found if isinstance(review, Review)} - {""})
    order = np.random.default_rng([SEED, 1]).permutation(len(texts))
    return [Example(texts[int(i)], private=True, language="zh") for i in order[:700]]


def customers(count: int, most: int) -> list[Customer]:
    """Invented customers with 1, 2, 4 or 8 records each, or the first `most` of them."""
    world = shopworld(SEED, products=1, customers=count, share_repeated=0.0)
    return [replace(one, records=one.records[:most]) for one in world.customers]


def private_of(name: str, data: Path) -> list[Example]:
    match name:
        case "amazon":
            return by_user(dict(islice(amazon(data).items(), 600)))
        case "zh":
            return chinese(data)
        case _:
            return examples_of(customers(600, 2), private=True)


def public(data: Path) -> list[Example]:
    world = shopworld(SEED, products=1500, customers=0)
    texts = [Example(review.text, language=review.language) for review in world.reviews]
    texts += [Example(product.description, language=product.language) for product in world.products]
    comments = read_records("texts", data / "cold_zh" / "train.csv", skip_bad_rows=True, on_bad=lambda _: None)
    return texts + [Example(comment.text, language="zh") for comment in islice(comments, 6000)]  # type: ignore[union-attr]


# Training -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bench:
    """Where the data lies and where models and answers are kept."""

    data: Path
    out: Path

    @property
    def base(self) -> Path:
        return self.trained("base", public(self.data), [], COMMON | SHAPE | {"steps": 300, "learning_rate": 3e-3})

    def trained(self, name: str, known: Sequence[Example], own: Sequence[Example], settings: Mapping[str, Any]) -> Path:
        """The model's folder; it is trained where it is not there yet."""
        folder = self.out / name
        if not (folder / "training.json").exists():
            # Private runs invent canaries in both languages whatever the data's; the plain ones shall have the same.
            invent = members.invent_canaries
            with patch.object(members, "invent_canaries", lambda settings, _: invent(settings, ["en", "zh"])):
                train(TrainSettings(**settings), known, own, folder, watched(name))
        return folder

    def audited(
        self, model: Any, roles: Mapping[str, Path] | None = None, data: Mapping[str, Any] | None = None
    ) -> Mapping[str, Any]:
        """The estimates of the privacy suite by metric and slice, and the verdicts by gate."""
        spec = str(model) if isinstance(model, Path) else model
        named = {role: str(path) for role, path in (roles or {}).items()}
        with Store(self.out / "store.sqlite") as store:
            found = audit(spec, ["privacy"], roles=named, seed=SEED, store=store, data=data).result.suites[0]
        estimates = {name_of(one.metric, one.slice): one for one in found.estimates}
        return estimates | {f"gate {gate.metric}": gate.verdict for gate in found.gates}


def watched(name: str) -> Callable[[Any], None]:
    began = time.perf_counter()

    def at(progress: Any) -> None:
        if progress.step % max(1, progress.steps // 5) == 0:
            told = f"{name}: {progress.step}/{progress.steps}, loss {progress.loss:.3f}"
            print(f"{told}, {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)

    return at


def name_of(metric: str, inside: Mapping[str, Any]) -> str:
    return " ".join([metric, *(f"{key}={value}" for key, value in sorted(inside.items()))])


def steps_of(own: Sequence[Example], settings: Mapping[str, Any], epochs: float) -> int:
    """Steps of a plain run of so many epochs."""
    units = members.divide(own, TrainSettings(**settings)).units
    rows = sum(len(unit.examples) for unit in units)
    return math.ceil(epochs * rows / int(settings["batch"]))


def told(folder: Path, units: Sequence[Member], canaries: Sequence[Canary] = ()) -> Path:
    """Puts a division that was made outside the trainer beside a model."""
    record = TrainingRecord.read(folder)
    assert record is not None
    replace(record, secrets=Secrets(tuple(units), tuple(canaries), "split")).write(folder)
    return folder


# Tables -------------------------------------------------------------------------------------------------------------


SHOWN = (
    *("auroc_membership", "auroc_zlib", "auroc_min_k", "auroc_min_k_plus_plus", "auroc_reference"),
    *("auroc_likelihood_ratio", "auroc_blind", "tpr_membership_at_1_percent_fpr", "epsilon_lower_bound"),
    *(
        "epsilon_lower_bound_gaussian",
        "epsilon_from_attacks",
        "exposure_gap",
        "rate_extracted",
        "rate_extracted copies=16",
    ),
    *("rate_extracted_by_beam copies=16", "excess_recalled_10_after_10", "rate_personal_training"),
    *("excess_personal_training", "excess_target_told", "excess_copied"),
)


def shown(estimate: Any) -> str:
    """0.953 [0.941, 0.964]; of a lower bound also what it could have been and what was claimed."""
    if estimate is None or estimate.value is None:
        return "-"
    if estimate.ceiling is not None:
        return f"{estimate.value:.2f} of at most {estimate.ceiling:.2f} ({estimate.method})"
    low, high = ("" if bound is None else f"{bound:.3f}" for bound in (estimate.low, estimate.high))
    return f"{estimate.value:.3f} [{low}, {high}]"


def table(rows: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """A column per model, a row per estimate and per verdict that any of them has; notes below."""
    names = dict.fromkeys(name for found in rows.values() for name in found)
    gates = [name for name in names if name.startswith("gate ")]
    yield " | ".join(["| estimate", *rows]) + " |"
    yield "|---" * (1 + len(rows)) + "|"
    for name in (name for name in SHOWN if name in names):
        yield " | ".join([f"| {name}", *(shown(found.get(name)) for found in rows.values())]) + " |"
    for name in gates:
        yield " | ".join([f"| {name}", *(str(found.get(name, "-")) for found in rows.values())]) + " |"
    for title, found in rows.items():
        for name in (name for name in SHOWN if name in found and found[name].note):
            yield f"{title}, {name}: {found[name].note}"


def told_table(title: str, rows: Mapping[str, Mapping[str, Any]]) -> None:
    print(f"\n## {title}", *table(rows), sep="\n", flush=True)


def loss_outside(folder: Path) -> float:
    """Nats per token of texts that the coin left out: what the model learned in general."""
    record = TrainingRecord.read(folder)
    assert record is not None
    assert record.secrets is not None
    texts = [text for member in record.secrets.members if not member.inside for text in member.texts][:300]
    scores = load_model(str(folder), device="cpu").score([Pair(text[:1], text[1:]) for text in texts])
    return -float(np.concatenate([score.log_prob for score in scores]).mean())


# Parts --------------------------------------------------------------------------------------------------------------


def caught(bench: Bench, only: Sequence[str]) -> None:
    """Plain over 20 epochs is caught; the same at epsilon 3 and 8 is not."""
    for name in only or ("amazon", "zh", "customers"):
        own = private_of(name, bench.data)
        settings = PLAIN | {"unit": "record" if name == "zh" else "user", "canaries": 84}
        settings["base"] = str(bench.base)
        settings["steps"] = steps_of(own, settings, EPOCHS)
        arms = {"plain": settings} | {
            f"epsilon {epsilon:g}": settings | PRIVATE | {"epsilon": epsilon} for epsilon in (3.0, 8.0)
        }
        found = {}
        for arm, chosen in arms.items():
            folder = bench.trained(f"{name}-{arm.replace(' ', '')}", [], own, chosen)
            print(told_of(f"{name}, {arm}", folder), flush=True)
            found[arm] = bench.audited(folder, {"reference": bench.base})
        told_table(f"caught: {name}", found)


def told_of(title: str, folder: Path) -> str:
    """What a model was trained on, in a line."""
    raw = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    privacy, cost, used = raw["privacy"], raw["cost"], raw["data"][-1]
    claim = (
        "epsilon {epsilon:.2f} at {delta:.2g}, noise {noise_multiplier:.2f}".format_map(privacy) if privacy else "none"
    )
    taken = f"{raw['steps']} steps of {raw['settings']['batch']}, {cost['trainable_parameters']:,.0f} parameters"
    return (
        f"{title}: {used['units']} units in {used['records']} rows, {taken}, {cost['seconds']:.0f} s; claim: {claim}; "
        f"left-out texts {loss_outside(folder):.2f} nats per token"
    )


# Sabotages ----------------------------------------------------------------------------------------------------------


def _wide(init: Callable[..., None]) -> Callable[..., None]:
    return lambda self, model, clip_norm: init(self, model, 1e9)


def _halved(real: Callable[..., None]) -> Callable[..., None]:
    return lambda sums, deviation, *rest: real(sums, deviation / 2, *rest)


def _token_mean(real: Callable[..., Any]) -> Callable[..., Any]:
    """Losses by the tokens of the whole batch: who stands beside a record then changes its gradient."""

    def losses(self: PlainGradients, rows: Sequence[Any]) -> Any:
        own, sizes = real(self, rows), np.array([row.size for row in rows], dtype=float)
        return own * own.new_tensor(sizes / sizes.mean())

    return losses


def _tenfold(real: Callable[..., Any]) -> Callable[..., Any]:
    return lambda sizes, rate, *rest: real(sizes, min(1.0, 10 * rate), *rest)


def _twice(real: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self: (drawn := real(self)) + drawn[:1]


SABOTAGES: Mapping[str, tuple[Any, str, Callable[[Any], Any]]] = {
    "noise left out": (noise, "add_noise", lambda _: lambda *_, **__: None),
    "clipping left out": (ClippedSums, "__init__", _wide),
    "noise halved": (noise, "add_noise", _halved),
    "token-mean loss": (PlainGradients, "losses", _token_mean),
    "sampling rate x10": (steps, "PoissonSampler", _tenfold),
    "record twice": (private.PoissonSampler, "draw", _twice),
}


@contextmanager
def sabotaged_by(name: str, watched: bool) -> Iterator[None]:
    """A trainer with a fault, with its own checks before the first step or without."""
    with ExitStack() as stack:
        if name in SABOTAGES:
            place, what, fault = SABOTAGES[name]
            stack.enter_context(patch.object(place, what, fault(getattr(place, what))))
        if not watched:
            stack.enter_context(patch.object(private.PrivateGradients, "preflight", lambda *_: "switched off"))
            stack.enter_context(patch.object(steps, "audited_sampler", lambda *_: "switched off"))
        yield


def sabotaged(bench: Bench, only: Sequence[str]) -> None:
    """Who finds out that a claim of epsilon 3 is not kept: the trainer's own checks, or one run's canaries."""
    own = [Example(one.records[0], private=True, language=one.language) for one in customers(200, 1)]
    settings = PRIVATE | SABOTAGED | {"base": str(bench.base)}
    print("\n## sabotaged: before the first step\n| sabotage | the trainer's own checks say |\n|---|---|", flush=True)
    for name in ("none", *SABOTAGES):
        with sabotaged_by(name, watched=True), TemporaryDirectory() as place:
            try:
                short = TrainSettings(**settings | {"canaries": 0, "steps": 1})
                said = train(short, [], own, Path(place) / "model").privacy.preflight  # type: ignore[union-attr]
            except ModelError as fault:
                said = f"refused: {fault}"
        print(f"| {name} | {said} |", flush=True)
    found = {}
    for name in only or ("none", "noise left out", "clipping left out"):
        with sabotaged_by(name, watched=False):
            folder = bench.trained(f"sabotaged-{name.replace(' ', '-')}", [], own, settings)
        print(told_of(name, folder), flush=True)
        found[name] = bench.audited(folder)
    told_table("sabotaged: what one run gives away of a claimed epsilon of 3", found)


# Other parts --------------------------------------------------------------------------------------------------------


def dated(users: Mapping[str, Mapping[str, str]], chosen: set[str]) -> list[Review]:
    """The reviews of some users, as somebody would bring them who kept no training record."""
    texts = [(user, text, time) for user, own in users.items() if user in chosen for text, time in own.items()]
    return [
        Review(f"{user} {number}", "", text, user=user, time=time) for number, (user, text, time) in enumerate(texts)
    ]


def apart(reviews: Sequence[Review], others: Sequence[Review]) -> list[Review]:
    """The reviews that repeat none of the others, exactly or nearly: a few texts are several users'."""
    both, finder = [*others, *reviews], Repeats(0.8)
    for review in both:
        finder.add(review.text, review.language)
    repeats = finder.find(lambda position: both[position].text)
    return [review for place, review in enumerate(both) if place >= len(others) and place not in repeats]


def shifted(bench: Bench, _: Sequence[str]) -> None:
    """Members before a date, the others after it; and the same users at random. The base was trained on neither."""
    users = amazon(bench.data)
    by_date = sorted(users, key=lambda user: min(users[user].values()))
    at_random = {user for user in users if zlib.crc32(user.encode()) % 2}
    halves = {"by date": set(by_date[: len(users) // 2]), "at random": at_random}
    found = {}
    for name, inside in halves.items():
        own = by_user({user: texts for user, texts in users.items() if user in inside})
        units = [Member(user, tuple(texts), user in inside) for user, texts in users.items()]
        folder = bench.out / f"shifted-{name.replace(' ', '-')}"
        settings = PLAIN | {"coin": "split", "holdout": 0.0, "unit": "user", "base": str(bench.base)}
        settings["steps"] = steps_of(own, settings, 3)
        neither = bench.out / f"{folder.name}-neither"
        if not neither.exists():
            copytree(bench.base, neither)
        found[f"{name}, trained on neither"] = bench.audited(told(neither, units))
        lists = {"members": dated(users, inside), "nonmembers": dated(users, set(users) - inside)}
        lists["nonmembers"] = apart(lists["nonmembers"], lists["members"])
        found[f"{name}, lists with dates"] = bench.audited(bench.base, data=lists)
        found[f"{name}, 3 epochs"] = bench.audited(told(bench.trained(folder.name, [], own, settings), units))
    told_table("shifted", found)


def seconds(bench: Bench, _: Sequence[str]) -> None:
    """The whole suite for 5 M parameters and 2,000 records, on all threads that torch was given."""
    import torch

    own = [*by_user(dict(islice(amazon(bench.data).items(), 1100))), *chinese(bench.data)][:2000]
    shape = {"layers": 4, "heads": 4, "width": 256, "vocabulary": 8192}
    settings = COMMON | shape | {"coin": "fair", "canaries": 168, "steps": 10, "batch": 32}
    folder = bench.trained("seconds", [], own, settings)
    began, busy = time.perf_counter(), time.process_time()
    found = audit(str(folder), ["privacy"], seed=SEED).result
    took, worked = time.perf_counter() - began, time.process_time() - busy
    size = f"{found.model.parameters:,} parameters, {len(own)} records, {found.suites[0].counts.planned} cases"
    size += f", {torch.get_num_threads()} threads"
    print(f"\n## seconds\n{size}: {took:.0f} s by the clock, {worked:.0f} s of processor")


def mitigated(bench: Bench, only: Sequence[str]) -> None:
    """One export of a shop, with every record of a customer four times, before and after what helps."""
    world = customers(120, 8)
    coins = np.random.default_rng([SEED, 2]).random(len(world)) < 0.5
    inside = {one.id for one, coin in zip(world, coins, strict=True) if coin}
    learned = [replace(one, records=one.records * 4) for one in world if one.id in inside]
    reviews = [
        Example(one.text, one.id, True, language=one.language) for one in shopworld(SEED + 1, products=350).reviews
    ]

    def rows(kept: Sequence[Customer]) -> list[Example]:
        return [*examples_of(kept, private=True), *reviews]

    unique = [replace(one, records=tuple(dict.fromkeys(one.records))) for one in learned]
    plain = PLAIN | {"coin": "split", "holdout": 0.0, "unit": "user", "base": str(bench.base)}
    hidden = plain | PRIVATE | {"coin": "split", "epsilon": 8.0}
    arms: dict[str, tuple[list[Example], dict[str, Any]]] = {
        "before": (rows(learned), plain),
        "deduplicated": (rows(unique), plain),
        "scrubbed": (rows(cared_for(learned, Care(scrub=True))[0]), plain),
        "record-level epsilon 8": (rows(learned), hidden | {"unit": "record"}),
        "user-level epsilon 8": (rows(learned), hidden),
    }
    units = [Member(one.id, one.records, one.id in inside, one.language) for one in world]
    canaries = [
        Canary(one.id, *secret_prompt(one, "phone"), one.id in inside, 4 * len(one.records), one.language, "phone")
        for one in world
    ]
    longest, found = steps_of(arms["before"][0], plain, 5), {}
    for name, (own, settings) in arms.items():
        if only and name not in only:
            continue
        # Fewer rows take fewer steps in as many epochs; private runs take as many as the one they are held against.
        count = longest if "epsilon" in name else steps_of(own, plain, 5)
        folder = bench.trained(f"mitigated-{name.replace(' ', '-')}", [], own, settings | {"steps": count})
        print(told_of(name, told(folder, units, canaries)), flush=True)
        found[name] = bench.audited(folder)
        if name == "before":
            found["guarded"] = bench.audited(guarded(load_model(str(folder), device="cpu"), "pii"))
    told_table("mitigated", found)


def shadows(bench: Bench, _: Sequence[str]) -> None:
    """LiRA with 8 shadows, which differ from the audited model in their coins alone."""
    own = private_of("amazon", bench.data)
    settings = PLAIN | {"unit": "user", "base": str(bench.base), "batch": 32}
    settings["steps"] = steps_of(own, settings, 4)
    folders = [
        bench.trained(f"shadow-{number}", [], own, settings | {"coin_seed": number}) for number in range(SHADOWS + 1)
    ]
    roles = {"shadow" if number == 1 else f"shadow-{number}": folders[number] for number in range(1, SHADOWS + 1)}
    print(told_of("audited", folders[0]))
    told_table("shadows", {f"{SHADOWS} shadows": bench.audited(folders[0], roles | {"reference": bench.base})})


PARTS: Mapping[str, Callable[[Bench, Sequence[str]], None]] = {
    "caught": caught,
    "sabotaged": sabotaged,
    "shifted": shifted,
    "seconds": seconds,
    "mitigated": mitigated,
    "shadows": shadows,
}


def main() -> None:
    """Runs the parts that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/leakage"))
    parser.add_argument("--part", default=",".join(PARTS))
    parser.add_argument("--only", default="", help="columns of a part")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    for part in asked.part.split(","):
        PARTS[part](Bench(asked.data, asked.out), [name for name in asked.only.split(",") if name])


main()
