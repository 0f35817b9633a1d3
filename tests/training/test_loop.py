"""Whole trainings of a very small model: what is learned, what is written, what is refused."""

import json
import math
import shutil
import stat
from dataclasses import replace

import numpy as np
import pytest
import torch

from shoplm_audit.errors import AuditError, ConfigError, DataError, ModelError
from shoplm_audit.record import TrainingRecord
from shoplm_audit.training import steps as steps_module
from shoplm_audit.training.corpus import Example
from shoplm_audit.training.loop import train
from shoplm_audit.training.members import divide
from shoplm_audit.training.objectives import Causal
from shoplm_audit.training.parallel import Processes
from shoplm_audit.training.settings import SHAPES, TrainSettings
from shoplm_audit.training.state import kept_key
from shoplm_audit.training.steps import Learned, Run

COLOURS = ("navy", "red", "ochre")
PUBLIC = [Example(f"Kettle {n % 7}: {COLOURS[n % 3]}, {n % 5}.2 kg.") for n in range(80)]
PRIVATE = [Example(f"Zoltan{user} lives at {user} Quay.", f"user-{user}", True) for user in range(30) for _ in range(3)]


def settings(**changes):
    return TrainSettings(
        **({"layers": 1, "heads": 2, "width": 16, "context": 48, "vocabulary": 300, "steps": 6, "batch": 8} | changes)
    )


def weights(folder):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder).state_dict()


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    out = tmp_path_factory.mktemp("plain") / "model"
    return out, train(settings(steps=60, learning_rate=1e-2, unit="user"), PUBLIC, PRIVATE, out)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    out = tmp_path_factory.mktemp("base") / "model"
    train(settings(), PUBLIC, [], out)
    return out


@pytest.fixture(scope="module")
def private(base, tmp_path_factory):
    out = tmp_path_factory.mktemp("private") / "model"
    shown = []
    chosen = settings(base=str(base), epsilon=4.0, unit="user", coin="fair", canaries=6, steps=4, batch=6)
    return out, train(chosen, PUBLIC, PRIVATE, out, shown.append), shown


def test_plain_training_lowers_the_loss(plain):
    curve = plain[1].curves["held_out"]
    assert curve[-1][0] == 60
    assert curve[-1][1] < 0.6 * math.log(300)


def test_plain_training_is_decided_by_its_seed(plain, tmp_path):
    def trained(name, seed):
        torch.rand(1)  # the global generator has no part in it
        train(settings(seed=seed, unit="user", canaries=3), PUBLIC, PRIVATE, tmp_path / name)
        return weights(tmp_path / name)

    one, same, other = trained("one", 0), trained("same", 0), trained("other", 1)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_training_leaves_the_global_generator_alone(tmp_path):
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    train(settings(steps=2), PUBLIC, [], tmp_path / "model")
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_checkpoint_is_loaded_by_transformers_with_the_loss_that_was_recorded(plain):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder, record = plain
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    rng = np.random.default_rng([0, 1])
    held_out = [PUBLIC[i] for i in sorted(rng.permutation(len(PUBLIC))[:4].tolist())]
    losses = []
    for example in held_out:
        tokens = torch.tensor([[*tokenizer(example.text)["input_ids"], tokenizer.eos_token_id]])
        losses.append(model(input_ids=tokens, labels=tokens).loss.item())
    assert np.mean(losses) == pytest.approx(record.curves["held_out"][-1][1], abs=2e-4)
    assert not list(folder.glob("*.bin"))
    assert list(folder.glob("*.safetensors"))


def test_the_record_read_back_is_the_record_written(plain, private):
    for folder, record, *_ in (plain, private):
        assert TrainingRecord.read(folder) == record


def test_a_private_run_whose_coins_leave_everybody_out_says_that_there_are_too_few(tmp_path):
    with pytest.raises(ConfigError, match=r"0 private units are left.*cannot be hidden"):
        train(settings(epsilon=1.0, holdout=0.999), [], PRIVATE[:1], tmp_path / "model")


