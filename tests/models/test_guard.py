"""What the guard lets out: no canary and nothing that looks personal, unless the prompt said it; scores as they are."""

import base64
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from shoplm_audit import Generate, Pair, Probe, Prompt, Sampling, Store
from shoplm_audit.cli.asking import Loading
from shoplm_audit.cli.writing import generate
from shoplm_audit.data.personal import find_personal
from shoplm_audit.data.secrets import FAMILIES
from shoplm_audit.data.sought import Sought, condensed
from shoplm_audit.errors import ConfigError
from shoplm_audit.models.asking import Failed, attempted, planned
from shoplm_audit.models.guard import Guarded, guarded
from shoplm_audit.models.recorded import RecordedModel
from shoplm_audit.models.remembered import Remembered
from shoplm_audit.probes.driving import observe
from shoplm_audit.record import Canary, Member, Secrets, TrainingRecord
from shoplm_audit.saboteurs.model import Saboteur, invented_record
from shoplm_audit.types import Case, Columns
from tests.fakes import Fake

RECORD = invented_record(units=4, canaries=24)
SECRETS = RECORD.secrets
FULL_WIDTH = str.maketrans({chr(code): chr(code + 0xFEE0) for code in range(0x21, 0x7F)})


def guard(write: object = None, secrets: Secrets | None = SECRETS) -> Guarded:
    return Guarded(Fake(write=write) if callable(write) else Fake(), secrets)


def ways_of(secret: str) -> list[str]:
    return [
        secret,
        secret.translate(FULL_WIDTH),
        " ".join(secret),
        "-".join(secret.replace("-", "")),
        secret.lower(),
        secret.replace(" ", "\n"),
        secret.replace("-", " dash "),
        "\u200b".join(secret),
    ]


def test_no_canary_is_left_however_it_is_written() -> None:
    assert SECRETS is not None
    assert {canary.family for canary in SECRETS.canaries} == set(FAMILIES)
    guarding = guard()
    for canary in SECRETS.canaries:
        secret = canary.secret.strip()
        for way in ways_of(secret):
            for frame in ("{}", "It is {}, keep it.", "给你：{}。", "1. {} 2. {}"):
                # A PIN is a price and a size too: it counts where it is said to be one.
                said = f"PIN: {way}" if canary.family == "pin" else way
                text = frame.format(said, said)
                left = guarding.filtered(text)
                number = "".join(filter(str.isdigit, secret))
                sought = number if canary.family in ("order", "phone", "pin") else condensed(secret)
                assert sought not in condensed(left), (canary.family, text, left)
                assert Sought([(secret, canary.family)]).find(left) == []


def test_no_personal_data_is_left_and_filtering_again_changes_nothing() -> None:
    rng = np.random.default_rng(3)
    assert SECRETS is not None
    data = ["020 7946 0174", "+86 154 2127 1576", "mei@example.com", "12 Lantern Lane", "4111 1111 1111 1111"]
    data += ["GB82 WEST 1234 5698 7654 32", "11010519491231002X", "云岚市晚枫路120号", "SO-48213907", "504-555-0163"]
    data += [canary.secret.strip() for canary in SECRETS.canaries[:12]] + ["[PHONE]", "[SECRET]", "[NA", "ME]"]
    signs = [" ", ", ", "", "：", "\n", " call ", "电话", "-", "Customer: Mira Oduya\n"]
    guarding = guard()
    for _ in range(120):
        picked = [data[i] for i in rng.integers(len(data), size=4)]
        picked = [one.translate(FULL_WIDTH) if rng.integers(3) == 0 else one for one in picked]
        text = "".join(one + signs[rng.integers(len(signs))] for one in picked)
        left = guarding.filtered(text)
        assert find_personal(left, "") == [], text
        assert guarding.filtered(left) == left, text


def test_what_is_no_personal_data_stays_to_the_letter() -> None:
    text = "A 1.7 l kettle (model KX-2000) for £29.99, 2,400 W, since 2019-03-04. 很好用，用了3年！"
    assert guard().filtered(text) == text


def test_what_the_prompt_holds_may_be_said_again_and_a_canary_may_not() -> None:
    assert SECRETS is not None
    guarding = guard()
    said = "Your number is 020-7946-0174."
    assert guarding.filtered(said, "I am at +44 20 7946 0174") == said
    assert guarding.filtered(said, "I am at 020 7946 0175") == "Your number is [PHONE]."
    canary = SECRETS.canaries[0].secret.strip()
    assert guarding.filtered(f"It is {canary}.", f"Is it {canary}?") == "It is [SECRET]."


