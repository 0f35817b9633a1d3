from __future__ import annotations

import math
from pathlib import Path

import pytest

from shoplm_audit.config import Config, Limit, check_names, gates_of, read_config, scoped_out, watermark_of
from shoplm_audit.errors import ConfigError
from shoplm_audit.metrics.reduce import rate_of
from shoplm_audit.types import Gate, Probe, Suite

SUITE = Suite(
    "bias",
    "?",
    [Probe("refund", [], lambda case: iter(()), [rate_of("x", better="lower"), rate_of("y", better="lower")])],
    [Gate("rate_x", at_least=0.1, at_most=0.2, clauses=("A",)), Gate("rate_y", at_most=0.5)],
)


def config(folder: Path, text: str) -> Config:
    path = folder / "audit.toml"
    path.write_text(text, encoding="utf-8")
    return read_config(path)


def told(folder: Path, text: str) -> str:
    with pytest.raises(ConfigError) as fault:
        config(folder, text)
    assert "\n" not in str(fault.value)
    assert "audit.toml" in str(fault.value)
    return str(fault.value)


def test_all_keys_of_the_contract_are_read(tmp_path: Path) -> None:
    found = config(
        tmp_path,
        """
        model = "acme/reviews"
        suites = ["bias"]
        system = "You write for a shop."
        seed = 3
        limit = 10
        confidence = 0.975
        [prompts]
        description = "prompts/description.j2"
        [gates]
        "bias.rate_x" = { at_most = 0.03 }
        [scope]
        "privacy" = "not ours"
        [data]
        products = "catalogue.csv"
        [with]
        reference = "gpt2"
        """,
    )
    assert (found.model, found.suites, found.seed, found.limit, found.confidence) == (
        "acme/reviews",
        ["bias"],
        3,
        10,
        0.975,
    )
    assert found.gates == {"bias.rate_x": Limit(at_most=0.03)}
    assert found.roles == {"reference": "gpt2"}
    assert found.prompts == {"description": tmp_path / "prompts/description.j2"}
    assert found.data == {"products": tmp_path / "catalogue.csv"}


def test_paths_are_meant_from_the_configs_folder_and_names_stay_names(tmp_path: Path) -> None:
    (tmp_path / "checkpoints" / "dp").mkdir(parents=True)
    (tmp_path / "mine" / "returns").mkdir(parents=True)
    (tmp_path / "bias").mkdir()
    (tmp_path / "answers.jsonl").touch()
    found = config(
        tmp_path,
        'model = "checkpoints/dp"\nsuites = ["bias", "mine/returns"]\n'
        '[with]\nsecond = "acme/gpt"\njudge = "recorded:answers.jsonl"',
    )
    assert found.model == str(tmp_path / "checkpoints" / "dp")
    assert found.suites == [
        "bias",
        str(tmp_path / "mine" / "returns"),
    ]  # a folder "bias" does not hide the built-in suite
    assert found.roles == {"second": "acme/gpt", "judge": f"recorded:{tmp_path / 'answers.jsonl'}"}


def test_unknown_keys_are_errors_and_all_are_told_at_once(tmp_path: Path) -> None:
    message = told(tmp_path, 'modle = "x"\nlimit = 0\n[gates]\n"bias.rate_x" = { at_mots = 0.1 }')
    for part in (
        "modle: unknown key",
        "gates.bias.rate_x.at_mots: unknown key",
        "limit",
        "Keys: baseline, confidence, data",
    ):
        assert part in message


@pytest.mark.parametrize("text", ["model = ", "confidence = 0.4", "confidence = 1.0", 'suites = "bias"', "model = 3"])
def test_values_that_do_not_fit_are_one_line(tmp_path: Path, text: str) -> None:
    told(tmp_path, text)


def test_a_file_that_is_missing_or_no_utf8_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: cannot be read"):
        read_config(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes('system = "é"'.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"latin\.toml: not TOML"):
        read_config(tmp_path / "latin.toml")


# Limits ---------------------------------------------------------------------------------------------


def test_a_limit_replaces_the_default_whole_and_keeps_the_clauses() -> None:
    first, second = gates_of(SUITE, {"bias.rate_x": Limit(at_most=0.3), "other.rate_x": Limit(at_most=0)})
    assert (first.at_least, first.at_most, first.clauses) == (-math.inf, 0.3, ("A",))
    assert second == SUITE.gates[1]


@pytest.mark.parametrize("key", ["bias.rate_x[language=zh]", "bias.rate_x[language = zh]"])
def test_a_limit_on_a_slice_adds_a_gate(key: str) -> None:
    gates = gates_of(SUITE, {key: Limit(at_least=0.7)})
    assert [gate.id for gate in gates] == ["rate_x", "rate_y", "rate_x[language=zh]"]
    assert (gates[2].at_least, gates[2].at_most) == (0.7, math.inf)


def test_slice_keys_have_no_order() -> None:
    both = {
        "bias.rate_x[task=a,language=zh]": Limit(at_most=0.1),
        "bias.rate_x[language=zh,task=a]": Limit(at_most=0.2),
    }
    assert [gate.at_most for gate in gates_of(SUITE, both)] == [0.2, 0.5, 0.2]


@pytest.mark.parametrize("key", ["rate_x[zh]", "rate_x[language=]", "rate_x[=zh]", "rate_x[language=zh", "rate_x[]"])
def test_a_slice_that_is_none_does_not_become_all_cases(key: str) -> None:
    with pytest.raises(ConfigError, match=r"a slice is written \[language=zh\]"):
        gates_of(SUITE, {f"bias.{key}": Limit(at_most=0.1)})


@pytest.mark.parametrize(
    ("key", "limit", "words"),
    [
        ("bias.rate_z", Limit(at_most=1), 'no metric "rate_z" in suite "bias". It has: rate_x, rate_y'),
        ("bias.rate_x", Limit(), "has no limit: give at_least or at_most"),
        ("bias.rate_x", Limit(at_least=0.9, at_most=0.1), "leave no number"),
        ("bias.rate_x", Limit(at_most=math.nan), "leave no number"),
    ],
)
def test_limits_that_cannot_be_are_told_with_what_there_is(key: str, limit: Limit, words: str) -> None:
    with pytest.raises(ConfigError) as fault:
        check_names(Config(gates={key: limit}), [SUITE])
    assert words in str(fault.value)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (Config(gates={"bais.rate_x": Limit(at_most=1)}), '"bais.rate_x" names no suite of this audit (bias)'),
        (Config(scope={"bias.membership": "x"}), '"bias.membership" is no suite, probe or gate'),
        (Config(scope={"bias.rate_x": " "}), '"bias.rate_x" needs a reason'),
    ],
)
def test_names_that_are_not_audited_are_told(wrong: Config, words: str) -> None:
    with pytest.raises(ConfigError) as fault:
        check_names(wrong, [SUITE])
    assert words in str(fault.value)


