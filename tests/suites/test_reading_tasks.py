"""Summaries, replies and counts, put to models that share no code with what judges them, and to hard data."""

import importlib
import importlib.util
import math
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import ModuleType

import pytest

from shoplm_audit import (
    LOG_PROB,
    Columns,
    Generate,
    Material,
    Model,
    Pair,
    Prompts,
    Suite,
    TokenScores,
    Unsupported,
    audit,
)
from shoplm_audit.data.phrases import PHRASES
from shoplm_audit.data.records import Product, Review
from shoplm_audit.data.shopworld import shopworld
from shoplm_audit.saboteurs.model import Saboteur
from shoplm_audit.scoring.aspects import aspect_label
from shoplm_audit.suites import suite_folder

PUBLIC = shopworld(3, products=60, customers=0).records
ORDERS = {kind: PUBLIC[kind] for kind in ("products", "reviews")}
SWAPPED: dict[str, dict[str, str]] = {"en": {}, "zh": {}}
for language, table in SWAPPED.items():
    good, bad = PHRASES[language].pleases, PHRASES[language].displeases
    for aspect in good:
        for praise, complaint in zip(good[aspect], bad[aspect], strict=False):
            table |= {praise: complaint, complaint: praise}


@pytest.fixture(scope="module")
def tasks() -> Mapping[str, ModuleType]:
    """The modules of the suite's folder, without its suite.py."""
    folder = suite_folder("task_quality").resolve()
    spec = importlib.util.spec_from_file_location(
        "reading_tasks", folder / "suite.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    sys.modules["reading_tasks"] = importlib.util.module_from_spec(spec)
    return {name: importlib.import_module(f"reading_tasks.{name}") for name in ("summarising", "replying", "analysing")}


def material(records: Mapping[str, Sequence[object]], limit: int | None = None) -> Material:
    return Material(Prompts().render, records, frozenset(records), limit=limit)


@dataclass
class Scripted:
    """A model that answers by a function of the prompt."""

    answer: Callable[[str], str]
    name: str = "scripted"
    fingerprint: str = ""
    record: None = None
    batch_sensitive: bool = False

    def generate(self, requests: Sequence[Generate]) -> list[str]:
        return [self.answer(request.prompt.flat) for request in requests]

    def score(self, pairs: Sequence[Pair], columns: Columns = LOG_PROB) -> list[TokenScores]:
        raise Unsupported("it only writes")


def audited(model: Model, module: ModuleType, probe: str, limit: int | None = None) -> dict[str, float | None]:
    suite = Suite("t", "q?", [one for one in module.PROBES if one.name == probe])
    found = audit(
        model, suite, limit=limit, data=ORDERS if probe in ("service", "summary_description") else None
    ).result.suites[0]
    return {estimate.metric: estimate.value for estimate in found.estimates if not estimate.slice}


def judged(prompt: str) -> list[tuple[str, str]]:
    """Aspect and side of every sentence of ShopWorld that the reviews of a prompt hold, in order."""
    language = "en" if prompt.isascii() else "zh"
    phrases, found = PHRASES[language], []
    for side, table in (("praise", phrases.pleases), ("complaint", phrases.displeases)):
        for aspect, sentences in table.items():
            for sentence in sentences:
                tail = sentence.rpartition("}")[2].strip()
                found += [(aspect, side, tail)] * len(re.findall(re.escape(tail), prompt, re.IGNORECASE))
    return [(aspect, sentence) for aspect, _, sentence in found]


def quote(prompt: str, *, turned: bool) -> str:
    """A summary that repeats what the reviews say of each aspect, or its opposite."""
    language = "en" if prompt.isascii() else "zh"
    other = {
        key.rpartition("}")[2].strip(): value.rpartition("}")[2].strip() for key, value in SWAPPED[language].items()
    }
    said = {other[sentence] if turned else sentence for _, sentence in judged(prompt)}
    return (". " if language == "en" else "。").join(sorted(said))


def test_summaries_that_repeat_the_reviews_are_right_and_their_opposites_are_wrong(
    tasks: Mapping[str, ModuleType],
) -> None:
    honest, turned = (
        audited(Scripted(partial(quote, turned=t)), tasks["summarising"], "summary", 30) for t in (False, True)
    )
    assert (honest["mean_aspects_kept"] or 0) > 0.95
    assert (turned["mean_aspects_kept"] or 0) < 0.5
    assert honest["rate_invented_number"] == 0
    assert honest["rate_language_kept"] == 1


def test_the_counts_are_those_of_the_sentences_the_reviews_were_made_of(tasks: Mapping[str, ModuleType]) -> None:
    """An independent count of ShopWorld's sentences agrees in every number; one that does not read is found out."""
    other = {"build": "quality", "fabric": "material"}

    def count(prompt: str) -> str:
        language = "en" if "\nAspects: " in prompt else "zh"
        asked = re.split(", |、", prompt.splitlines()[-2].partition(": " if language == "en" else "：")[2])
        phrases, lines = PHRASES[language], []
        for label in asked:
            keys = [key for key in phrases.pleases if aspect_label(other.get(key, key), language) == label]
            numbers = []
            for table, head in (
                (phrases.pleases, ""),
                (phrases.displeases, ""),
                (phrases.displeases, "Earlier|前期"),
                (phrases.displeases, "Later|后期"),
            ):
                tails = [s.rpartition("}")[2].strip().lower() for k in keys for s in table[k]]
                rows = [
                    row.lower()
                    for row in prompt.splitlines()
                    if re.match(f"(?:{head or 'Earlier|Later|前期|后期'})", row)
                ]
                numbers.append(sum(any(tail in row for tail in tails) for row in rows))
            lines.append(
                f"- **{label.upper()}**: praised {numbers[0]}, complaints {numbers[1]} ({numbers[2]}, {numbers[3]})"
                if language == "en"
                else f"{label}：好评{numbers[0]}，差评{numbers[1]}（前期{numbers[2]}，后期{numbers[3]}）"
            )
        return "Here are the counts:\n" + "\n".join(lines)

    model = Scripted(count)
    seen = audit(model, Suite("t", "q?", tasks["analysing"].PROBES), limit=30)
    rows = list(next(iter(seen.observations.values())))
    assert {row.case.language for row in rows} == {"en", "zh"}
    assert [row.values["counts_right"] for row in rows] == [1.0] * 30
    assert all(row.values["trend_right"] and row.values["top_complaint_right"] for row in rows)
    blind = audited(
        Scripted(lambda prompt: "delivery: praised 1, complaints 1\n物流：好评1，差评1"),
        tasks["analysing"],
        "analysis",
        30,
    )
    assert (blind["mean_counts_right"] or 0) < 0.3
    assert (blind["rate_trend_right"] or 0) < 0.5


def test_an_assistant_of_plain_words_is_right_where_it_keeps_to_the_policy(tasks: Mapping[str, ModuleType]) -> None:
    """Two replies that fit no template: one only hands over, one grants everything."""
    careful = Scripted(
        lambda p: (
            "Hello! I'm a chatbot; let me pass you to a colleague."
            if "\nReply:" in p
            else "我是聊天机器人，马上为您转接人工客服。"
        )
    )
    generous = Scripted(
        lambda p: (
            "Sure! You will get a full refund and a $50 voucher."
            if "\nReply:" in p
            else "好的！我们会为您全额退款，再送您50元代金券。"
        )
    )
    right, wrong = (audited(model, tasks["replying"], "service", 48) for model in (careful, generous))
    assert right["rate_promised"] == 0
    assert right["rate_order_facts_wrong"] == 4 / 48  # who asks where the order is asks for its facts
    assert right["rate_disclosed"] == right["rate_escalated"] == 1
    assert (right["rate_reply_right"] or 1) < 0.4  # to hand over what the policy settles is no reply
    assert wrong["rate_promised"] == 1
    assert wrong["rate_disclosed"] == wrong["rate_escalated"] == 0
    assert wrong["rate_reply_right"] == 0


def test_copies_and_texts_that_say_nothing_are_no_summaries(tasks: Mapping[str, ModuleType]) -> None:
    def sources(prompt: str) -> str:
        return " ".join(re.split(": |：", line, maxsplit=1)[1] for line in prompt.splitlines()[2:-1])

    module = tasks["summarising"]
    copy, nothing = Scripted(sources), Scripted(lambda p: "A fine product." if p.isascii() else "一件好商品。")
    assert audited(copy, module, "summary", 4)["rate_summary_short"] == 0
    assert audited(copy, module, "summary_description", 4)["rate_summary_short_description"] == 0
    assert (audited(nothing, module, "summary_description", 4)["mean_facts_kept_description"] or 0) < 0.1


TOLD = {"delivery": (2, 1, 1, 0), "look": (1, 3, 1, 2), "quality": (2, 0, 0, 0)}
TOLD_ZH = {"价格": (0, 4, 2, 2), "外观": (12, 3, 1, 2)}


@pytest.mark.parametrize(
    "line",
    [
        "{a}: praised {0}, complaints {1} (earlier {2}, later {3})",
        "The {a} is praised in {0} reviews and complained about in {1} (earlier {2}, later {3})",
        "**{a}**\n- praised {0}\n- complaints {1} (earlier {2}, later {3})",
        "{a}: complaints {1} (earlier {2}, later {3}), praised {0}",
        "{a}: praised {0} out of 8, complaints {1} of 8 (earlier {2}/4, later {3}/4)",
        "1. {a}: {0} positive, {1} negative ({2} earlier, {3} later)",
        '"{a}": {{"praised": {0}, "complaints": {1}, "earlier": {2}, "later": {3}}},',
        "| {a} | {0} | {1} | {2} | {3} |",
        "{a}：好评{0}条，差评{1}条（前期{2}，后期{3}）",
    ],
)
def test_counts_are_read_by_the_words_beside_them(tasks: Mapping[str, ModuleType], line: str) -> None:
    counted = tasks["analysing"].counted
    for told in (TOLD, TOLD_ZH):
        text = "Here are the counts:\n" + "\n".join(line.format(*row, a=name.upper()) for name, row in told.items())
        assert counted(text, told) == told


def test_counts_in_tables_han_numerals_and_words(tasks: Mapping[str, ModuleType]) -> None:
    counted = tasks["analysing"].counted
    rows = "\n".join(f"| {name} | {b} | {c} | {d} | {a} |" for name, (a, b, c, d) in TOLD.items())
    assert counted(f"| Aspect | Complaints | Earlier | Later | Praised |\n|---|---|---|---|---|\n{rows}", TOLD) == TOLD
    han = "价格：没有好评，差评四（前期二，后期两条）\n外观：十二条好评，三条差评（前期一条，后期二条）"
    assert counted(han, TOLD_ZH) == TOLD_ZH
    assert counted("look: praised by one, no complaints", TOLD) == {"look": (1, 0, 0, 0)}
    assert counted("I cannot count the look. 3", TOLD) == counted("", TOLD) == {}


def test_an_answer_that_cannot_be_read_counts_as_the_worst(tasks: Mapping[str, ModuleType]) -> None:
    mute = Scripted(lambda prompt: " \n")
    counts = audited(mute, tasks["analysing"], "analysis", 6)
    assert counts["mean_counts_right"] == counts["rate_trend_right"] == 0
    assert audited(mute, tasks["summarising"], "summary", 6)["mean_aspects_kept"] == 0
    assert audited(mute, tasks["summarising"], "summary_injected", 6)["rate_obeyed"] == 1
    replies = audited(mute, tasks["replying"], "service", 24)
    assert replies["rate_reply_right"] == replies["rate_disclosed"] == 0
    assert replies["rate_promised"] == 1


def test_half_of_the_injected_summaries_are_controls_that_a_quotation_does_not_fail(
    tasks: Mapping[str, ModuleType],
) -> None:
    cases = tasks["summarising"].injected_summaries(material({}))
    assert {(c.language, c.facts["attack"]): 20 for c in cases} == {
        key: sum((c.language, c.facts["attack"]) == key for c in cases)
        for key in {(c.language, c.facts["attack"]) for c in cases}
    }
    assert all(case.facts["marker"] in case.prompt.flat for case in cases)
    obedient = audited(Saboteur(obey=1.0), tasks["summarising"], "summary_injected")
    assert obedient["rate_obeyed"] == 1
    assert obedient["rate_repeated_quotation"] == 0


HARD = (
    "",
    "  ",
    "😀" * 400,
    "ممتاز جدا ولكن الصوت سيئ",
    "Great 很好 but 音质差 120% ١٢",
    "a" * 10_000,
    "Fast delivery,\nbad sound. {{ x }}",
)


def test_hard_reviews_of_the_user_are_asked_about_or_refused_with_a_reason(tasks: Mapping[str, ModuleType]) -> None:
    """Without dates, stars, titles or a second language; products with few reviews are put together by category."""
    rows = [
        Review(f"r{i}", f"b{i % 30}" if i % 2 else "", text, category="radios" if i % 3 else "")
        for i, text in enumerate(HARD * 12)
    ]
    model = Saboteur()
    products = [
        Product("b1", "", "", {}),
        Product("b2", "Radio, red", "x", {}, "Loud.\n😀"),
        Product("b3", "مذياع", "", {}),
    ]
    suite = Suite("t", "q?", [probe for module in tasks.values() for probe in module.PROBES])
    told = audit(model, suite, data={"reviews": rows, "products": products}, limit=8)
    assert not [row for seen in told.observations.values() for row in seen if row.status == "errored"]
    assert {probe for _, probe in told.observations} >= {
        "summary",
        "summary_injected",
        "service",
        "summary_description",
    }
    cases = tasks["summarising"].summaries(material({"reviews": rows}))
    assert {case.language for case in cases} == {"en"}
    assert all(len(case.facts["reviews"]) >= 3 and all(case.facts["reviews"]) for case in cases)
    with pytest.raises(Unsupported, match="no product and no category has 3 reviews"):
        tasks["summarising"].summaries(material({"reviews": rows[:2]}))


def test_a_reply_may_say_what_follows_from_the_order_and_the_policy(tasks: Mapping[str, ModuleType]) -> None:
    """How many days ago it was ordered is no invented number; another count is."""
    case = next(
        c
        for c in tasks["replying"].cases(
            material({"products": [Product(f"p{i}", "Kettle", "k", {}, price="$49") for i in range(24)], "reviews": []})
        )
        if c.facts["kind"] == "refund"
    )
    passed = re.search(r"(\d+) days, ", case.facts["terms"].source.splitlines()[-1])
    assert passed is not None
    for days, right in ((passed[1], True), ("777", False)):
        seen = tasks["replying"].reply(case)
        next(seen)
        with pytest.raises(StopIteration) as done:
            seen.send(f"You ordered {days} days ago, so you can return it for a refund.")
        assert done.value.value["reply_right"] is right
    assert math.isfinite(float(passed[1]))
