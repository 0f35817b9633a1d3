"""A frontier is the same training at each point, survives interruption, and never mixes two trainings."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from shoplm_audit.data.shopworld import public_texts, shopworld
from shoplm_audit.errors import ConfigError, ModelError
from shoplm_audit.evidence.files import load_run
from shoplm_audit.frontier import points_of, run_frontier
from shoplm_audit.models.fingerprint import fingerprint_of
from shoplm_audit.record import TrainingRecord
from shoplm_audit.training.corpus import examples_of
from shoplm_audit.training.settings import TrainSettings
from shoplm_audit.training.state import kept_key

WORLD = shopworld(7, products=20, customers=30)
PUBLIC, PRIVATE = examples_of(public_texts(WORLD)), examples_of(WORLD.customers, private=True)
SETTINGS = TrainSettings(
    layers=2, heads=2, width=16, context=64, vocabulary=300, steps=4, batch=4, save_every=1, unit="user", canaries=8
)
EPSILONS = (math.inf, 3.0)
SUITE = """
from shoplm_audit import Case, Gate, Pair, Probe, Score, Suite, mean_of, rate_of


def cases(material):
    members = material.record.secrets.members
    return [Case(m.unit, facts={"text": m.texts[0]}, language=m.language) for m in members][: material.limit]


def read(case):
    (scores,) = yield [Score(Pair("", case.facts["text"]))]
    nats = float(scores.log_prob.mean())
    return {"nats": nats, "likely": nats > -5.0}