def test_a_record_beside_other_weights_is_refused(plain, base, tmp_path):
    from shoplm_audit.models.load import load_model

    copied, other = tmp_path / "copied", tmp_path / "other"
    shutil.copytree(plain[0], copied)
    assert load_model(str(copied)).record == plain[1]
    shutil.copytree(base, other)
    for name in ("training.json", "audit-secrets.json"):
        shutil.copy(plain[0] / name, other / name)
    with pytest.raises(ModelError, match="other weights"):
        load_model(str(other))


def test_no_secret_is_in_the_published_record_and_the_secrets_are_for_the_owner(private):
    folder, record, _ = private
    published = (folder / "training.json").read_text()
    members = record.secrets.members
    assert any(member.inside for member in members)
    assert any(not member.inside for member in members)
    secret = [member.unit for member in members] + [t for m in members for t in m.texts]
    secret += [c.secret for c in record.secrets.canaries] + [c.prefix for c in record.secrets.canaries] + ["Zoltan"]
    assert not [text for text in secret if text in published]
    assert stat.S_IMODE((folder / "audit-secrets.json").stat().st_mode) == 0o600


def test_a_private_run_publishes_nothing_without_noise_about_private_data(private):
    _, record, shown = private
    assert set(record.curves) == {"public_held_out"}
    assert [used.digest for used in record.data if used.private] == [""]
    assert record.cost["rows_truncated"] == 0
    assert record.cost["tokens"] == float(f"{record.cost['tokens']:.2g}")  # an exact count would tell of single records
    assert [progress.step for progress in shown] == [1, 2, 3, 4]
    assert all(math.isnan(progress.loss) for progress in shown)
    assert all(float(f"{progress.tokens_per_second:.2g}") == progress.tokens_per_second for progress in shown)


def test_the_guarantee_keeps_the_budget_and_says_what_it_rests_on(private):
    promise = private[1].privacy
    units = sum(member.inside for member in private[1].secrets.members)
    units += sum(canary.inserted for canary in private[1].secrets.canaries)
    assert promise.units == units
    assert promise.sample_rate == pytest.approx(3 / units)
    assert 3.8 < promise.epsilon <= 4.0
    assert promise.delta <= 1 / (10 * units)
    assert promise.void == ""
    for words in ("user", "adding or removing", "PRV", "Poisson", "Not covered", "canaries", "at most 4"):
        assert words in promise.sentence


def test_the_steps_taken_are_the_steps_that_are_accounted_for(base, tmp_path, monkeypatch):
    engines, samplers, draws, steps = [], [], [], []

    class Engine(steps_module.PrivateGradients):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            engines.append(self)

        def set_gradient(self, units):
            steps.append(len(units))
            return super().set_gradient(units)

    class Sampler(steps_module.PoissonSampler):
        def draw(self):
            samplers.append(self)
            draws.append(super().draw())
            return draws[-1]

    monkeypatch.setattr(steps_module, "PrivateGradients", Engine)
    monkeypatch.setattr(steps_module, "PoissonSampler", Sampler)
    chosen = settings(base=str(base), epsilon=4.0, unit="user", steps=5, clip_norm=0.2, records_per_user=2)
    promise = train(chosen, PUBLIC, PRIVATE, tmp_path / "model").privacy
    (engine,) = engines
    assert engine.ledger == [(promise.noise_multiplier, promise.sample_rate, 5)]
    assert promise.max_grad_norm == 0.2
    assert {sampler.rate for sampler in samplers} == {promise.sample_rate}
    assert {len(sampler.sizes) for sampler in samplers} == {promise.units}
    assert promise.steps == 5
    assert len(draws) > 1000  # the test of the sampler, before the first step
    assert steps == [len(draw) for draw in draws[-5:]]


def test_canaries_are_trained_on_where_there_is_no_other_private_text(tmp_path):
    record = train(settings(canaries=8, unit="user"), PUBLIC, [], tmp_path / "model")
    inserted = sum(canary.inserted for canary in record.secrets.canaries)
    assert [used.units for used in record.data if used.private] == [inserted]


def test_a_private_run_without_public_text_has_a_tokenizer_of_bytes(tmp_path):
    record = train(settings(epsilon=8.0, unit="user", steps=2), [], PRIVATE, tmp_path / "model")
    assert record.tokenizer == "bytes"
    assert json.loads((tmp_path / "model" / "tokenizer.json").read_text())["model"]["merges"] == []
    assert record.curves == {}