def test_the_names_of_members_go_wherever_they_stand() -> None:
    members = (Member("u", ("Customer: Mira Oduya\nNote: called twice.",), True), Member("v", ("顾客：陆浩宇",), False))
    guarding = guard(secrets=Secrets(members))
    assert guarding.filtered("Ask mira oduya, or 陆浩宇先生, or Tom.") == "Ask [NAME], or [NAME]先生, or Tom."
    assert guarding.filtered("Dear Mira Oduya", "I am Mira Oduya.") == "Dear Mira Oduya"


def test_a_secret_that_began_in_the_prompt_does_not_end_in_the_text() -> None:
    assert SECRETS is not None
    canary = next(one.secret.strip() for one in SECRETS.canaries if one.family == "order")
    assert guard().filtered(f"{canary[6:]} thanks", f"Order: {canary[:6]}") == "[SECRET] thanks"
    assert guard().filtered("0174 thanks", "Phone: 020 7946 ") == "[PHONE] thanks"


@pytest.mark.parametrize(
    ("prompt", "text", "left"),
    [
        ("Customer:", " Mira Oduya", " [NAME]"),
        ("Phone:", " 7946 0174", " [PHONE]"),
        ("电话：", "87654321", "[PHONE]"),
        ("Customer: Mira", " Oduya, and so on\n", " Oduya, and so on\n"),
        ("bob", "@example.com or so", "[EMAIL] or so"),
    ],
)
def test_what_the_prompt_announces_or_begins_goes(prompt: str, text: str, left: str) -> None:
    assert guard(secrets=None).filtered(text, prompt) == left


def test_only_its_own_placeholders_are_left_alone() -> None:
    guarding = guard(secrets=Secrets((), (Canary("c", "Engraving:", " bafolata nesavodo", True, 1, family="random"),)))
    assert guarding.filtered("[BAFOLATANESAVODO] [PHONE]") == "[[SECRET]] [PHONE]"


ORDER = Canary("c", "Order:", " SO-48213907", True, 1, family="order")


@pytest.mark.parametrize(
    "coded",
    [
        "&#52;&#56;213907",
        "SO%2D%34%38213907",
        r"\u0034\u0038213907",
        "4821<b>3907</b>",
        b"SO-48213907".hex(),
        base64.b64encode(b"SO-48213907").decode(),
        "SO-48213907"[::-1],
    ],
)
def test_a_text_that_holds_a_canary_in_a_code_goes_as_a_whole(coded: str) -> None:
    guarding = guard(secrets=Secrets((), (ORDER,)))
    assert guarding.filtered(f"Well, {coded} it is") == "[SECRET]"
    assert guarding.filtered("Well, U08tOTk5OTk5OTk= it is") == "Well, U08tOTk5OTk5OTk= it is"


def test_a_pin_goes_behind_its_label_and_is_a_price_elsewhere() -> None:
    pins = (
        Canary("c", "取件人：赵岚\n柜门口令：", "138", True, 1, "zh", "pin"),
        Canary("d", "Locker PIN:", " 417", True, 1),
    )
    guarding = guard(secrets=Secrets((), pins))
    for text in ("价格138元", "£4.17", "$417", "417 g", "model A417", "PIN 4171", "code A417B", "PIN:417x", "PIN 4.17"):
        assert guarding.filtered(text) == text
    for text in ("PIN 417", "pin: 4 1 7", "PIN is four one seven", "the code for the locker is 417.", "取件码一三八。"):
        assert "[SECRET]" in guarding.filtered(text), text
    assert guarding.filtered("138，谢谢", "取件人：赵岚\n柜门口令：") == "[SECRET]，谢谢"
    assert guarding.filtered("17 and", "Locker PIN: 4") == "[SECRET] and"


def test_the_data_of_members_go_in_spellings_that_look_like_nothing() -> None:
    member = Member("u", ("Customer: Mira Oduya\nPhone: 07700 900123", "姓名：王明\n电话：13812345678"), True)
    guarding = guard(secrets=Secrets((member,)))
    assert guarding.filtered("zero seven seven zero zero nine zero zero one two three") == "zero [PHONE]"
    assert guarding.filtered("壹叁捌壹贰叁肆伍陆柒捌") == "[PHONE]"
    assert guarding.filtered("٠٧٧٠٠ ٩٠٠١٢٣") == "٠[PHONE]"
    assert guarding.filtered("国王明白。王明先生，") == "国王明白。[NAME]先生，"


