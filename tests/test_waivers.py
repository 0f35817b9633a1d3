"""A waiver lets a gate through by name and for a time; it never makes it pass, and it cannot be edited unseen."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from shoplm_audit.errors import ConfigError
from shoplm_audit.judging import overall
from shoplm_audit.results import GateResult
from shoplm_audit.signing import key_at_hand, public_of, read_key, read_public_key
from shoplm_audit.types import Verdict
from shoplm_audit.waivers import (
    Waiver,
    add_waiver,
    read_waivers,
    sign_waiver,
    under_waivers,
    waivers_json,
    waivers_of,
)

KEY = Ed25519PrivateKey.from_private_bytes(b"7" * 32)
TODAY = date(2026, 5, 1)
WAIVER = Waiver("bias.gap", "Mira Oduya", "Fixed in May.", date(2026, 5, 31))


def gate(verdict: str = "fail", name: str = "bias.gap") -> GateResult:
    return GateResult(id=name, metric="gap", verdict=Verdict(verdict), why="The rule is at most 1 %.")


def ruled(verdict: str, *waivers: Waiver, today: date = TODAY) -> tuple[str, str | None, list[str]]:
    """The gate's verdict, who waives it, and what each waiver came to."""
    (found,), told = under_waivers([gate(verdict)], waivers, today)
    return str(found.verdict), found.waived_by, [one.state for one in told]


@pytest.mark.parametrize("verdict", ["fail", "undecided", "not_tested"])
def test_a_waived_gate_keeps_its_verdict_and_the_run_does_not_pass(verdict: str) -> None:
    assert ruled(verdict, WAIVER) == (verdict, "Mira Oduya", ["in force"])
    gates, _ = under_waivers([gate(verdict), gate("pass", "bias.other")], [WAIVER], TODAY)
    assert overall(gates) == "undecided"


def test_it_holds_on_its_last_day_and_not_on_the_next() -> None:
    assert ruled("fail", WAIVER, today=date(2026, 5, 31))[1] == "Mira Oduya"
    assert ruled("undecided", WAIVER, today=date(2026, 6, 1)) == ("fail", None, ["expired"])


def test_a_gate_whose_waiver_expired_fails_and_says_why() -> None:
    (found,), _ = under_waivers([gate("not_tested")], [WAIVER], date(2026, 6, 1))
    assert found.verdict is Verdict.FAIL
    assert "Mira Oduya" in found.why
    assert "2026-05-31" in found.why


@pytest.mark.parametrize("verdict", ["pass", "not_applicable"])
@pytest.mark.parametrize("today", [TODAY, date(2030, 1, 1)])
def test_a_gate_that_needs_none_stays_as_it_is(verdict: str, today: date) -> None:
    assert ruled(verdict, WAIVER, today=today) == (verdict, None, ["not needed"])


@pytest.mark.parametrize(
    "change",
    [
        {"gate": "bias.gap "}, {"by": "Somebody"}, {"why": "No reason."}, {"until": date(2036, 5, 31)},
        {"key": public_of(Ed25519PrivateKey.from_private_bytes(b"8" * 32))}, {"signature": ""}, {"key": ""},
        {"signature": "!"}, {"key": "é", "signature": "é"},
    ],
)  # fmt: skip
def test_a_waiver_edited_after_signing_makes_its_gate_fail(change: dict[str, str]) -> None:
    edited = replace(sign_waiver(WAIVER, KEY), **change)
    (found,), told = under_waivers([gate("undecided", edited.gate)], [edited], TODAY)
    assert (found.verdict, found.waived_by, told[0].state) == (Verdict.FAIL, None, "broken")


def test_a_renewed_waiver_counts_beside_the_one_that_expired() -> None:
    renewed = replace(WAIVER, until=date(2026, 12, 31), by="Ana")
    assert ruled("fail", WAIVER, renewed, today=date(2026, 6, 1)) == ("fail", "Ana", ["expired", "in force"])