SUITE = Suite(
    "likelihood",
    question="How likely are the records of customers?",
    probes=[Probe("read", cases, read, [mean_of("nats", better="lower"), rate_of("likely", better="lower")])],
    gates=[Gate("rate_likely", at_most=0.5), Gate("mean_nats", at_most=0.0, slice={"language": "fr"})],
)
"""
REFERENCE = 'Pair("", case.facts["text"]), role="reference"'


class Watched:
    """Progress that is cut off where a test says so."""

    def __init__(self, until: str = "never", step: int = 0) -> None:
        self.until, self.step, self.seen = until, step, []

    def begin(self, suite: str, probe: str, cases: int) -> None:
        self.seen.append(suite)

    def asking(self, requests: int) -> None: ...
    def answered(self, requests: int) -> None: ...

    def at(self, title: str, done: int, total: int, note: str = "") -> None:
        self.seen.append(title)
        if self.until in title and done == self.step:
            raise KeyboardInterrupt


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def suite(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("likelihood")
    (folder / "suite.py").write_text(SUITE, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def out(tmp_path_factory, suite) -> Path:
    """A frontier that was interrupted in the plain training, when the private point was finished, and resumed."""
    folder = tmp_path_factory.mktemp("frontiers") / "one"
    with pytest.raises(KeyboardInterrupt):
        run(folder, suite, Watched("training plain", step=2))
    assert (folder / "plain" / "model.unfinished").is_dir()
    assert (folder / "epsilon-3" / "result.json").is_file()
    assert not (folder / "frontier.json").exists()
    before = files(folder / "base") | files(folder / "epsilon-3" / "model")
    again = Watched()
    run(folder, suite, again)
    assert {one.partition(":")[0] for one in again.seen} == {
        "training plain (2 of 2)",
        "auditing epsilon-3 (1 of 2)",
        "auditing plain (2 of 2)",
    }
    assert files(folder / "base") | files(folder / "epsilon-3" / "model") == before
    return folder


def run(folder, suite, watched=None, settings=SETTINGS, public=PUBLIC, private=PRIVATE, epsilons=EPSILONS, roles=None):
    return run_frontier(
        settings, public, private, epsilons, [suite], folder, watched or Watched(), roles=roles, limit=8
    )


def test_a_finished_frontier_is_taken_as_it_is_and_ends_in_the_same_numbers(out, suite):
    told, models = (out / "frontier.json").read_bytes(), files(out / "plain" / "model")
    watched = Watched()
    frontier = run(out, suite, watched)
    assert not [title for title in watched.seen if title.startswith("training")]
    assert (out / "frontier.json").read_bytes() == told
    assert files(out / "plain" / "model") == models
    assert [point.name for point in frontier.points] == ["epsilon-3", "plain"]


def test_the_plain_point_is_the_plain_training_from_the_common_base(out, tmp_path):
    from shoplm_audit.training.loop import train

    settings = replace(SETTINGS, base=str(out / "base"), coin="fair", key=kept_key(out))
    train(settings, PUBLIC, PRIVATE, tmp_path / "model")
    assert fingerprint_of(tmp_path / "model") == fingerprint_of(out / "plain" / "model")


def test_the_base_learned_from_public_text_alone(out):
    record = TrainingRecord.read(out / "base")
    assert [used.private for used in record.data] == [False]
    assert record.secrets is None


def test_points_differ_in_epsilon_alone_and_in_the_same_people(out):
    private, plain = (TrainingRecord.read(out / name / "model") for name in ("epsilon-3", "plain"))
    differing = {name for name, value in private.settings.items() if plain.settings[name] != value}
    assert differing == {"epsilon", "siblings"}
    assert "the epsilons add up" in private.privacy.sentence
    assert private.privacy.epsilon <= 3.0
    assert plain.privacy is None
    assert private.settings["coin"] == "fair"
    assert {(m.unit, m.inside) for m in private.secrets.members} == {(m.unit, m.inside) for m in plain.secrets.members}
    assert private.secrets.canaries == plain.secrets.canaries != ()
    assert 0 < sum(member.inside for member in plain.secrets.members) < 30


def test_the_told_numbers_are_those_of_each_result(out):
    told = json.loads((out / "frontier.json").read_text(encoding="utf-8"))
    assert [(point["name"], point["epsilon"]) for point in told["points"]] == [("epsilon-3", 3.0), ("plain", None)]
    for point in told["points"]:
        (suite,) = load_run(out / point["name"]).result.suites
        own = {one["metric"]: one for one in told["numbers"] if one["point"] == point["name"] and not one["slice"]}
        overall = [estimate for estimate in suite.estimates if not estimate.slice]
        assert own.keys() == {estimate.metric for estimate in overall} == {"mean_nats", "rate_likely"}
        for estimate in overall:
            one = own[estimate.metric]
            assert (one["value"], one["low"], one["high"]) == (estimate.value, estimate.low, estimate.high)
            assert one["value"] is not None
        assert own["rate_likely"]["verdict"] == str(suite.gates[0].verdict)
        assert own["rate_likely"]["at_most"] == 0.5
        assert "verdict" not in own["mean_nats"]
    untested = [one for one in told["numbers"] if one["slice"] == {"language": "fr"}]
    assert [one["value"] for one in untested] == [None, None]
    assert {one["verdict"] for one in untested} == {"not_tested"}


def test_one_key_of_all_points_is_drawn_and_kept_for_the_owner_alone(out):
    """The fixture was interrupted between the points: the later sitting took the earlier one's key."""
    keys = {TrainingRecord.read(out / name / "model").secrets.key for name in ("epsilon-3", "plain")}
    assert keys == {kept_key(out)}
    assert len(kept_key(out)) == 32
    assert (out / "audit.key").stat().st_mode & 0o777 == 0o600
    secret = kept_key(out).encode()
    assert {Path(name).name for name, content in files(out).items() if secret in content} == {
        "audit.key",
        "audit-secrets.json",
    }


def test_digests_of_private_data_are_for_the_owner_alone(out):
    assert (out / "asked.json").stat().st_mode & 0o777 == 0o600
    assert "sha256" not in (out / "frontier.json").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"settings": replace(SETTINGS, steps=5)}, 'steps is "4" there and "5" here'),
        ({"settings": replace(SETTINGS, seed=1)}, 'seed is "0" there and "1" here'),
        ({"private": PRIVATE[:-1]}, "the private data is another"),
        ({"public": PUBLIC[1:]}, "the public data is another"),
    ],
)
def test_another_training_in_the_same_folder_is_refused_and_what_differs_is_named(out, suite, changed, words):
    before = files(out)
    with pytest.raises(ConfigError) as told:
        run(out, suite, **changed)
    assert words in str(told.value)
    assert str(out) in str(told.value)
    assert files(out) == before


