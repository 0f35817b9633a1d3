from __future__ import annotations

from pathlib import Path

from fakes import Fake, cases

from shoplm_audit import Case, Generate, Pair, Probe, Score, Suite, audit, mean_of, rate_of
from shoplm_audit.explaining import explained
from shoplm_audit.store import Store
from shoplm_audit.types import Material, Prompt


def ask(case: Case):
    text = yield Generate(case.prompt)
    return {"long": len(text) > 3}


def weigh(case: Case):
    scores = yield Score(Pair(case.prompt.flat, " yes"), role="reference")
    return {"nats": scores.mean}


SUITE = Suite(
    "shop",
    "?",
    [
        Probe("write", cases(20), ask, [rate_of("long", better="higher")]),
        Probe("weigh", cases(20), weigh, [mean_of("nats", better="higher")]),
    ],
)
MATERIAL = Material(lambda *_: Prompt(""))


def reasons(models: dict[str, Fake], store: Store, scope: dict[str, str] | None = None) -> dict[str, list[str]]:
    return dict(explained([SUITE], MATERIAL, models, scope or {}, store))  # type: ignore[arg-type]


def test_what_an_audit_would_find_is_told_and_nothing_is_asked(tmp_path: Path) -> None:
    with Store(tmp_path / "store.sqlite") as store:
        models = {"model": Fake(), "reference": Fake(fingerprint="sha256:reference")}
        before = reasons(models, store)
        assert {why.split(":")[0] for rows in before.values() for why in rows} == {"never asked of any model"}
        audit(models["model"], SUITE, roles={"reference": models["reference"]}, store=store)
        models = {"model": Fake(), "reference": Fake(fingerprint="sha256:other")}
        after = reasons(models, store)
        assert after["shop.write"] == [""] * 20
        assert all("other weights" in why and "sha256:other" in why for why in after["shop.weigh"])
        assert [model.asked for model in models.values()] == [[], []]
        assert reasons(models, store, {"shop.write": "not ours"})["shop.write"] == []


def test_a_role_without_a_model_and_a_model_without_a_fingerprint_say_so(tmp_path: Path) -> None:
    with Store(tmp_path / "store.sqlite") as store:
        found = reasons({"model": Fake(fingerprint="")}, store)
    assert set(found["shop.write"]) == {"fake cannot be recognised: only its own run finds its answers"}
    assert set(found["shop.weigh"]) == {'there is no model for the role "reference"'}


def test_two_models_of_one_name_that_cannot_be_recognised_share_no_answers(tmp_path: Path) -> None:
    with Store(tmp_path / "store.sqlite") as store:
        first, second = Fake(fingerprint=""), Fake(fingerprint="")
        both = Suite("both", "?", [Probe("weigh", cases(20), _compare, [mean_of("gap", better="lower")])])
        audit(first, both, roles={"reference": second}, store=store, run="one")
        assert (sum(first.asked), sum(second.asked)) == (20, 20)


def _compare(case: Case):
    pair = Pair(case.prompt.flat, " yes")
    mine = yield Score(pair)
    theirs = yield Score(pair, role="reference")
    return {"gap": mine.mean - theirs.mean}
