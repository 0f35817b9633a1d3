from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from small_networks import make_kind, make_network

from shoplm_audit.models.continuation import Rules, Text, followed
from shoplm_audit.models.encoder_decoder import EncoderDecoderModel
from shoplm_audit.models.local import LocalModel
from shoplm_audit.models.required import stated
from shoplm_audit.types import Generate, Mark, Prompt, Sampling

# A model in single characters: it knows these, and writes what it is told to.
KNOWN = " abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,;:$\n颜色红重量千克水壶很好。；："
END = len(KNOWN)
RULES = Rules(
    frozenset({END}),
    lambda ids: "".join(KNOWN[token] for token in ids if token != END),
    lambda text: [KNOWN.index(character) for character in text if character in KNOWN],
)
RECORD = "Product: Alder\nColour: navy\nWeight: 1.2 kg\nDescription:"


class Told:
    """A reading of one line whose logits follow a script, and then want the text to end."""

    def __init__(self, script: str) -> None:
        self.script, self.line = [*RULES.encoded(script), END], []

    def logits(self) -> Any:
        import torch

        row = np.zeros(len(KNOWN) + 1, dtype=np.float32)
        row[self.script[min(len(self.line), len(self.script) - 1)]] = 50
        return torch.from_numpy(row)[None]

    def extend(self, tokens: Sequence[int]) -> None:
        self.line.append(tokens[0])

    def keep(self, lines: Sequence[int]) -> None:
        raise AssertionError("one line stays")


def write(script: str, *required: str, prompt: str = RECORD, limit: int = 200, **sampling: Any) -> str:
    wanted = Sampling(limit, required=required, **sampling)
    return RULES.decoded(followed(Told(script), [Text([0], prompt, wanted, 0, limit)], RULES)[0])


def test_a_phrase_is_stated_in_any_form_but_as_words_of_its_own() -> None:
    assert stated("It weighs 12 kg.", ["2 kg", "12 KG", "１２ kg", "1"]) == ["12 KG", "１２ kg"]
    assert stated("It holds 1.25 l, or 2,5 cups.", ["1.2", "25 l", "5 cups", "2,5"]) == ["2,5"]
    assert stated("Redwood; costs $49", ["red", "$4", "$49"]) == ["$49"]
    assert stated("深红色，１.2\u3000千克", ["红色", "1.2 千克"]) == ["红色", "1.2 千克"]
    assert stated("", ["x"]) == []


def test_what_is_missing_when_the_model_ends_is_written_as_the_prompt_shows_it() -> None:
    assert write("It is good.", "navy", "1.2 kg") == "It is good. Colour: navy; Weight: 1.2 kg."
    assert write("It is NAVY and good.", "navy", "1.2 kg") == "It is NAVY and good. Weight: 1.2 kg."
    assert write("Good", "navy") == "Good; Colour: navy."
    assert write("", "navy") == " Colour: navy."
    chinese = "商品：水壶\n颜色：红色\n重量：2千克\n描述："
    assert write("水壶很好。", "红色", "2千克", prompt=chinese) == "水壶很好。颜色：红色；重量：2千克。"
    assert write("Good.", "glass", "iX", prompt="- material: glass\nDescribe it:") == "Good. Material: glass; iX."
    assert write("Good.", "iX", prompt="") == "Good. iX."
    # Nowhere in the prompt behind a label: the words themselves.
    assert write("Good.", "glass", prompt="Describe a navy kettle:") == "Good. Glass."


def test_who_states_everything_is_left_alone() -> None:
    script = "Navy. It weighs 1.2 kg, and more follows."
    assert write(script, "navy", "1.2 kg") == script


def test_what_is_begun_is_not_yet_stated() -> None:
    assert write("Costs $490.", "$49", prompt="") == "Costs $490. $49."
    assert write("aa $49" + "0" * 40, "$49", prompt="", limit=17) == "aa $49"  # the very last place for it
    assert write("Navy blues", "navy blue", prompt="") == "Navy blues; navy blue."


def test_a_point_within_a_number_ends_no_sentence() -> None:
    text = write("It is very good, at 1.5 litres. More" + "a" * 60, "navy", prompt="Colour: navy", limit=60)
    assert text == "It is very good, at 1.5 litres. Colour: navy."


def test_a_stop_does_not_end_a_text_before_all_is_stated() -> None:
    assert write("Good.\n\nQ", "navy", stop=("\n\n",)) == "Good.\nColour: navy."
    assert write("Navy.\nQ", "navy", stop=(".\n",)) == "Navy.\n"