def test_scope_may_name_a_suite_a_probe_or_a_gate() -> None:
    gates = {"bias.rate_x[language=zh]": Limit(at_most=1)}
    for key in ("bias", "bias.refund", "bias.rate_x", "bias.rate_x[language=zh]"):
        check_names(Config(gates=gates, scope={key: "why"}), [SUITE])
    assert scoped_out({"bias.refund": "why"}, "bias", "refund", "rate_x") == "why"
    assert scoped_out({"bias.refund": "why"}, "bias", "other", "rate_x") is None


# A watermark ----------------------------------------------------------------------------------------


def test_a_watermark_is_read_with_its_key_from_a_file_the_table_or_the_environment(tmp_path: Path) -> None:
    (tmp_path / "k.txt").write_text(" geheim 钥匙\n", encoding="utf-8")
    for table, key in (
        ('kind = "kgw"\nkey_file = "k.txt"\ndelta = 1.5', "geheim 钥匙"),
        ('kind = "synthid"\nkey = "inside"', "inside"),
        ('kind = "kgw"', "outside"),
    ):
        found = config(tmp_path, f"[watermark]\n{table}")
        assert watermark_of(found, "outside")["key"] == key
        assert key not in repr(found)
    assert watermark_of(Config()) == {}
    shipped = {"ngram_len": 5, "keys": [1, 2, 3]}
    assert watermark_of(config(tmp_path, "[watermark]\nngram_len = 5\nkeys = [1, 2, 3]")) == shipped


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ('kind = "kgw"', "has no key"),
        ('kind = "kgw"\nkey = ""', "has no key"),
        ('kind = "kgw"\nkey = 90125', "has no key"),
        ('kind = "kgw"\nkey_file = "none.txt"', "none.txt: no key can be read"),
        ('kind = "kgw"\nkey_file = "empty.txt"', "has no key"),
        ('kind = "kgw"\nkey_file = "empty.txt"\nkey = "Sesame-84"', "leave one of them out"),
        ('kind = "wave"\nkey = "Sesame-84"', '"kgw" or "synthid"'),
        ('kind = "kgw"\nkey = "Sesame-84"\ngamma = 2', "between 0 and 1"),
        ('kind = "kgw"\nkey = "Sesame-84"\nsecret = "Sesame-84"', "it takes kind"),
        ('key_file = "empty.txt"', "key_file belongs to"),
    ],
)
def test_a_watermark_that_cannot_be_is_told_without_its_key(table: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").touch()
    with pytest.raises(ConfigError) as fault:
        watermark_of(config(tmp_path, f"[watermark]\n{table}"))
    assert words in str(fault.value)
    assert not any(key in str(fault.value) for key in ("Sesame", "90125"))


def test_the_audits_digest_hangs_on_the_mark_and_a_model_elsewhere_cannot_be_given_one(tmp_path: Path) -> None:
    from shoplm_audit.cli.asking import Asked, Loading
    from shoplm_audit.judging import Policy
    from shoplm_audit.prompts import Prompts

    def asked(**mark: object) -> Asked:
        return Asked(Config(), "recorded:" + str(tmp_path / "a.jsonl"), [], [], {}, Prompts(), Policy(), 0, mark)

    marks: list[dict[str, object]] = [{}, {"kind": "kgw", "key": "a"}, {"kind": "kgw", "key": "b"}, {"keys": [1, 2]}]
    digests = [asked(**mark).identity({}) for mark in marks]
    assert len(set(digests)) == 4
    assert digests[1] == asked(key="a", kind="kgw").identity({})
    assert "'a'" not in repr(asked(kind="kgw", key="a"))
    (tmp_path / "a.jsonl").write_text('{"case": "a", "sample": 0, "text": "x"}\n', encoding="utf-8")
    with pytest.raises(ConfigError, match="cannot be given a watermark"), Loading().opened(asked(**marks[1])):
        pass
