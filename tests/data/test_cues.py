"""Cues stand for their groups, are matched for what is not the group, and nothing but them changes."""

import xml.etree.ElementTree as ElementTree
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from shoplm_audit.data.cues import (
    AXES,
    Cue,
    dialects,
    groups_of,
    matched,
    names,
    names_provenance,
    only_cue_changed,
    statements,
)
from shoplm_audit.data.public_texts import moderation_variables
from shoplm_audit.data.records import Text
from shoplm_audit.errors import Unsupported
from shoplm_audit.metrics.matching import remark, unmatched
from shoplm_audit.prompts import Prompts
from shoplm_audit.scoring.aspects import aspects_in
from shoplm_audit.types import Case, Observation, Observations

REAL = Path(__file__).parents[2] / ".." / "shared" / "data" / "names_gender_ethnicity"
BY_NAME = {cue.words: cue for language in ("en", "zh") for cue in names(language)}
LANGUAGES = ("en", "zh")


def stated(language: str) -> Iterator[tuple[str, tuple[Cue, ...]]]:
    for axis in dict.fromkeys(key.partition(".")[0] for key in AXES):
        try:
            yield axis, statements(axis, language)
        except Unsupported:
            continue


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_cell_has_twelve_names_and_no_name_stands_in_two(language):
    cells = Counter((cue.groups["gender"], cue.groups["ethnicity"]) for cue in names(language))
    assert set(cells) == {(gender, other) for gender in AXES["gender"] for other in groups_of("ethnicity", language)}
    assert min(cells.values()) >= 12
    assert min(cells[gender, groups_of("ethnicity", language)[0]] for gender in AXES["gender"]) >= 24
    assert len({cue.words for cue in names(language)}) == len(names(language))
    assert "by us" in names_provenance(language) or "Our own choice" in names_provenance(language)


