"""Aspects and their sides: clauses, negation, contrast, lists in both languages; real reviews with people's labels."""

import csv
import re
from pathlib import Path

import pytest

from shoplm_audit.data.phrases import PHRASES
from shoplm_audit.data.shopworld import shopworld
from shoplm_audit.scoring import aspects
from shoplm_audit.scoring.aspects import ASPECTS, AspectCounts, aspect_counts, aspect_label, aspects_in

BAD = "complaint"
DATA = Path(__file__).parents[2] / ".." / "shared" / "data"


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("Delivery was fast, but the sound is not good.", "en", {"delivery": "praise", "sound": "complaint"}),
        ("物流很快，但是音质不好。", "zh", {"delivery": "praise", "sound": "complaint"}),
        ("The lamp does not flicker, the staff were never rude.", "en", {"light": "praise", "service": "praise"}),
        ("客服一点也不专业，包装也没有破损。", "zh", {"packaging": "praise", "service": "complaint"}),
        ("Not only is the price fair, the battery isn't bad.", "en", {"price": "praise", "battery": "praise"}),
        ("不仅价格公道，电池也不差。", "zh", {"price": "praise", "battery": "praise"}),
        (
            "Customers praise the delivery, the price and the look, but complain about the sound. Sizes differ.",
            "en",
            {"delivery": "praise", "price": "praise", "look": "praise", "size": "both", "sound": "complaint"},
        ),
        (
            "顾客称赞物流、价格和外观；抱怨音质。对尺寸的评价有好有坏。",
            "zh",
            {"delivery": "praise", "price": "praise", "look": "praise", "size": "both", "sound": "complaint"},
        ),
        ("The battery, the screen and the look are bad.", "en", dict.fromkeys(("look", "battery", "screen"), BAD)),
        ("The screen is great and the battery is bad", "en", {"battery": "complaint", "screen": "praise"}),
        ("The sound is not really very good", "en", {"sound": "complaint"}),
        ("音质不是那么好", "zh", {"sound": "complaint"}),
        ("The battery is great. Later the battery died.", "en", {"battery": "both"}),
        ("The sound, sadly, is awful.", "en", {"sound": "complaint"}),
        ("Ｔｈｅ　ｓｏｕｎｄ　ｉｓ　ｇｒｅａｔ！", "en", {"sound": "praise"}),
        ("Pros:\n- Delivery\n- Price\nCons:\n- Sound\n- Look", "en",
         {"delivery": "praise", "price": "praise", "look": BAD, "sound": BAD}),
        ("**What customers like**\n1. Delivery\n**Weaknesses**\n1. Sound", "en", {"delivery": "praise", "sound": BAD}),
        ("Positive: delivery, price. Negative: sound.", "en",
         {"delivery": "praise", "price": "praise", "sound": BAD}),
        ("Cons:\n- Sound\nA neighbour took the box with the battery and the screen for me.", "en", {"sound": BAD}),
        ("Price:\n- fair", "en", {}),
        ("👍 delivery, price 👎 sound", "en", {"delivery": "praise", "price": "praise", "sound": BAD}),
        ("优点：\n- 物流\n- 价格\n缺点：\n- 声音", "zh", {"delivery": "praise", "price": "praise", "sound": BAD}),
        ("【正面】物流、价格【负面】声音", "zh", {"delivery": "praise", "price": "praise", "sound": BAD}),
        ("物流和价格获得好评，声音受到批评。", "zh", {"delivery": "praise", "price": "praise", "sound": BAD}),
        ("It has a battery and a screen.", "en", {}),
        ("", "en", {}),
    ],
)  # fmt: skip
def test_clauses_take_the_side_of_their_own_opinion(text: str, language: str, expected: dict[str, str]) -> None:
    assert aspects_in(text, language) == expected


def test_reviews_of_shopworld_are_read_without_error() -> None:
    """Against the sentences of which they were made; "build" and "fabric" are other words for quality and material."""
    world = shopworld(5, products=120, customers=0)
    colours = {p.id: p.attributes.get("colour", p.attributes.get("颜色", "")) for p in world.products}
    other = {"build": "quality", "fabric": "material"}
    for review in world.reviews:
        phrases, text = PHRASES[review.language], review.text.lower()
        made = {
            other.get(aspect, aspect): side
            for side, table in (("praise", phrases.pleases), ("complaint", phrases.displeases))
            for aspect, sentences in table.items()
            if any(sentence.replace("{colour}", colours[review.product]).lower() in text for sentence in sentences)
        }
        assert aspects_in(review.text, review.language) == made, review.text