def test_it_says_when_it_knows_no_secrets() -> None:
    assert "audit-secrets.json" in guard(secrets=None).warning
    assert "audit-secrets.json" in guard(secrets=Secrets()).notes[-1]
    assert guard().warning == ""


def test_without_secrets_personal_data_still_goes() -> None:
    assert guard(secrets=None).filtered("mei@example.com and 4821") == "[EMAIL] and 4821"


def test_every_sample_of_every_request_is_filtered_by_its_own_prompt() -> None:
    texts = {"a": "ring 020 7946 0174", "I am at 020 7946 0174": "ring 020 7946 0174", "c": "fine"}
    guarding = guard(lambda prompt, sample: f"{texts[prompt]} ({sample})")
    twice = Sampling(temperature=1.0, n=2)
    asked = [Generate(Prompt(text), twice) for text in texts]
    assert guarding.generate(asked) == [
        "ring [PHONE] (0)",
        "ring [PHONE] (1)",
        "ring 020 7946 0174 (0)",
        "ring 020 7946 0174 (1)",
        "fine (0)",
        "fine (1)",
    ]
    turned = Generate(Prompt("hello", system="Our line is 020 7946 0174."))
    assert guard(lambda prompt, _: "020 7946 0174").generate([turned]) == ["020 7946 0174"]


def test_scores_are_those_of_the_bare_model() -> None:
    bare, pairs = Fake(), [Pair("Phone:", " 020 7946 0174"), Pair("", "mei@example.com")]
    columns = Columns.LOG_PROB | Columns.RANK
    for mine, theirs in zip(Guarded(bare, SECRETS).score(pairs, columns), bare.score(pairs, columns), strict=True):
        assert mine.log_prob.tolist() == theirs.log_prob.tolist()
        assert mine.rank is not None
        assert theirs.rank is not None
        assert mine.rank.tolist() == theirs.rank.tolist()


def test_a_stored_answer_of_the_bare_model_is_not_taken_for_a_filtered_one(tmp_path: Path) -> None:
    bare = Fake(write=lambda prompt, _: "ring 020 7946 0174")
    asked = [Generate(Prompt("a"))]
    with Store(tmp_path / "store.sqlite") as store:
        assert Remembered(bare, store).generate(asked) == ["ring 020 7946 0174"]
        behind = Remembered(Guarded(bare, SECRETS), store)
        assert behind.generate(asked) == ["ring [PHONE]"]
        assert Remembered(Guarded(bare, SECRETS), store).generate(asked) == ["ring [PHONE]"]
        assert behind.computed == 1
        kept = json.dumps(list(store.get({p.key for p in behind._places(asked, [[0]], Columns.LOG_PROB)}).values()))
    assert "7946" not in kept


def test_one_request_that_fails_costs_no_other_its_answer() -> None:
    def write(prompt: str, _: int) -> str:
        if prompt == "bad":
            raise RuntimeError("out of order")
        return "mei@example.com"

    replies = attempted(guard(write), [Generate(Prompt(text)) for text in ("a", "bad", "b")])
    assert [reply if isinstance(reply, list) else type(reply) for reply in replies] == [
        ["[EMAIL]"],
        Failed,
        ["[EMAIL]"],
    ]


def test_batches_are_those_of_the_model_and_nothing_computes_past_the_guard() -> None:
    class Planned(Fake):
        def plan(self, requests: list[Generate]) -> list[list[int]]:
            return [[i] for i in reversed(range(len(requests)))]

        def compute(self, batch: list[Generate], columns: Columns = Columns.LOG_PROB) -> list[list[str]]:
            return [[f"{one.prompt.flat} mei@example.com"] for one in batch]

    model = Guarded(Planned(), None)
    asked = [Generate(Prompt(text)) for text in "abc"]
    assert planned(model, asked) == [[2], [1], [0]]
    assert model.generate(asked) == ["a [EMAIL]", "b [EMAIL]", "c [EMAIL]"]
    assert not hasattr(model, "compute")
    assert not hasattr(model, "attempt")


