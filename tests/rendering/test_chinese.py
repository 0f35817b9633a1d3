"""The Chinese report says all that the English one says, with the same numbers and in whole sentences."""

import ast
import importlib
import re
import string
import threading
import tomllib
from collections import Counter
from dataclasses import fields, replace
from html.parser import HTMLParser
from pathlib import Path

import jinja2
import pytest
from jinja2 import nodes
from privacy_audit import privacy_audit

from shoplm_audit.errors import ConfigError
from shoplm_audit.judging import FamilyTest, Policy, judge
from shoplm_audit.rendering import wording
from shoplm_audit.rendering.html import render_html
from shoplm_audit.rendering.speaking import _, language, marked, retold, speaking, template_folder
from shoplm_audit.results import GateResult
from shoplm_audit.suites import suite_folder, suite_names
from shoplm_audit.types import Estimate, Gate

PACKAGE = Path(wording.__file__).parents[1]
TABLES = tomllib.loads((template_folder() / "zh.toml").read_text(encoding="utf-8"))
SPOKEN = {english: chinese for table in TABLES.values() for english, chinese in table.items()}
SAY = ("_", "marked", "say")


def _names(sentence: str) -> Counter[str]:
    return Counter(name for _text, name, *_rest in string.Formatter().parse(sentence) if name is not None)


