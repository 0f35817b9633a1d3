"""What counts as a repeated text, held against comparing every text with every other."""

from __future__ import annotations

import doctest
import tracemalloc

import numpy as np
import pytest

from shoplm_audit.data import duplicates
from shoplm_audit.data.duplicates import Repeats, jaccard, normalised, shingles
from shoplm_audit.errors import ConfigError

ENGLISH = [f"word{i}" for i in range(4000)]
CHINESE = [chr(0x4E00 + i) for i in range(4000)]


def repeats_of(texts: list[str], language: str = "en", near: float = 0.8) -> dict[int, int]:
    finder = Repeats(near)
    for text in texts:
        finder.add(text, language)
    return finder.find(texts.__getitem__)


def by_all_pairs(texts: list[str], language: str, near: float) -> dict[int, int]:
    found: dict[int, int] = {}
    first: dict[str, int] = {}
    kept: list[int] = []
    sets = [shingles(text, language) for text in texts]
    for i, text in enumerate(texts):
        same = first.setdefault(normalised(text), i)
        if same != i:
            found[i] = found.get(same, same)
            continue
        match = next((j for j in kept if jaccard(sets[i], sets[j]) >= near), None)
        if match is None:
            kept.append(i)
        else:
            found[i] = match
    return found


def families(language: str, seed: int, count: int = 150) -> list[str]:
    """Texts of 20 to 60 words, each with a variant in which up to an eighth of the words are others, shuffled."""
    rng = np.random.default_rng(seed)
    words, space = (ENGLISH, " ") if language == "en" else (CHINESE, "")
    texts = []
    for _ in range(count):
        drawn = rng.integers(0, len(words), rng.integers(20, 60))
        variant = drawn.copy()
        changed = rng.integers(0, len(drawn), rng.integers(0, 1 + len(drawn) // 8))
        variant[changed] = rng.integers(0, len(words), len(changed))
        texts += [space.join(words[i] for i in each) for each in (drawn, variant)]
    return [texts[i] for i in rng.permutation(len(texts))]


def test_doctests_of_the_module() -> None:
    assert doctest.testmod(duplicates).failed == 0


def test_texts_equal_but_for_case_width_and_white_space_are_exact_duplicates() -> None:
    assert repeats_of(["Good  kettle!", "other", "ＧＯＯＤ kettle！\n", "Good kettle?"]) == {2: 0, 3: 0}
    finder = Repeats(0.8)
    for text in ("Good kettle!", "GOOD  kettle!", "Good kettle?"):
        finder.add(text, "en")
    assert finder.exact == {1: 0}  # the third differs in a sign: a near-duplicate, not an exact one


@pytest.mark.parametrize("near", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_near_duplicates_are_those_that_all_pairs_would_give(language: str, near: float) -> None:
    texts = families(language, seed=3)
    wanted = by_all_pairs(texts, language, near)
    sets = [shingles(text, language) for text in texts]
    similar = sum(near - 0.14 <= jaccard(sets[i], sets[j]) < near for i in range(len(sets)) for j in range(i))
    assert len(wanted) >= 10
    assert similar >= 4  # pairs that hashes alone would take for duplicates
    assert repeats_of(texts, language, near) == wanted


def test_a_chinese_sentence_without_blanks_is_compared_by_characters() -> None:
    one = "这款水壶烧水很快而且外观漂亮颜色正是我想要的那种蓝色包装也很结实"
    assert repeats_of([one, one.replace("结实", "牢固"), "这款水壶漏水而且客服不理人已经退货了再也不会来买"], "zh") == {
        1: 0
    }
    assert repeats_of([one, one.replace("结实", "牢固")], "en") == {1: 0}  # also when the language was not told


def test_words_in_another_order_are_no_duplicate() -> None:
    words = ENGLISH[:40]
    assert repeats_of([" ".join(words), " ".join(reversed(words))]) == {}


def test_short_texts_count_as_one_shingle() -> None:
    assert repeats_of(["great", "great!", "great buy", "not great", "...", "!!!", "", " "]) == {1: 0}


def test_a_copy_of_a_near_duplicate_repeats_the_text_that_was_kept() -> None:
    base = " ".join(ENGLISH[:60])
    variant = base.replace("word59", "other")
    assert repeats_of([base, variant, "between", variant.upper()]) == {1: 0, 3: 0}


def test_of_a_group_the_first_stays_in_either_order() -> None:
    base = " ".join(ENGLISH[:60])
    variant = base.replace("word59", "other")
    assert repeats_of([base, variant]) == repeats_of([variant, base]) == {1: 0}


def test_only_suspects_are_asked_for_and_no_text_is_kept() -> None:
    rng = np.random.default_rng(0)
    texts = [" ".join(ENGLISH[i] for i in rng.integers(0, 4000, 400)) for _ in range(400)]
    texts.append(texts[7] + " more")
    tracemalloc.start()
    finder = Repeats(0.8)
    for text in texts:
        finder.add(text, "en")
    suspects = finder.suspects()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert suspects == {7, 400}
    assert finder.find({7: texts[7], 400: texts[400]}.__getitem__) == {400: 7}
    assert held < 0.5 * sum(map(len, texts))


@pytest.mark.parametrize("near", [0.0, -1.0, 1.1, float("nan")])
def test_a_similarity_that_is_none_is_named(near: float) -> None:
    with pytest.raises(ConfigError, match=f'near is "{near}"'):
        Repeats(near)