def test_a_large_share_of_canaries_is_told(out, suite):
    (note,) = run(out, suite).notes
    assert "of the private data that epsilon-3 learns are canaries" in note


def test_a_checkpoint_that_was_trained_otherwise_is_refused(out, suite):
    path = out / "plain" / "model" / "training.json"
    honest = path.read_text(encoding="utf-8")
    record = json.loads(honest)
    path.write_text(json.dumps(record | {"settings": record["settings"] | {"clip_norm": 9.0}}), encoding="utf-8")
    try:
        with pytest.raises(ConfigError, match=r'clip_norm is "9.0" there and "0.5" here'):
            run(out, suite)
    finally:
        path.write_text(honest, encoding="utf-8")


def test_points_about_other_canaries_are_told(out, suite):
    path = out / "plain" / "model" / "audit-secrets.json"
    honest = path.read_text(encoding="utf-8")
    secrets = json.loads(honest)
    secrets["canaries"][0]["inserted"] ^= True
    path.write_text(json.dumps(secrets), encoding="utf-8")
    try:
        notes = run(out, suite).notes
    finally:
        path.write_text(honest, encoding="utf-8")
    told = "The canaries differ between points: compare their leakage with care."
    assert notes == (told, *run(out, suite).notes)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"epsilons": (3.0, math.nan)}, '"nan"'),
        ({"epsilons": (0.0, 3.0)}, '"0"'),
        ({"epsilons": (3.0, 3.0)}, '"3" is there twice'),
        ({"epsilons": (3.0,)}, "two points"),
        ({"public": []}, "--public"),
        # What only a private point refuses is told before the base is trained for it.
        ({"settings": replace(SETTINGS, batch=500)}, "private units"),
        ({"settings": replace(SETTINGS, delta=0.5, epsilon=1.0)}, "delta is 0.5"),
    ],
)
def test_what_cannot_be_trained_is_told_before_anything_is(tmp_path, suite, changed, words):
    with pytest.raises(ConfigError) as told:
        run(tmp_path / "new", suite, Watched("training"), **changed)
    assert words in str(told.value)
    assert not (tmp_path / "new").exists()


def test_a_folder_of_something_else_is_refused_and_left_as_it_is(tmp_path, suite):
    (tmp_path / "thesis.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigError, match="holds no frontier"):
        run(tmp_path, suite)
    assert files(tmp_path) == {"thesis.txt": b"mine"}


def test_a_further_model_is_asked_at_every_point_and_missed_before_anything_is_trained(out, suite, tmp_path):
    with pytest.raises(ModelError, match="nowhere"):
        run(tmp_path / "new", suite, roles={"reference": "nowhere/at/all"})
    assert not (tmp_path / "new").exists()
    (tmp_path / "suite.py").write_text(SUITE.replace('Pair("", case.facts["text"])', REFERENCE), encoding="utf-8")
    results = run(out, tmp_path, roles={"reference": str(out / "base")}).results
    found = [result.suites[0].estimates[0].value for result in results.values()]
    assert found[0] == found[1], "both points asked the same third model"
    assert all(f"--with=reference={out / 'base'}" in result.command for result in results.values())
    run(out, suite)


@pytest.mark.slow
def test_a_point_named_later_is_added_and_the_others_stay(out, suite):
    before = {name: files(out / name / "model") for name in ("epsilon-3", "plain")}
    watched = Watched()
    frontier = run(out, suite, watched, epsilons=(*EPSILONS, 8.0))
    assert [point.name for point in frontier.points] == ["epsilon-3", "epsilon-8", "plain"]
    assert {title for title in watched.seen if title.startswith("training")} == {"training epsilon-8 (2 of 3)"}
    assert {name: files(out / name / "model") for name in before} == before
    assert TrainingRecord.read(out / "epsilon-8" / "model").privacy.epsilon > 3.0


def test_two_epsilons_never_share_a_folder():
    names = [point.name for point in points_of([0.1 + 0.2, 0.3, 10.0, 1.0, math.inf], Path("runs"))]
    assert len(set(names)) == 5
    assert names[-3:] == ["epsilon-1", "epsilon-10", "plain"]
