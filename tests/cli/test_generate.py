"""`generate` as a user has it: what rows say, what is refused, and that a cut file is completed to the very same."""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shoplm_audit.errors import AuditError, Unsupported

CATALOGUE = "id,title,category,colour\n" + "".join(f"p{i},Alder kettle {i},kettles,navy\n" for i in range(5))
SHORT = ("--max-new-tokens", "12")


@pytest.fixture
def generate(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., tuple[str, str]]]:
    """The command in this process, in a folder with a catalogue; what it wrote to standard output and error."""
    import torch

    from shoplm_audit.cli import app

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SHOPLM_WATERMARK_KEY", raising=False)
    (tmp_path / "catalogue.csv").write_text(CATALOGUE, encoding="utf-8")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)

    def run(*arguments: str, model: str = str(tiny_checkpoint)) -> tuple[str, str]:
        app(["generate", "--model", model, *SHORT, *arguments], standalone_mode=False)
        said = capsys.readouterr()
        return said.out, said.err

    yield run
    torch.set_num_threads(threads)


def rows(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text("utf-8").splitlines()]


PRODUCTS = ("--data", "products=catalogue.csv")


@pytest.mark.parametrize("prompt", ["I love shopping online because", "这款手机的性能非常好，"])
def test_five_texts_of_a_prompt_in_either_language(prompt: str, generate: Any) -> None:
    said, _ = generate("--prompt", prompt, "-n", "5")
    assert said.count(prompt) == 5


def test_reviews_are_watermarked_and_labelled_and_their_key_is_kept_beside_them(
    generate: Any, tiny_checkpoint: Path
) -> None:
    from scipy.stats import combine_pvalues
    from transformers import AutoTokenizer

    from shoplm_audit.models.watermark import detect
    from shoplm_audit.types import Mark

    reviews = (*PRODUCTS, "--task", "review", "--strategy", "sample", "--max-new-tokens", "90")
    _, said = generate(*reviews, "--out", "r.jsonl")
    found = rows("r.jsonl")
    assert [row["id"] for row in found] == [f"p{i}" for i in range(5)]
    assert all(row["ai_generated"] is True and row["watermark"] == "kgw" for row in found)
    key = Path("watermark.key").read_text("utf-8").strip()
    assert stat.S_IMODE(Path("watermark.key").stat().st_mode) == 0o600
    assert "watermark.key" in said
    assert key not in said + Path("r.jsonl").read_text("utf-8") + Path("r.jsonl.json").read_text("utf-8")

    said, _ = generate(*reviews, "--unmarked", "--out", "u.jsonl")
    assert "unmarked" in said
    assert json.loads(Path("u.jsonl.json").read_text("utf-8"))["settings"]["unmarked"] is True
    assert not any({"ai_generated", "watermark"} & set(row) for row in rows("u.jsonl"))

    tokenizer, mark = AutoTokenizer.from_pretrained(tiny_checkpoint), Mark("kgw", key)
    p_of = {
        name: [detect(row["text"] or "", tokenizer, mark).p_value for row in rows(name)]
        for name in ("r.jsonl", "u.jsonl")
    }
    # A key is new each time, so five texts are read as one: Fisher's sum is far away with the mark,
    # and crosses 1e-5 without it once in a hundred thousand runs.
    assert combine_pvalues(p_of["r.jsonl"]).pvalue < 1e-5 < combine_pvalues(p_of["u.jsonl"]).pvalue