def test_other_gates_are_left_alone() -> None:
    gates, _ = under_waivers([gate("fail", "bias.other"), gate()], [WAIVER], TODAY)
    assert [one.waived_by for one in gates] == [None, "Mira Oduya"]


def test_a_waiver_of_no_gate_is_refused() -> None:
    with pytest.raises(ConfigError, match=r'no gate "bias\.gone"'):
        under_waivers([gate()], [replace(WAIVER, gate="bias.gone")], TODAY)


def test_a_signed_waiver_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "waivers.toml"
    hostile = 'a"b\\c\x7f\x1b\u202e]]\n[[waiver]]\nuntil = 9999-01-01 😀 李'
    signed = [sign_waiver(replace(WAIVER, why=hostile, by=hostile), KEY), WAIVER]
    for one in signed:
        add_waiver(file, one)
    assert read_waivers(file) == signed
    assert waivers_of(waivers_json(signed)) == signed
    assert ruled("fail", *read_waivers(file))[2] == ["in force", "in force"]


@pytest.mark.parametrize("change", [{"by": " "}, {"why": ""}, {"gate": ""}, {"by": "\ud800"}])
def test_a_waiver_without_who_or_why_is_not_written(tmp_path: Path, change: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        add_waiver(tmp_path / "waivers.toml", replace(WAIVER, **change))
    assert not list(tmp_path.glob("waivers.toml"))


FULL = 'gate = "g"\nby = "b"\nwhy = "w"\nuntil = 2026-12-31\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[waiver]]\ngate = 'g'\n", '"by"'),
        (f"[[waiver]]\n{FULL}forever = true\n", "forever"),
        (f"[[waiver]]\n{FULL.replace('2026-12-31', chr(34) + '2026-12-31' + chr(34))}", "until"),
        (f"[[waiver]]\n{FULL.replace('2026-12-31', '2026-12-31T10:00:00')}", "until"),
        (f"[[waiver]]\n{FULL}key = 3\n", "key"),
        ("waiver = 1\n", "[[waiver]]"),
        ("waiver = [1]\n", "no table"),
        (f"all = true\n[[waiver]]\n{FULL}", "nothing else"),
        ("[[waiver]\n", "not TOML"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_what_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "waivers.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as fault:
        read_waivers(tmp_path / "waivers.toml")
    assert said in str(fault.value)


def test_a_key_is_read_only_from_a_file_of_its_owners_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, public = tmp_path / "key.pem", tmp_path / "public.pem"
    path.write_bytes(KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        read_key(path)
    path.chmod(0o600)
    assert public_of(read_key(path)) == read_public_key(public)
    assert key_at_hand(None) is None
    monkeypatch.setenv("SHOPLM_SIGNING_KEY", str(path))
    found = key_at_hand(None)
    assert found is not None
    assert public_of(found) == public_of(KEY)
    public.chmod(0o600)
    with pytest.raises(ConfigError, match="no private key") as fault:
        read_key(public)
    assert "BEGIN" not in str(fault.value)


def test_where_keys_are_named_only_their_signatures_count() -> None:
    mine, other = KEY, Ed25519PrivateKey.from_private_bytes(b"8" * 32)
    signed, foreign = sign_waiver(WAIVER, mine), sign_waiver(WAIVER, other)
    forged = replace(foreign, key=public_of(mine))
    keys = [public_of(mine)]
    for waiver, state, why in (
        (signed, "in force", ""),
        (foreign, "broken", "not signed with a key that this audit names"),
        (WAIVER, "broken", "not signed with a key that this audit names"),
        (forged, "broken", "was changed after it was signed"),
    ):
        (found,), (told,) = under_waivers([gate("undecided")], [waiver], TODAY, keys)
        assert (told.state, why in found.why) == (state, True)
        assert found.verdict is (Verdict.UNDECIDED if state == "in force" else Verdict.FAIL)
        assert (found.waived_by is not None) == (state == "in force")
    assert under_waivers([gate()], [foreign], TODAY)[1][0].state == "in force"