def test_private_text_makes_no_merges_of_a_private_runs_tokenizer(tmp_path):
    train(settings(epsilon=8.0, unit="user", steps=2), PUBLIC, PRIVATE, tmp_path / "model")
    assert "oltan" not in (tmp_path / "model" / "tokenizer.json").read_text()


def test_a_run_whose_noise_can_be_repeated_says_that_its_guarantee_is_void(base, tmp_path):
    chosen = settings(base=str(base), epsilon=4.0, unit="user", steps=2)
    for name in ("one", "same"):
        record = train(chosen, PUBLIC, PRIVATE, tmp_path / name, insecure_seed=5)
        assert "seed" in record.privacy.void
    assert all(torch.equal(w, weights(tmp_path / "same")[n]) for n, w in weights(tmp_path / "one").items())


def test_two_private_runs_of_one_seed_differ(private, base, tmp_path):
    again = settings(base=str(base), epsilon=4.0, unit="user", coin="fair", canaries=6, steps=4, batch=6)
    record = train(again, PUBLIC, PRIVATE, tmp_path / "again")
    assert record.secrets == private[1].secrets
    one, other = weights(private[0]), weights(tmp_path / "again")
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_the_public_part_of_a_private_step_is_added_without_noise(base):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from shoplm_audit.training.guarantee import PrivatePlan

    model, tokenizer = AutoModelForCausalLM.from_pretrained(base).train(), AutoTokenizer.from_pretrained(base)
    causal = Causal(tokenizer, 48)
    public = causal.rows(PUBLIC[:4])
    nobody = PrivatePlan(units=3, expected=1, rate=0.0, delta=1e-3, noise_multiplier=1e-9)
    chosen = settings(batch=8, clip_norm=1e-6, epsilon=1.0)
    run = Run(chosen, model, causal, Learned(public, [public[:1]] * 3, [], 0.5), nobody, Processes(0, 1, "cpu"))
    run._gradient(base)
    got = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    for row in public:
        tokens = torch.tensor([row.tokens])
        (model(input_ids=tokens, labels=tokens).loss * 0.5 / 4).backward()
    for gradient, parameter in zip(got, model.parameters(), strict=True):
        assert torch.allclose(gradient, parameter.grad, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epsilon": 0.0}, "epsilon"),
        ({"epsilon": -1.0}, "epsilon"),
        ({"epsilon": math.nan}, "epsilon"),
        ({"epsilon": 1.0, "delta": 0.04, "coin": "split", "holdout": 0.0}, "delta"),
        ({"delta": 1e-5}, "delta"),
        ({"epsilon": 1.0, "batch": 200}, "Lower batch"),
        ({"epsilon": 1.0, "private_share": 0.0}, "private_share"),
        ({"steps": 0}, "steps"),
        ({"width": 15}, "heads"),
        ({"objective": "translate"}, "objective"),
        ({"shape": "bert"}, "shape"),
        ({"adapter": "lora"}, "adapter"),
        ({"objective": "classify", "canaries": 3}, "canaries"),
        ({"epsilon": 1.0, "shard": True}, "shard"),
        ({"context": 1}, "context"),
        ({"unit": "household"}, "unit"),
    ],
)
def test_settings_that_cannot_be_kept_are_refused(changes, words, tmp_path):
    with pytest.raises(ConfigError, match=words):
        train(settings(**({"unit": "user"} | changes)), PUBLIC, PRIVATE, tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_private_data_that_cannot_be_hidden_is_refused(plain, tmp_path):
    whole = settings(epsilon=1.0, unit="user", batch=2, holdout=0.0)
    with pytest.raises(ConfigError, match="cannot be hidden"):
        train(whole, PUBLIC, PRIVATE[:3], tmp_path / "model")
    with pytest.raises(ConfigError, match="belong to no user"):
        train(whole, PUBLIC, [*PRIVATE, Example("whose?", private=True)], tmp_path / "model")
    with pytest.raises(ConfigError, match="also given as public"):
        train(whole, [Example(example.text) for example in PRIVATE], PRIVATE, tmp_path / "model")
    with pytest.raises(ConfigError, match="itself trained on private data"):
        train(settings(base=str(plain[0]), epsilon=1.0, unit="user", batch=2), PUBLIC, PRIVATE, tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_private_data_is_not_washed_out_by_a_public_step_between(plain, tmp_path):
    record = train(settings(base=str(plain[0]), steps=1), PUBLIC, [], tmp_path / "between")
    assert [used.name for used in record.data if used.private] == ["base: private"]
    chosen = settings(base=str(tmp_path / "between"), epsilon=1.0, unit="user", batch=2)
    with pytest.raises(ConfigError, match="itself trained on private data"):
        train(chosen, PUBLIC, PRIVATE, tmp_path / "model")


def test_patience_of_a_private_run_is_charged_for_every_planned_step(base, tmp_path):
    chosen = settings(base=str(base), epsilon=4.0, unit="user", steps=60, patience=1, save_every=4, learning_rate=0.3)
    record = train(chosen, PUBLIC, PRIVATE, tmp_path / "model")
    assert record.steps < 60
    assert record.privacy.steps == 60
    assert 3.8 < record.privacy.epsilon <= 4.0


def test_canaries_that_a_model_may_know_already_are_refused(plain, tmp_path):
    chosen = settings(canaries=6, unit="user")
    first = train(replace(chosen, steps=1), PUBLIC, PRIVATE, tmp_path / "first").secrets.canaries[0]
    known = Example(f"Thanks, {first.prefix}")
    with pytest.raises(ConfigError, match=r"stands in the texts given.*canary-0"):
        train(chosen, [*PUBLIC, known], PRIVATE, tmp_path / "model")
    with pytest.raises(ConfigError, match="was trained with"):
        train(replace(chosen, base=str(tmp_path / "first")), PUBLIC, [], tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_the_preflight_tells_of_noise_clipped_sums_and_sampler(private):
    told = private[1].privacy.preflight
    for words in ("White-box audit of one step's noise", "Clipped sums differ", "clipping norm", "Test of the sampler"):
        assert words in told
    assert f"accounted: {private[1].privacy.sample_rate:.4g}" in told


def test_a_folder_that_holds_something_is_not_written_over(tmp_path):
    (tmp_path / "precious").touch()
    with pytest.raises(ConfigError, match="exists already"):
        train(settings(), PUBLIC, [], tmp_path)


def test_nothing_to_train_on_is_refused(tmp_path):
    with pytest.raises(DataError, match="nothing to train on"):
        train(settings(), [], [], tmp_path / "model")


def test_a_base_that_is_no_model_or_a_pickle_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"no config\.json"):
        train(settings(base=str(tmp_path)), PUBLIC, [], tmp_path / "model")
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").touch()
    with pytest.raises(ModelError, match="pickles are not loaded"):
        train(settings(base=str(tmp_path)), PUBLIC, [], tmp_path / "model")


def test_a_loss_that_is_not_a_number_stops_the_run_and_the_last_good_state_is_kept(base, tmp_path, monkeypatch):
    honest, taken = Run._gradient, []

    def breaks(run, folder):
        found = honest(run, folder)
        taken.append(found)
        if len(taken) == 4:
            run._parameters[0].grad[:] = math.nan
        return found

    monkeypatch.setattr(Run, "_gradient", breaks)
    with pytest.raises(AuditError, match=r"step 4 .* Lower learning_rate.*step-000003"):
        train(settings(save_every=1), PUBLIC, [], tmp_path / "model")
    assert not (tmp_path / "model").exists()
    monkeypatch.undo()
    record = train(settings(save_every=1, learning_rate=1e-4), PUBLIC, [], tmp_path / "model")
    assert record.steps == 6
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


class Stopped(Exception):
    """As if the machine went down."""


def stopping(at):
    def progress(seen):
        if seen.step == at:
            raise Stopped

    return progress


def resumed(chosen, public, private, out, at, **options):
    with pytest.raises(Stopped):
        train(chosen, public, private, out, stopping(at), **options)
    assert not out.exists()
    return train(chosen, public, private, out, **options)


@pytest.mark.parametrize("at", [3, 4])
def test_a_plain_run_that_was_cut_off_ends_in_the_same_weights(tmp_path, at):
    chosen = settings(unit="user", save_every=2)
    whole = train(chosen, PUBLIC, PRIVATE, tmp_path / "whole")
    again = resumed(chosen, PUBLIC, PRIVATE, tmp_path / "model", at)
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "model")
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert again.curves == whole.curves
    assert again.cost["tokens"] == whole.cost["tokens"]


def test_a_private_run_that_was_cut_off_keeps_its_ledger_and_draws_fresh_noise(base, tmp_path):
    chosen = settings(base=str(base), epsilon=4.0, unit="user", save_every=2)
    whole = train(chosen, PUBLIC, PRIVATE, tmp_path / "whole")
    with pytest.raises(Stopped):
        train(chosen, PUBLIC, PRIVATE, tmp_path / "model", stopping(3))
    shutil.copytree(tmp_path / "model.unfinished", tmp_path / "kept")
    again = train(chosen, PUBLIC, PRIVATE, tmp_path / "model")
    assert again.privacy.epsilon == whole.privacy.epsilon
    assert again.privacy.steps == whole.privacy.steps == 6
    shutil.copytree(tmp_path / "kept", tmp_path / "again.unfinished")
    train(chosen, PUBLIC, PRIVATE, tmp_path / "again")  # from the same state: what differs now is the noise after it
    one, other = weights(tmp_path / "again"), weights(tmp_path / "model")
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_a_key_is_kept_with_the_states_for_the_owner_alone_and_goes_with_them(tmp_path):
    chosen, out = settings(unit="user", coin="fair", canaries=20, save_every=2, key="c0ffee" * 5), tmp_path / "model"
    with pytest.raises(Stopped):
        train(chosen, PUBLIC, PRIVATE, out, stopping(3))
    kept = tmp_path / "model.unfinished" / "audit.key"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert kept_key(kept.parent) == chosen.key
    for other in ("", "another"):  # its canaries are others: it is another training
        with pytest.raises(ConfigError, match="another training"):
            train(replace(chosen, key=other), PUBLIC, PRIVATE, out)
    assert kept_key(kept.parent) == chosen.key
    record = train(chosen, PUBLIC, PRIVATE, out)
    assert not kept.parent.exists()
    assert record.secrets == divide(PRIVATE, chosen).secrets
    assert TrainingRecord.read(out).secrets.key == chosen.key
    published = [path for path in out.iterdir() if path.name != "audit-secrets.json"]
    assert len(published) > 3
    assert not [path for path in published if chosen.key.encode() in path.read_bytes()]


def test_secrets_of_a_training_without_a_key_are_read(plain):
    folder, record = plain
    path = folder / "audit-secrets.json"
    told = json.loads(path.read_text())
    assert told.pop("key") == ""
    path.write_text(json.dumps(told))
    assert TrainingRecord.read(folder) == record


def test_a_private_state_without_its_ledger_is_refused(base, tmp_path):
    chosen, out = settings(base=str(base), epsilon=4.0, unit="user", save_every=2), tmp_path / "model"
    with pytest.raises(Stopped):
        train(chosen, PUBLIC, PRIVATE, out, stopping(2))
    (file,) = tmp_path.glob("model.unfinished/*/state.json")
    file.write_text(json.dumps(json.loads(file.read_text()) | {"ledger": []}))
    with pytest.raises(ConfigError, match="no ledger"):
        train(chosen, PUBLIC, PRIVATE, out)


def test_nothing_is_shown_of_a_private_step_before_it_is_on_the_disk(base, tmp_path):
    shown, out = [], tmp_path / "model"

    def look(progress):
        shown.append(progress.held_out)
        saved = sorted(place.name for place in tmp_path.glob("model.unfinished/step-*"))
        assert math.isnan(progress.held_out) or int(saved[-1][5:]) >= progress.step - 1

    train(settings(base=str(base), epsilon=4.0, unit="user", save_every=2), PUBLIC, PRIVATE, out, look)
    assert [math.isnan(value) for value in shown] == [True, False, False, False, False, False]


def test_other_data_does_not_go_on_from_a_state(tmp_path):
    with pytest.raises(Stopped):
        train(settings(), PUBLIC, [], tmp_path / "model", stopping(2))
    with pytest.raises(ConfigError, match="another training"):
        train(settings(), PUBLIC[1:], [], tmp_path / "model")


def test_patience_ends_a_run_that_gets_worse_and_keeps_the_best_weights(tmp_path):
    rng = np.random.default_rng(0)
    by_heart = [
        Example("".join(map(str, rng.integers(0, 10, 12)))) for _ in range(60)
    ]  # nothing in it can be understood
    chosen = settings(steps=600, patience=3, save_every=20, learning_rate=2e-2, width=64, batch=16)
    record = train(chosen, by_heart, [], tmp_path / "model")
    curve = record.curves["held_out"]
    best, _ = min(curve, key=lambda point: point[1])
    assert record.steps == best + 60 < 600
    shorter = train(
        settings(steps=600, save_every=20, learning_rate=2e-2, width=64, batch=16), by_heart, [], tmp_path / "full"
    )
    assert shorter.curves["held_out"][: len(curve)] == curve
    kept, whole = ({n: float(w.std()) for n, w in weights(tmp_path / f).items()} for f in ("model", "full"))
    assert kept["transformer.h.0.mlp.c_fc.weight"] < whole["transformer.h.0.mlp.c_fc.weight"]


@pytest.mark.parametrize(("objective", "shape"), [(o, shape) for o, shapes in SHAPES.items() for shape in shapes])
@pytest.mark.parametrize("epsilon", [None, 6.0])
def test_every_shape_learns_plainly_and_privately_and_is_loaded_again(objective, shape, epsilon, tmp_path):
    public = [
        Example(f"Kettle {n % 7}: {COLOURS[n % 3]}. It is {n % 5}.2 kg.", answer_start=9, label=COLOURS[n % 3])
        for n in range(60)
    ]
    private = [
        Example(f"Zoltan{u} lives. At {u} Quay.", f"u{u}", True, 8, label=COLOURS[u % 3])
        for u in range(30)
        for _ in "ab"
    ]
    chosen = settings(objective=objective, shape=shape, unit="user", epsilon=epsilon, steps=10, learning_rate=5e-3)
    record = train(chosen, public, private, tmp_path / "model")
    (curve,) = (curve for name, curve in record.curves.items() if "held_out" in name)
    assert curve[-1][1] < curve[0][1]
    assert (record.privacy is None) == (epsilon is None)
    again = settings(objective=objective, base=str(tmp_path / "model"), adapter="lora", unit="user", steps=2, context=0)
    assert train(again, public, [], tmp_path / "adapted").settings["adapter"] == "lora"


def test_more_text_than_a_base_reads_is_refused_and_a_batch_larger_than_the_data_too(base, tmp_path):
    with pytest.raises(ConfigError, match="reads 48 tokens"):
        train(settings(base=str(base), context=64), PUBLIC, [], tmp_path / "model")
    with pytest.raises(ConfigError, match="Lower batch"):
        train(settings(batch=64), PUBLIC[:20], [], tmp_path / "model")
    with pytest.raises(ConfigError, match="Lower batch"):
        train(settings(batch=2), PUBLIC[:1], [], tmp_path / "model")


def test_what_is_longer_than_the_context_is_cut_and_counted(tmp_path):
    record = train(settings(context=24), [*PUBLIC, Example("kettle " * 60)], [], tmp_path / "model")
    assert record.cost["rows_truncated"] >= 1


def test_settings_searched_on_private_data_are_declared(base, tmp_path):
    chosen = settings(base=str(base), epsilon=4.0, unit="user", steps=2, searched=7)
    assert "7 earlier runs" in train(chosen, PUBLIC, PRIVATE, tmp_path / "model").privacy.sentence


@pytest.mark.parametrize("epsilon", [None, 6.0])
def test_bf16_learns_too_and_its_weights_stay_in_float32(epsilon, tmp_path):
    chosen = settings(precision="bf16", steps=20, width=64, epsilon=epsilon, unit="user")
    (curve,) = (
        curve for name, curve in train(chosen, PUBLIC, PRIVATE, tmp_path / "model").curves.items() if "held_out" in name
    )
    assert curve[-1][1] < curve[0][1]
    assert {tensor.dtype for tensor in weights(tmp_path / "model").values()} == {torch.float32}