def _said_in_python() -> dict[str, str]:
    said: dict[str, str] = {}
    for path in sorted((PACKAGE / "rendering").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in SAY and node.args:
                for one in [node.args[0], *getattr(node.args[0], "values", [])]:
                    if isinstance(one, ast.Constant) and isinstance(one.value, str):
                        said[one.value] = path.name
    return said


def _said_in_templates() -> dict[str, str]:
    said = {}
    for path in sorted(template_folder().glob("*.j2")):
        for call in jinja2.Environment().parse(path.read_text(encoding="utf-8")).find_all(nodes.Call):
            if isinstance(call.node, nodes.Name) and call.node.name in SAY:
                said |= {one.value: path.name for one in call.find_all(nodes.Const) if one is call.args[0]}
    return said


def _constants() -> set[str]:
    """All that stands between quotes in the package, its suites and templates; of an f-string the pieces."""
    paths = [*PACKAGE.rglob("*.py"), *suite_folder("bias").parent.rglob("*.py")]
    found = {
        node.value
        for path in paths
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    for path in template_folder().glob("*.j2"):
        parsed = jinja2.Environment().parse(path.read_text(encoding="utf-8"))
        found |= {str(one.value) for one in parsed.find_all(nodes.Const)}
    return found


def test_every_sentence_has_a_counterpart_with_the_same_values():
    said = _said_in_python() | _said_in_templates()
    assert len(said) > 300
    assert not {text: where for text, where in said.items() if text not in SPOKEN}
    tables = [wording.VERDICTS]
    for name, constants in (
        ("naming", ("_ATTACKS", "_LABELS", "_COMPARED", "_PEOPLE")),
        ("faithfulness", ("_RATES", "_ERRORS")),
        ("detectability", ("_STATES", "_WHO", "_DETECTORS", "_LEGS")),
        ("training", ("_OBJECTIVES", "_CURVES", "_GUARANTEE")),
        ("privacy", ("_EPSILONS",)),
        ("findings", ("_TERMS", "_ASKED")),
        ("advice", ("_SAYS",)),
    ):
        module = importlib.import_module(f"shoplm_audit.rendering.{name}")
        tables += [getattr(module, constant) for constant in constants]
    words = [word for table in tables for value in table.values() for word in _words(value)]
    kinds = ("none", "held", "half", "lost")  # how a state is drawn
    assert not {word for word in words if word not in SPOKEN and word not in kinds}


def _words(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, tuple):
        return [str(one) for one in value]
    return [str(getattr(value, one.name)) for one in fields(value)]  # type: ignore[arg-type]


@pytest.mark.parametrize("table", TABLES)
def test_counterparts_are_chinese_keep_their_values_and_claim_nothing(table):
    for english, chinese in TABLES[table].items():
        assert _names(english) == _names(chinese), english
        assert not re.search("合规|安全|无偏见|公平的", chinese), chinese
        words = re.sub(r"\{.*?\}|<.*?>", "", english)
        if len(re.findall("[A-Za-z]{3,}", words)) > 4:
            assert re.search("[一-鿿]", chinese), english


def test_catalogue_holds_nothing_that_nobody_says():
    constants = _constants()
    spoken = {text for name, table in TABLES.items() if name not in ("labels", "stored") for text in table}
    everything = "\n".join(constants)
    # A word may stand in a longer constant (a list of words that is split), a sentence only by itself.
    unsaid = {text for text in spoken - constants if len(text) > 20 or text not in everything}
    assert not unsaid
    # Stored sentences are put together from pieces: some twelve characters in a row stand in the code as they are.
    longest = {text: max(re.split(r"\{.*?\}", text), key=len).strip() for text in TABLES["stored"]}
    everything += (PACKAGE.parent / "demo.toml").read_text(encoding="utf-8")
    assert not {
        text
        for text, piece in longest.items()
        if re.search("[A-Za-z]{2}", piece)
        and not any(piece[i : i + 12] in everything for i in range(max(1, len(piece) - 11)))
    }


def test_every_suite_has_its_question_and_its_card_in_chinese():
    for name in suite_names():
        english = (suite_folder(name) / "CARD.md").read_text(encoding="utf-8")
        english = english.partition("## What this cannot tell you")[2].partition("\n## ")[0].strip()
        with speaking("zh"):
            chinese = _(english)
        assert chinese != english
        assert chinese.count("\n- ") == english.count("\n- ")
        # What stands as code (metrics, options) is the same; the others' order may differ.
        assert set(re.findall("`[^`]+`", english)) <= set(re.findall("`[^`]+`", chinese)) | {"`fake_reviews`"}


# Verdicts in words --------------------------------------------------------------------------------

_APART = "invalid: units were not divided at random"
_FAMILY = FamilyTest(0.03, 0.2, "refund", 12)
_CASES = [
    (Gate("rate_x", at_most=0.1), Estimate(0.02, 0.01, 0.05, 200, "exact binomial"), None),
    (Gate("rate_x", at_most=0.1), Estimate(0.4, 0.3, 0.5, 80, "exact binomial"), None),
    (Gate("rate_x", at_most=0.1), Estimate(0.4, 0.3, 0.5, 80, "betting confidence sequence, any time"), None),
    (Gate("x", at_least=-0.1, at_most=0.1), Estimate(0.4, 0.3, 0.5, 80, "Welch over units"), _FAMILY),
    (Gate("rate_x", at_least=0.5), Estimate(0.5, 0.4, 0.6, 80, "exact binomial"), None),
    (Gate("x", at_most=1.0), Estimate(0.5, float("nan"), float("nan"), 8, "undefined: a case has no value"), None),
    (Gate("x", at_most=1.0), Estimate(0.5, 0.2, 0.7, 8, "DeLong, logit", note=_APART), None),
    (Gate("x", at_most=1.0), None, None),
]  # fmt: skip


def _refuting() -> list[tuple[Gate, Estimate]]:
    gate = Gate("epsilon_lower_bound", burden="refutation")
    how = "one run, 10 of 20 guesses right, delta 0"
    return [
        (gate, Estimate(low, low, float("nan"), 30, how, claim=claim, ceiling=ceiling, note=note))
        for low, claim, ceiling, note in (
            (4.0, 3.0, 5.0, ""),
            (0.5, 3.0, 5.0, ""),
            (0.5, 3.0, 2.0, ""),
            (0.5, None, 2.0, ""),
            (0.5, 3.0, 5.0, "invalid: units were not divided by independent fair coins"),
        )
    ]


@pytest.mark.parametrize(("gate", "estimate", "tested"), [*_CASES, *((*one, None) for one in _refuting())])
def test_reason_of_every_verdict_is_told_in_chinese_with_its_numbers(gate, estimate, tested):
    result = judge("suite", gate, estimate, Policy(), "probe", "no cases could be made from the data at hand", tested)
    with speaking("zh"):
        told = retold(result.why)
    assert not re.search("[a-z]{3,} [a-z]{2,} [a-z]{2,}", told)
    assert _numbers(told) == _numbers(result.why)
    assert retold(result.why) == result.why


def _numbers(text: str) -> Counter[str]:
    return Counter(re.findall(r"\d+(?:[.,]\d+)*", text))


# The page -----------------------------------------------------------------------------------------


class _Texts(HTMLParser):
    """What a person reads or hears of a page, without what is code, a model's text, a case's id or a quotation."""

    _VOID = frozenset(
        ["meta", "use", "line", "rect", "path", "circle", "br", "input", "img", "polyline", "polygon", "col"]
    )

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.lang = ""
        self._open: list[tuple[str, bool]] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        known = dict(attrs)
        self.lang = self.lang or known.get("lang", "")
        ours = all(ours for _tag, ours in self._open)
        if ours:
            self.texts += [known[name] or "" for name in ("title", "aria-label", "data-words") if name in known]
        classes = (known.get("class") or "").split()
        theirs = tag in ("code", "pre", "style", "script", "q") or {"text", "values", "findings"} & set(classes)
        if tag not in self._VOID:
            self._open.append((tag, not theirs))

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data):
        if all(ours for _tag, ours in self._open):
            self.texts.append(data)


@pytest.fixture(scope="module")
def audited():
    """An audit of privacy with the reasons that the program gives, and not those that the fixture made up."""
    made = privacy_audit()
    suite = made.result.suites[0]
    gates = []
    for gate in suite.gates:
        found = wording.estimate_of(suite, gate)
        limits = {name: value for name in ("at_least", "at_most") if (value := getattr(gate, name)) is not None}
        asked = Gate(gate.metric, burden=gate.burden, **limits)
        estimate = (
            None if found is None else Estimate(**{one.name: _plain(found, one.name) for one in fields(Estimate)})
        )
        reason = "no cases could be made from the data at hand"
        why = judge("privacy", asked, estimate, Policy(), "probe", reason).why
        gates.append(GateResult(**gate.model_dump() | {"why": why}))
    card = (suite_folder("privacy") / "CARD.md").read_text(encoding="utf-8")
    told = {
        "gates": gates,
        "not_tested": {"copied": "no cases could be made from the data at hand"},
        "cannot_tell": card.partition("## What this cannot tell you")[2].partition("\n## ")[0].strip(),
        "estimates": [one.model_copy(update={"method": "exact binomial", "note": ""}) for one in suite.estimates],
    }
    return replace(made, result=made.result.model_copy(update={"suites": [suite.model_copy(update=told)]}))


def _plain(found, name):
    value = getattr(found, name)
    return float("nan") if value is None and name in ("value", "low", "high") else value


@pytest.fixture(scope="module")
def pages(audited):
    return {name: render_html(audited, language=name) for name in ("en", "zh")}


def test_chinese_page_says_so_and_leaves_no_sentence_of_ours_in_english(pages):
    page = _Texts(pages["zh"])
    assert page.lang == "zh-Hans"
    assert len(page.texts) > 200
    left = [text.strip() for text in page.texts if re.search(r"(?:\b[A-Za-z']{2,}[ ,.;:()]+){4,}", text + " ")]
    assert not left


def test_chinese_page_has_the_numbers_of_the_english_one(pages):
    english, chinese = (Counter(re.findall(r"\d+\.\d+|\d+\s?%", " ".join(_Texts(pages[name]).texts))) for name in pages)
    assert sum(english.values()) > 100
    assert english == chinese


def test_language_of_one_page_is_not_that_of_another(audited, pages):
    made: dict[str, str] = {}

    def render(name: str) -> None:
        made[name] = render_html(audited, language=name)

    threads = [threading.Thread(target=render, args=(name,)) for name in ("zh", "en")]
    with speaking("zh"):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert language() == "zh"
    assert made == pages
    with pytest.raises(ConfigError, match='"fr"'), speaking("fr"):
        pass
    with pytest.raises(RuntimeError), speaking("zh"):
        raise RuntimeError
    assert language() == "en"


def test_what_others_wrote_is_never_taken_for_a_sentence_of_ours():
    hostile = "The rule is {limit}, and the <b>whole</b> interval " + "{value} and at most " * 50_000
    with speaking("zh"):
        assert retold(hostile) == hostile
        assert retold("Out of scope: {0}: {x.__class__}") == "不在审计范围内：{0}：{x.__class__}"
        assert _("{n} gates failed", n="{n}") == "{n} gates failed"
        assert str(
            marked("<q>{claim}</q>, {verdict}, about {attribute}", claim="<i>", verdict="", attribute="")
        ).startswith("<q>&lt;i&gt;</q>")
        assert retold("Made of steel, at most 5 kg.") == "Made of steel, at most 5 kg."
