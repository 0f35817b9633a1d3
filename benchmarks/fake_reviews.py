"""The supervised detector of fake reviews on real data: how often it is right, and how fast it reads.

python -m benchmarks.fake_reviews --data FOLDER [--parts accuracy,speed] [--divisions N]

FOLDER holds `deceptive_opinion`: 800 deceptive and 800 truthful reviews of 20 hotels (Ott et al. 2011), which is human
writing on both sides, so another task than telling a model's texts.

accuracy: 5 folds of whole hotels, divided in several ways, so that none is chosen. A text is called deceptive when its
score is above the mean of the training texts.
speed: reviews of 60 words a second on one core, in turns with scikit-learn's own pipeline of the same detector.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from shoplm_audit.data.readers import read_records
from shoplm_audit.data.records import Review
from shoplm_audit.metrics.out_of_fold import folds_of
from shoplm_audit.scoring.platform_detector import Detector, Kind
from shoplm_audit.types import Floats
from shoplm_audit.uncertainty import rate_interval

Texts: TypeAlias = list[str]
Labels: TypeAlias = NDArray[np.bool_]
Calls: TypeAlias = Callable[
    [Texts, Labels, NDArray[np.int64], Texts], Labels
]  # training side with hotels, texts to call

FOLDS = 5
ARMS = (
    "TF-IDF 1-2 + linear SVM (scikit-learn)",
    "NB-SVM, words 1-2",
    "logistic, characters 2-4",
    "both",
)
WORDS, READ, TURNS = 60, 5000, 7
COLUMNS = {"text": "text", "product": "hotel", "label": "polarity", "category": "deceptive"}
KINDS: tuple[Kind, ...] = ("words", "characters", "both")
# As Chinese is cut too: a Han character is a word.
PATTERN = r"[㐀-鿿]|[^\W㐀-鿿]+|[^\w\s]"


def reviews(folder: Path) -> tuple[Texts, Labels, NDArray[np.int64]]:
    """Texts, whether they are deceptive, and the number of the hotel."""
    path = folder / "deceptive_opinion" / "deceptive-opinion.csv"
    rows = [row for row in read_records("reviews", path, mapping=COLUMNS) if isinstance(row, Review)]
    hotels = np.unique([row.product for row in rows], return_inverse=True)[1]
    return [row.text for row in rows], np.array([row.category == "deceptive" for row in rows]), hotels


def peer(texts: Texts, labels: Labels, asked: Texts) -> Floats:
    """TF-IDF of word 1-2-grams and a linear SVM, as scikit-learn has them."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    pipe = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LinearSVC(random_state=0))
    return np.asarray(pipe.fit(texts, labels).decision_function(asked))


def told(texts: Texts, labels: Labels, hotels: NDArray[np.int64], seed: int) -> dict[str, Floats]:
    """What each detector says of each text, trained on other hotels."""
    folds, found = folds_of(hotels, FOLDS, seed), np.zeros((len(texts), len(ARMS)))
    for fold in range(FOLDS):
        train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        learned, asked = [texts[i] for i in train], [texts[i] for i in test]
        found[test, 0] = peer(learned, labels[train], asked)
        for column, kind in enumerate(KINDS, 1):
            found[test, column] = Detector(kind).fit(learned, labels[train]).scores(asked)
    return dict(zip(ARMS, found.T, strict=True))


def accuracy(folder: Path, divisions: int) -> None:
    texts, labels, hotels = reviews(folder)
    hits: dict[str, list[Labels]] = {name: [] for name in ARMS}
    for seed in range(divisions):
        for name, scores in told(texts, labels, hotels, seed).items():
            hits[name].append((scores > 0) == labels)
    print(f"{len(texts)} reviews, {hotels.max() + 1} hotels, {FOLDS} folds of whole hotels, {divisions} divisions")
    print("| detector | accuracy | least to most | bounds by hotel |\n|---|---|---|---|")
    for name, ways in hits.items():
        each, first = np.mean(ways, axis=1), rate_interval(ways[0].astype(float), hotels)
        told_of = f"{each.mean():.4f} | {each.min():.4f} to {each.max():.4f}"
        print(f"| {name} | {told_of} | [{first.low:.3f}, {first.high:.3f}] |")


def peer_of_speed(texts: Texts, labels: Labels) -> Callable[[Sequence[str]], Any]:
    """The same detector of scikit-learn's parts."""
    from scipy import sparse
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import normalize
    from sklearn.svm import LinearSVC

    vectorizer = TfidfVectorizer(token_pattern=PATTERN, ngram_range=(1, 2), sublinear_tf=True)
    counts = vectorizer.fit_transform(texts).tocsr()
    positive, negative = (np.asarray(counts[rows].sum(axis=0)).ravel() + 1 for rows in (labels, ~labels))
    ratio = sparse.diags(np.log((positive / positive.sum()) / (negative / negative.sum())))
    machine = LinearSVC(random_state=0).fit(normalize(counts @ ratio), labels)
    return lambda asked: machine.decision_function(normalize(vectorizer.transform(asked) @ ratio))


def speed(folder: Path) -> None:
    texts, labels, _ = reviews(folder)
    cut = itertools.cycle([" ".join(text.split()[i : i + WORDS]) for text in texts for i in (0, WORDS)])
    asked = list(itertools.islice((text for text in cut if len(text.split()) == WORDS), READ))
    arms: dict[str, Callable[[Sequence[str]], Any]] = {
        "Detector, words": Detector("words").fit(texts, labels).scores,
        "the same of scikit-learn's parts": peer_of_speed(texts, labels),
        "Detector, characters": Detector("characters").fit(texts, labels).scores,
        "Detector, both": Detector("both").fit(texts, labels).scores,
    }
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    scores = {name: np.asarray(arm(asked)) for name, arm in arms.items()}  # also warms what is cached
    for _ in range(TURNS):
        for name, arm in arms.items():
            started = time.process_time()
            arm(asked)
            seconds[name].append(time.process_time() - started)
    print(f"{READ} reviews of {WORDS} words, one core, {TURNS} turns; processor time")
    print("| detector | reviews a second | least to most |\n|---|---|---|")
    for name, taken in seconds.items():
        rates = sorted(READ / one for one in taken)
        print(f"| {name} | {statistics.median(rates):,.0f} | {rates[0]:,.0f} to {rates[-1]:,.0f} |")
    ours, other = list(arms)[:2]
    ratio = statistics.median(b / a for a, b in zip(seconds[ours], seconds[other], strict=True))
    alike = np.corrcoef(scores[ours], scores[other])[0, 1]
    print(f"{ratio:.1f} times as fast as its peer; their scores correlate at {alike:.6f}")


def main() -> None:
    """Runs the parts that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--parts", default="accuracy,speed")
    parser.add_argument("--divisions", type=int, default=10)
    asked = parser.parse_args()
    if "accuracy" in asked.parts:
        accuracy(asked.data, asked.divisions)
    if "speed" in asked.parts:
        speed(asked.data)


if __name__ == "__main__":
    main()
