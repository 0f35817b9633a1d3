"""Genders in a text are exchanged, nothing else is, and no record is there twice."""

import pytest

from shoplm_audit.data.care import Care, cared_for
from shoplm_audit.data.records import Review
from shoplm_audit.data.swapping import swapped


@pytest.mark.parametrize(
    ("language", "text", "other"),
    [
        ("en", "HE said his wife loves it. It is his.", "SHE said her husband loves it. It is hers."),
        (
            "en",
            "I gave it to her, and her mother likes her kettle.",
            "I gave it to him, and his father likes his kettle.",
        ),
        ("en", "My dad's boyfriend", "My mom's girlfriend"),
        ("en", "I saw her yesterday and love her very much.", "I saw him yesterday and love him very much."),
        ("zh", "他的老婆很喜欢，王先生说爸爸也买了。", "她的老公很喜欢，王女士说妈妈也买了。"),
    ],
)
def test_words_change_sides_and_come_back(language: str, text: str, other: str) -> None:
    assert swapped(text, language) == other
    assert swapped(other, language) == text


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "Others mark the queen size mattress as theirs; the female plug fits."),
        ("zh", "其他颜色都好，吉他和维他命也不错，老婆饼好吃，姑妈在看孙子兵法。"),
        ("en", "Mark the spot with Scott towels; a men's razor and boyfriend jeans."),
        ("fr", "his wife"),
        ("en", ""),
    ],
)
def test_what_tells_no_gender_stays(language: str, text: str) -> None:
    assert swapped(text, language) == text


def test_names_go_to_names_of_the_same_ethnicity() -> None:
    from shoplm_audit.data.cues import names

    known = {cue.words: cue.groups for cue in names("en")}
    for name in ("Keisha", "Susan"):
        other = swapped(name, "en")
        assert known[other]["gender"] == "male"
        assert known[other]["ethnicity"] == known[name]["ethnicity"]


def test_half_of_the_records_are_exchanged_each_by_itself_and_none_is_there_twice() -> None:
    records = [Review(f"r{i}", "p", f"My wife likes kettle {i}.", 5.0) for i in range(400)]
    kept, card = cared_for(records, Care(swap=True))
    changed = ["husband" in review.text for review in kept]
    assert len(kept) == 400
    assert 160 < sum(changed) < 240
    assert card.settings["swap"] is True
    # One record more changes no other: what one unit contributes depends on itself alone.
    assert cared_for(records[1:], Care(swap=True))[0] == kept[1:]