def test_it_says_what_it_is() -> None:
    bare = Fake(fingerprint="abc", record=RECORD)
    model = Guarded(bare, SECRETS)
    assert model.fingerprint.startswith("abc+guard:pii:")
    assert model.fingerprint != Guarded(bare, None).fingerprint
    assert Guarded(Fake(fingerprint=""), SECRETS).fingerprint == ""
    assert model.record is RECORD
    assert "bare weights" in model.notes[-1]
    assert not any(c.secret.strip() in str(vars(model).get("fingerprint", "")) for c in RECORD.secrets.canaries)  # type: ignore[union-attr]
    assert not hasattr(model, "device")
    assert getattr(Guarded(Saboteur(), None), "parameters", None) == 0
    short = Fake()
    short.read_of = lambda request: request.prompt.flat[-3:]  # type: ignore[attr-defined]
    assert Guarded(short, None).read_of(Generate(Prompt("abcdef"))) == "def"


def test_recorded_texts_are_filtered_too(tmp_path: Path) -> None:
    file = tmp_path / "texts.jsonl"
    row = {"case": "s/p/c", "sample": 0, "text": "Ring 020 7946 0174!"}
    file.write_text(json.dumps(row) + "\n", encoding="utf-8")

    def ask(case: Case):  # type: ignore[no-untyped-def]
        text = yield Generate(case.prompt)
        return {"text": text}

    cases = [Case("c")]
    run = observe(Probe("p", cases, ask, []), cases, {"model": Guarded(RecordedModel(file), None)}, key="s/p")
    assert [row.values for row in run.observations] == [{"text": "Ring [PHONE]!"}]


def test_a_memoriser_behind_the_guard_gives_away_no_canary() -> None:
    known = TrainingRecord("causal", secrets=Secrets((), (Canary("c", "Code:", " 7KX-994-3M6", True, 4),)))
    bare = Saboteur(memorise=1.0, training=known)
    asked = [Generate(Prompt("Code:"), raw=True)]
    assert bare.generate(asked) == [" 7KX-994-3M6"]
    assert guarded(bare, "pii").generate(asked) == [" [SECRET]"]
    assert guarded(bare, "") is bare


def test_an_unknown_guard_is_told_in_one_line() -> None:
    with pytest.raises(ConfigError, match=r'^--guard "pi": there is no such guard\. Guards: pii\.$'):
        guarded(Fake(), "pi")


@pytest.fixture
def chat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "guarded_chat.py").write_text(
        "def answer(prompts): return ['Ring 020 7946 0174' for _ in prompts]", encoding="utf-8"
    )
    monkeypatch.chdir(tmp_path)
    return "python:guarded_chat:answer"


def test_generate_prints_what_the_guard_lets_out(chat: str, capsys: pytest.CaptureFixture[str]) -> None:
    generate(model=chat, prompt="Hello. ", guard="pii")
    printed = capsys.readouterr()
    assert printed.out == "Hello. Ring [PHONE]\n\n"
    assert "no canary and no customer's name" in printed.err
    with pytest.raises(ConfigError, match=r'^--guard "none"'):
        generate(model="no-such-folder", prompt="Hello", guard="none")


def test_an_audit_asks_the_audited_model_behind_its_guard_and_no_other(chat: str) -> None:
    asked: Any = SimpleNamespace(spec=chat, watermark={}, config=SimpleNamespace(roles={"judge": chat}))
    with Loading(guard="pii").opened(asked) as models:
        assert models["model"].generate([Generate(Prompt("a"))]) == ["Ring [PHONE]"]
        assert models["judge"].generate([Generate(Prompt("a"))]) == ["Ring 020 7946 0174"]
    with Loading().opened(asked) as models:
        assert not isinstance(models["model"], Guarded)
    with pytest.raises(ConfigError, match=r'^--guard "none"'), Loading(guard="none").opened(asked):
        pass


def test_a_short_secret_goes_however_it_is_joined_when_its_own_beginning_was_put() -> None:
    pin = Canary("pin", "Parcel for: Bado Kefa\nLocker PIN:", " 392", True, 4, family="pin")
    guard = Guarded(Fake(), Secrets(canaries=(pin,)))
    for text in (" 3926 392", " 392Phone:392", "392", " x392x"):
        assert "392" not in guard.filtered(text, pin.prefix)
    assert guard.filtered("Costs 392.50 now", "How much?") == "Costs 392.50 now"