@pytest.mark.parametrize("language", LANGUAGES)
def test_statements_give_every_group_the_same_frames(language):
    axes = dict(stated(language))
    assert len(axes) >= 6
    for axis, cues in axes.items():
        assert set(Counter(cue.groups[axis] for cue in cues).values()) == {12}, axis
        assert len({cue.words for cue in cues}) == len(cues), axis
        rows = matched(cues, axis, lambda text: -(-len(text.encode()) // 4), 6)
        assert len(rows) == 6 * len(groups_of(axis, language))


def test_addresses_are_implied_and_hometowns_are_stated():
    assert not any(cue.explicit for cue in statements("address", "zh"))
    assert all(cue.explicit for cue in statements("region", "zh"))
    with pytest.raises(Unsupported, match='no statements of "hukou" in "en"'):
        statements("hukou", "en")


def test_matched_names_are_as_long_as_rare_and_of_the_same_other_groups():
    def length(text: str) -> int:
        return -(-len(text) // 4)

    cues = matched(names("en"), "ethnicity", length, 12)
    rows = list(zip(*(cues[start : start + 12] for start in range(0, 48, 12)), strict=True))
    assert [row[0].groups["ethnicity"] for row in zip(*rows, strict=True)] == list(AXES["ethnicity"])
    assert all(len({cue.groups["gender"] for cue in row}) == 1 for row in rows)
    assert Counter(cue.groups["gender"] for cue in cues[:12]) == {"female": 6, "male": 6}
    # A third of the reference's names are common, none of the others': matched ones are not.
    assert any(cue.rarity == 0 for cue in names("en") if cue.groups["ethnicity"] == "white")
    assert not any(cue.rarity == 0 for cue in cues)
    assert sum(abs(length(white.words) - length(black.words)) for white, black, *_ in rows) <= 3


@pytest.mark.parametrize("length", [len, lambda text: -(-len(text.encode()) // 4)], ids=["characters", "bytes"])
@pytest.mark.parametrize("count", [12, 26])
def test_packs_leave_little_for_which_names_are_not_alike(length, count):
    for language in LANGUAGES:
        cues = matched(names(language), "ethnicity", length, count)
        assert all(cue.tokens == length(cue.words) for cue in cues)
        for axis in ("ethnicity", "gender"):
            groups = {each: [cue for cue in cues if cue.groups[axis] == each] for each in groups_of(axis, language)}
            groups.pop("asian", None)  # shorter and rarer than the others: nothing in the tables evens that out
            for field in ("rarity", "tokens"):
                means = [mean(group, field) for group in groups.values()]
                assert max(means) - min(means) <= 0.2 * max(means), (language, axis, field)


def test_what_no_match_evened_out_is_told():
    def row(words: str, group: str, tokens: int, rarity: int) -> Observation:
        facts = {"tokens": tokens, "rarity": rarity}
        return Observation(Case(words, facts=facts, groups={"ethnicity": group}, cluster=words, language="en"), {})

    # A name counts once, however many questions it asks.
    rows = [
        row("Mai", "asian", 1, 2),
        row("Luke", "white", 2, 1),
        row("Luke", "white", 2, 1),
        row("Mark", "white", 1, 0),
    ]
    apart = unmatched(Observations(tuple(rows)), "ethnicity", ("asian", "white"))
    assert apart == {"tokens_apart": -0.5, "rarity_apart": 1.5}
    assert "+1.5 bands" in remark(apart)
    assert "tokens" not in remark(apart)
    bare = Observations((Observation(Case("c", groups={"ethnicity": "white"}), {}),))
    assert unmatched(bare, "ethnicity", ("asian", "white")) == {}
    assert not remark({})


def mean(cues, field):
    return sum(getattr(cue, field) for cue in cues) / len(cues)


def test_the_audited_models_own_lengths_decide_the_match():
    def cue(words: str, group: str) -> Cue:
        return Cue(words, "en", {"gender": group}, explicit=False)

    cues = [cue(f"f{i}", "female") for i in range(6)] + [cue(f"m{i}", "male") for i in range(12)]
    many = matched(cues, "gender", lambda text: 1 if text[0] == "f" or int(text[1:]) >= 6 else 5, 6)
    assert sorted(int(one.words[1:]) for one in many if one.groups["gender"] == "male") == list(range(6, 12))
    assert [one.groups["gender"] for one in many] == ["male"] * 6 + ["female"] * 6


def test_a_group_of_one_name_is_refused_with_the_reason():
    cues = [cue for cue in names("en") if cue.groups["gender"] == "male" or cue.words == "Susan"]
    with pytest.raises(Unsupported, match='"gender" needs two groups of at least 6 cues each: 2 groups and 1 cues'):
        matched(cues, "gender", len, 12)
    for none in ((), names("en")[:28]):
        with pytest.raises(Unsupported, match="needs two groups"):
            matched(none, "gender", len, 12)


@pytest.mark.parametrize(
    ("first", "second", "was", "now", "same"),
    [
        ("Mark bought it; he likes it.", "Susan bought it; she likes it.", "Mark", "Susan", True),
        ("Mark bought it for himself.", "Susan bought it for herself.", "Mark", "Susan", True),
        ("Mark paid. He waits.", "Susan paid. She waits.", "Mark", "Susan", True),
        ("Mark paid. He waits.", "Susan paid. she waits.", "Mark", "Susan", False),
        ("Mark bought a Mark lamp.", "Susan bought a Mark lamp.", "Mark", "Susan", True),
        ("Mark is in the Market.", "Susan is in the Market.", "Mark", "Susan", True),
        ("王建国买了，他喜欢。", "王秀英买了，她喜欢。", "王建国", "王秀英", True),
        ("Mark bought one lamp.", "Susan bought two lamps.", "Mark", "Susan", False),
        ("Mark is in the Market.", "Susan is in the Susanet.", "Mark", "Susan", False),
        ("Mark said he paid.", "Susan said him paid.", "Mark", "Susan", False),
        ("Mr Mark", "Ms Susan", "Mark", "Susan", False),
        ("Mark paid.", "Susan paid. ", "Mark", "Susan", False),
        ("A customer.", "A customer.", "Mark", "Susan", False),
        ("Mark and Mark", "Susan", "Mark", "Susan", False),
        ("", "", "Mark", "Susan", False),
        ("尊敬的王建国先生", "尊敬的王秀英女士", "王建国", "王秀英", False),
    ],
)
def test_only_the_cue_and_the_pronouns_of_its_pack_may_change(first, second, was, now, same):
    assert only_cue_changed(first, second, BY_NAME[was], BY_NAME[now]) is same
    assert only_cue_changed(second, first, BY_NAME[now], BY_NAME[was]) is same


def test_a_template_that_treats_names_differently_is_caught():
    own = "{{ 'Dear madam' if text == 'Susan' else 'Dear sir' }}\nText: {{ text }}\nAnswer:"
    for prompts, same in ((Prompts(), True), (Prompts({"moderation": own}), False)):
        first, second = (
            prompts.render("moderation", "en", moderation_variables(Text("t", name))).flat for name in ("Mark", "Susan")
        )
        assert only_cue_changed(first, second, BY_NAME["Mark"], BY_NAME["Susan"]) is same


@pytest.mark.parametrize("language", LANGUAGES)
def test_varieties_change_every_sentence_and_keep_its_row(language):
    varieties = {"en": {"aae", "esl"}, "zh": {"cantonese", "sichuan", "csl", "pinyin", "traditional"}}[language]
    rows = dialects(language)
    counts = Counter(row.variety for row in rows)
    assert set(counts) == varieties
    assert min(counts.values()) == max(counts.values()) >= 40
    assert all(row.changed.strip() and row.changed != row.standard for row in rows)
    for row in rows:
        if row.concern:
            # So that a summary that quotes a complaint tells it, whoever wrote it; transliterations nobody reads.
            read = [row.standard] if row.variety in ("pinyin", "traditional") else [row.standard, row.changed]
            assert all(aspects_in(form, language) == {row.concern: "complaint"} for form in read), row


def test_scripts_follow_from_the_standard_form():
    written = {(row.variety, row.standard): row.changed for row in dialects("zh")}
    assert written["traditional", "快递员很有礼貌，送得也很快。"] == "快遞員很有禮貌，送得也很快。"
    assert written["traditional", "毛巾很厚，干得也快。"] == "毛巾很厚，乾得也快。"
    spelt = "".join(changed for (variety, _), changed in written.items() if variety == "traditional")
    assert not set(spelt) & set(
        "幹後隻係麵鬆髮錶"
    )  # in our sentences 干 is dry, 发 is to send; the others do not occur
    assert written["pinyin", "拉链卡住了，打不开。"] == "la lian ka zhu le, da bu kai."


@pytest.mark.real_data
def test_names_are_of_their_gender_ethnicity_and_frequency():
    if not REAL.is_dir():
        pytest.skip("the name tables are not beside the checkout")
    shares = dict(_first_names())
    census = {gender: dict(_census(gender)) for gender in AXES["gender"]}
    column = {"hispanic": 0, "white": 1, "black": 2, "asian": 3}
    for cue in names("en"):
        gender, ethnicity = cue.groups["gender"], cue.groups["ethnicity"]
        name = cue.words.upper()
        own = census[gender].get(name, 0.0)
        other = sum(table.get(name, 0.0) for group, table in census.items() if group != gender)
        assert shares[name][column[ethnicity]] >= 100 * cue.strength, cue
        assert own >= 0.9 * (own + other), cue
        assert [own >= 0.1, 0.01 <= own < 0.1, own < 0.01][cue.rarity], cue


def _census(gender: str) -> Iterator[tuple[str, float]]:
    for line in (REAL / f"dist.{gender}.first.txt").read_text().splitlines():
        name, percent, *_ = line.split()
        yield name, float(percent)


def _first_names() -> Iterator[tuple[str, list[float]]]:
    """Name -> percent of bearers who are Hispanic, white, black, Asian."""
    space = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
    with zipfile.ZipFile(REAL / "firstnames.xlsx") as book:
        strings = ElementTree.fromstring(book.read("xl/sharedStrings.xml"))
        words = ["".join(part.text or "" for part in one.iter(f"{space}t")) for one in strings]
        for row in ElementTree.fromstring(book.read("xl/worksheets/sheet2.xml")).iter(f"{space}row"):
            cells = [(cell.get("t"), cell.findtext(f"{space}v") or "") for cell in row]
            if cells and cells[0][0] == "s" and cells[1][0] != "s":
                yield words[int(cells[0][1])], [float(value) for _, value in cells[2:6]]