def test_a_checkpoints_own_mark_is_kept_until_another_is_asked_for_or_none(
    generate: Any, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    from shoplm_audit.models.load import load_model
    from shoplm_audit.scoring.marks import added_up

    settings = {"greenlist_ratio": 0.25, "bias": 25.0, "hashing_key": 987_654_321}
    own = tmp_path / "own"
    shutil.copytree(tiny_checkpoint, own)
    (own / "generation_config.json").write_text(json.dumps({"watermarking_config": settings}), encoding="utf-8")
    reviews = (*PRODUCTS, "--task", "review", "--strategy", "sample", "--max-new-tokens", "40")
    _, said = generate(*reviews, "--out", "own.jsonl", model=str(own))
    assert "watermark: kgw, as the checkpoint's own" in said
    assert not Path("watermark.key").exists()
    generate(*reviews, "--unmarked", "--out", "bare.jsonl", model=str(own))
    _, said = generate(*reviews, "--watermark", "synthid", "--out", "other.jsonl", model=str(own))
    assert "checkpoint's own" not in said
    assert [rows(f"{name}.jsonl")[0].get("watermark") for name in ("own", "bare", "other")] == ["kgw", None, "synthid"]
    model: Any = load_model(str(own), device="cpu")
    p_of = {
        name: added_up(model.finder.evidence([row["text"] or "" for row in rows(f"{name}.jsonl")])).p_value
        for name in ("own", "bare", "other")
    }
    assert p_of["own"] < 1e-6
    assert min(p_of["bare"], p_of["other"]) > 1e-3
    card = Path("own.jsonl.json").read_text("utf-8")
    assert json.loads(card)["settings"]["mark"].startswith("kgw of the checkpoint, ")
    assert "987654321" not in card + Path("own.jsonl").read_text("utf-8")


def test_a_key_can_come_from_the_environment_and_another_key_writes_other_texts(
    generate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    marked = ("--prompt", "The kettle", "--strategy", "sample", "--watermark", "synthid")
    for key in ("one", "two"):
        monkeypatch.setenv("SHOPLM_WATERMARK_KEY", key)
        generate(*marked, "--out", f"{key}.jsonl")
    assert not Path("watermark.key").exists()
    assert rows("one.jsonl")[0]["watermark"] == "synthid"
    assert rows("one.jsonl")[0]["text"] != rows("two.jsonl")[0]["text"]


def test_a_cut_file_is_completed_to_the_very_same_and_nothing_is_done_twice(
    generate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shoplm_audit.models.local import LocalModel

    monkeypatch.setattr("shoplm_audit.cli.writing._BLOCK", 4)
    command = (*PRODUCTS, "-n", "2", "--seed", "4", "--out", "t.jsonl")
    generate(*command)
    whole = Path("t.jsonl").read_bytes()
    assert whole.count(b"\n") == 10
    Path("t.jsonl").write_bytes(whole[: len(whole) * 2 // 3])
    asked = []
    written = LocalModel.generate
    monkeypatch.setattr(
        LocalModel, "generate", lambda self, requests: asked.append(requests) or written(self, requests)
    )
    said, _ = generate(*command)
    assert Path("t.jsonl").read_bytes() == whole
    assert sum(map(len, asked)) < 5
    assert "10 texts, 6 of them were there" in said
    with pytest.raises(AuditError, match=r"other settings \(seed\)"):
        generate(*command[:-3], "5", "--out", "t.jsonl")
    Path("catalogue.csv").write_text(CATALOGUE.replace("p0", "p9"), encoding="utf-8")
    with pytest.raises(AuditError, match=r"other settings \(prompts\)"):
        generate(*command)


def test_banned_words_are_in_no_text_and_beams_write_several(generate: Any) -> None:
    letters = [option for letter in "1.9a" for option in ("--ban", letter)]
    generate("--prompt", "The kettle", "-n", "3", "--beams", "3", *letters, "--out", "t.jsonl")
    texts = [row["text"] for row in rows("t.jsonl")]
    assert len(texts) == 3
    assert not set("1.9aA１") & set("".join(texts))
    generate("--prompt", "The kettle", "-n", "3", "--beams", "3", "--out", "free.jsonl")
    assert set("1.9a") & set("".join(row["text"] for row in rows("free.jsonl")))


@pytest.mark.parametrize("way", [(), ("--strategy", "sample", "-n", "2")])
def test_every_text_states_the_attributes_of_its_product_greedy_or_drawn(way: tuple[str, ...], generate: Any) -> None:
    said, _ = generate(*PRODUCTS, "--require-attributes", *way, "--ban", "q", "--out", "t.jsonl")
    found = rows("t.jsonl")
    assert len(found) == 5 * (len(way) or 2) // 2
    assert all("navy" in row["text"].lower() and row["missing_attributes"] == [] for row in found)
    assert "lack an attribute" not in said
    settings = json.loads(Path("t.jsonl.json").read_text("utf-8"))["settings"]
    assert settings["attributes"] is True


def test_what_is_missing_all_the_same_is_said(generate: Any) -> None:
    long = "a very long feature of this kettle that no text of twelve tokens has room for"
    Path("catalogue.csv").write_text(f"id,title,category,material\np1,Alder,kettles,{long}\n", encoding="utf-8")
    said, _ = generate(*PRODUCTS, "--require-attributes", "--out", "t.jsonl")
    assert rows("t.jsonl")[0]["missing_attributes"] == ["material"]
    assert "1 texts lack an attribute; their rows name it" in said


def test_flagged_texts_are_withheld_on_the_screen_too(generate: Any) -> None:
    Path("words.txt").write_text("kettle\n", encoding="utf-8")
    Path("shop.py").write_text("def echo(prompts):\n    return prompts\n", encoding="utf-8")
    said, _ = generate("--prompt", "A kettle.", "--moderate", "words.txt", model="python:shop:echo")
    assert said == '[withheld by moderation: {"words": ["kettle"]}]\n\n'


REFUSED = {
    "unmarked without a file": (("--prompt", "x", "--unmarked"), "--out"),
    "unmarked and marked": (("--prompt", "x", "--unmarked", "--watermark", "kgw", "--out", "t"), "leave one"),
    "unknown mark": (("--prompt", "x", "--watermark", "ink"), "kgw and synthid"),
    "greedy synthid": (("--prompt", "x", "--watermark", "synthid", "--strategy", "greedy"), "synthid"),
    "temperature of greedy": (("--prompt", "x", "--strategy", "greedy", "--temperature", "1"), "--temperature belongs"),
    "top k of a beam": (("--prompt", "x", "--beams", "2", "--top-k", "1"), "--top-k belongs"),
    "beams of samples": (("--prompt", "x", "--beams", "2", "--strategy", "sample"), "--beams belongs"),
    "attributes of a prompt": (("--prompt", "x", "--require-attributes"), "needs products"),
    "attributes in beams": ((*PRODUCTS, "--require-attributes", "--beams", "2"), "not beam"),
    "a banned attribute": ((*PRODUCTS, "--require-attributes", "--ban", "NAVY"), '"p0" has the value "navy"'),
    "unknown strategy": (("--prompt", "x", "--strategy", "magic"), "greedy, beam and sample"),
    "another kind of record": ((*PRODUCTS, "--task", "reply"), "dialogues"),
    "blank ban": (("--prompt", "x", "--ban", " "), "banned"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_together_is_refused_before_a_model_is_loaded(name: str, generate: Any) -> None:
    arguments, told = REFUSED[name]
    with pytest.raises(AuditError, match=told):
        generate(*arguments, model="no-such-folder/model")


def test_a_function_that_cannot_be_marked_or_held_back_says_so(generate: Any) -> None:
    Path("shop.py").write_text("def echo(prompts):\n    return prompts\n", encoding="utf-8")
    prompt = ("--prompt", "x")
    for steered, told in (
        ((*prompt, "--ban", "x"), "banned"),
        ((*prompt, "--watermark", "kgw"), "watermark"),
        ((*prompt, "--beams", "2"), "beams"),
        ((*PRODUCTS, "--require-attributes"), "required"),
    ):
        with pytest.raises(Unsupported, match=told):
            generate(*steered, model="python:shop:echo")