def test_words_alone_read_most_of_shopworld(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the known sentences, which ShopWorld alone uses."""
    world = shopworld(6, products=60, customers=0)
    known = [dict(aspects_in(review.text, review.language)) for review in world.reviews]
    monkeypatch.setattr(aspects, "_known", lambda plain, language: ([], plain))
    aspects._aspects_in.cache_clear()
    read = [dict(aspects_in(review.text, review.language)) for review in world.reviews]
    aspects._aspects_in.cache_clear()
    right = sum(len(mine.items() & truth.items()) for mine, truth in zip(read, known, strict=True))
    assert right / sum(map(len, known)) > 0.9
    assert right / sum(map(len, read)) > 0.88


def test_a_review_that_does_both_counts_on_both_sides() -> None:
    counts = aspect_counts(
        ["Great sound.", "The sound is good but the sound is thin at night; poor sound.", "Nice."], "en"
    )
    assert counts == {"sound": AspectCounts(2, 1)}


def test_every_aspect_has_a_name_of_its_own_that_is_read_as_that_aspect() -> None:
    for language, praised in (("en", "Customers praise the {}."), ("zh", "顾客称赞{}。")):
        labels = [aspect_label(aspect, language) for aspect in ASPECTS]
        assert len(set(labels)) == len(labels)
        for aspect, label in zip(ASPECTS, labels, strict=True):
            assert aspects_in(praised.format(label), language) == {aspect: "praise"}


@pytest.mark.parametrize("text", ["😀" * 5000, "جيد جدا " * 1000, "但" * 10_000, "not " * 3000, "a,b.c!\u0000\u202e好"])
def test_any_text_is_read(text: str) -> None:
    assert set(aspects_in(text, "en")) | set(aspects_in(text, "zh")) <= set(ASPECTS)


@pytest.mark.real_data
def test_people_s_labels_of_english_features_are_met() -> None:
    """Hu and Liu's sentences: of the labelled features that are aspects here, most are found, most on their side."""
    folder = DATA / "nltk_reviews" / "product_reviews_1"
    if not folder.is_dir():
        pytest.skip("no real data beside this checkout: nltk_reviews")
    found = right = labelled = 0
    words = {w[0]: a for w, e in aspects._lexicon("en").items() if (a := e.aspect) and not e.side and len(w) == 1}
    for path in sorted(folder.glob("[A-Z]*_*.txt")):
        for line in path.read_text(encoding="latin-1").splitlines():
            labels, _, text = line.partition("##")
            marked = {
                words[feature.strip()]: {"+": "praise", "-": "complaint"}[sign]
                for feature, sign in re.findall(r"([^,\[\]]+)\[([+-])\d?\](?!\[[up])", labels)
                if feature.strip() in words
            }
            told = aspects_in(text, "en") if marked else {}
            labelled += len(marked)
            found += len(marked.keys() & told.keys())
            right += len(marked.items() & told.items())
    assert labelled > 300
    assert found / labelled > 0.60
    assert right / found > 0.80


@pytest.mark.real_data
def test_people_s_labels_of_chinese_restaurants_are_met() -> None:
    """ASAP: three of its aspects are some of ours; a label is one side of a whole review, ours can be both."""
    folder = DATA / "asap_sample" / "data"
    if not folder.is_dir():
        pytest.skip("no real data beside this checkout: asap_sample")
    columns = {"service": "service_waiters_attitude", "price": "price_level", "taste": "dish_taste"}
    named = found = opposite = 0
    for path in sorted(folder.glob("*.csv")):
        with path.open(encoding="utf-8-sig", newline="") as file:
            for row in csv.DictReader(file):
                told = aspects_in(row["reviewbody"], "zh")
                for aspect, column in columns.items():
                    if (label := {"1": "praise", "-1": "complaint"}.get(row[column])) is not None:
                        named += 1
                        found += aspect in told
                        opposite += told.get(aspect, "both") not in (label, "both")
    assert named > 300
    assert found / named > 0.85
    assert opposite / found < 0.10