@pytest.mark.parametrize("limit", [16, 30, 40, 60, 90])
def test_when_room_runs_out_the_last_sentence_that_fits_is_followed_by_what_is_missing(limit: int) -> None:
    text = write("It is a good one. " * 20, "navy", "1.2 kg", limit=limit)
    assert stated(text, ["navy", "1.2 kg"]) == ["navy", "1.2 kg"]
    assert len(text) <= limit
    if limit >= 60:
        said, _, added = text.partition(" Colour: navy; Weight: 1.2 kg.")
        assert added == ""
        assert said.endswith("It is a good one.")
    # Without an end of a sentence it is written where the room ends, and still no room is lost.
    endless = write("a" * 200, "navy", "1.2 kg", limit=limit)
    assert stated(endless, ["navy", "1.2 kg"]) == ["navy", "1.2 kg"]
    assert limit - 16 <= len(endless) <= limit


def test_what_cannot_be_written_does_not_keep_the_rest_out() -> None:
    assert write("Good.", "naïve", "navy") == "Good. Colour: navy."
    assert write("Good.", "n" * 300, "navy", limit=40) == "Good. Colour: navy."
    assert write("Good.", "navy", "1.2 kg", limit=9).endswith("Navy.")
    # Where nothing fits that is not banned, the model goes on as it likes.
    assert write("It is. " * 10, "navy", limit=60, banned=("y.",)) == ("It is. " * 10)[:60]
    # The label is banned, then the value is.
    assert write("Good.", "navy", banned=("colour",)) == "Good. Navy."
    assert write("Good.", "navy", "1.2 kg", banned=("av",)) == "Good. Weight: 1.2 kg."


# Networks -------------------------------------------------------------------------------------------

WANTED = {
    "The kettle is\nWeight: 1.7 litres\nDescription:": ("1.7 litres", "navy"),
    "这款水壶\n颜色：藏青色\n描述：": ("藏青色", "一升七"),
}
DRAWN: tuple[dict[str, Any], ...] = (
    {},
    {"temperature": 1.0, "n": 3, "seed": 4},
    {"temperature": 1.0, "n": 3, "mark": Mark("kgw", "key"), "banned": ("e", "好")},
    {"temperature": 1.0, "stop": ("a", "。")},
)


def requests_of(limit: int, *, required: bool = True, **sampling: Any) -> list[Generate]:
    return [
        Generate(Prompt(text), Sampling(limit, required=words if required else (), **sampling), raw=True)
        for text, words in WANTED.items()
    ]


@pytest.mark.parametrize("sampling", DRAWN)
@pytest.mark.parametrize("limit", [24, 40])
def test_a_network_states_all_of_it_whatever_it_would_write(
    limit: int, sampling: dict[str, Any], local: LocalModel
) -> None:
    requests = requests_of(limit, **sampling)
    texts = local.generate(requests)
    wanted = [words for words in WANTED.values() for _ in range(sampling.get("n", 1))]
    # "litres" holds an "e": what is banned stays out even where it is required.
    lost = {"1.7 litres"} if "banned" in sampling else {"1.7 litres", "navy"} if "stop" in sampling else set()
    for text, words in zip(texts, wanted, strict=True):
        assert set(words) - set(stated(text, words)) <= lost
        assert not any(banned in text.lower() for banned in sampling.get("banned", ()))
    assert len(set(texts)) == len(texts)


def test_a_required_text_depends_on_its_request_alone_and_changes_no_neighbour(local: LocalModel) -> None:
    held = requests_of(24, temperature=1.0, n=2, seed=1) + requests_of(30)
    free = requests_of(24, required=False, temperature=1.0, n=2, seed=1) + requests_of(9, required=False)
    apart = [local.generate([one]) for one in (*held, *free)]
    assert local.generate([*held, *free]) == [text for texts in apart for text in texts]
    assert local.generate([*free[::-1], *held]) == [text for each in (*apart[4:][::-1], *apart[:4]) for text in each]


def test_texts_written_without_slots_and_by_an_encoder_decoder_are_held_to_the_same(tokenizers: dict[str, Any]) -> None:
    tokenizer = tokenizers["gpt2"]
    slotless = LocalModel(make_network("gpt2", len(tokenizer)), tokenizer, name="slotless")
    slotless._refills = lambda width: False  # type: ignore[method-assign]
    apart = EncoderDecoderModel(make_kind("t5", len(tokenizer)), tokenizer, name="t5")
    for model in (slotless, apart):
        for text, words in zip(model.generate(requests_of(40)), WANTED.values(), strict=True):
            assert stated(text, words) == list(words)
