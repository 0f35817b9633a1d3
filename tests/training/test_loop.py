"""Whole trainings of a very small model: what is learned, what is written, what is refused."""

import json
import math
import stat

import numpy as np
import pytest
import torch

from shoplm_audit.errors import AuditError, ConfigError, DataError, ModelError
from shoplm_audit.record import TrainingRecord
from shoplm_audit.training.corpus import Example, collate, encode
from shoplm_audit.training.loop import _Run, train
from shoplm_audit.training.settings import TrainSettings

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
    curve = plain[1].curves["public_held_out"]
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
    assert np.mean(losses) == pytest.approx(record.curves["public_held_out"][-1][1], abs=2e-4)
    assert not list(folder.glob("*.bin"))
    assert list(folder.glob("*.safetensors"))


def test_the_record_read_back_is_the_record_written(plain, private):
    for folder, record, *_ in (plain, private):
        assert TrainingRecord.read(folder) == record


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
    assert record.cost.keys() == {"seconds", "parameters", "rows_truncated"}
    assert record.cost["rows_truncated"] == 0
    assert len(shown) == 4


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
    from shoplm_audit.training import loop

    engines, samplers, draws, steps = [], [], [], []

    class Engine(loop.PrivateGradients):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            engines.append(self)

        def set_gradient(self, units):
            steps.append(len(units))
            super().set_gradient(units)

    class Sampler(loop.PoissonSampler):
        def draw(self):
            samplers.append(self)
            draws.append(super().draw())
            return draws[-1]

    monkeypatch.setattr(loop, "PrivateGradients", Engine)
    monkeypatch.setattr(loop, "PoissonSampler", Sampler)
    chosen = settings(base=str(base), epsilon=4.0, unit="user", steps=5, clip_norm=0.2, records_per_user=2)
    promise = train(chosen, PUBLIC, PRIVATE, tmp_path / "model").privacy
    (engine,) = engines
    assert (engine.noise_multiplier, engine.clip_norm) == (promise.noise_multiplier, promise.max_grad_norm)
    assert engine.expected_units == pytest.approx(promise.sample_rate * promise.units)
    assert {sampler.rate for sampler in samplers} == {promise.sample_rate}
    assert {len(sampler.units) for sampler in samplers} == {promise.units}
    assert promise.steps == len(draws) == 5
    assert steps == [0, *(len(draw) for draw in draws)]  # the first is the preflight's, which sees no private unit


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


def test_the_public_part_of_a_private_step_is_added_without_noise(tmp_path, base):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from shoplm_audit.training.guarantee import PrivatePlan

    model, tokenizer = AutoModelForCausalLM.from_pretrained(base).train(), AutoTokenizer.from_pretrained(base)
    public = encode(PUBLIC[:4], tokenizer, 48)
    nobody = PrivatePlan(units=3, expected=1, rate=0.0, delta=1e-3, noise_multiplier=1e-9)
    chosen = settings(batch=8, clip_norm=1e-6)
    run = _Run(chosen, model, tokenizer.pad_token_id, public, [public[:1]] * 3, 0.5, nobody, None)
    run._gradient()
    got = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    for row in public:
        tokens = collate([row], 0).tokens
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


def test_a_loss_that_is_not_a_number_stops_the_run_and_writes_nothing(base, tmp_path):
    broken = settings(learning_rate=1e30, gradient_norm=1e30)
    with pytest.raises(AuditError, match="Lower learning_rate"):
        train(broken, PUBLIC, [], tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_an_interrupted_run_leaves_nothing_behind(tmp_path):
    def interrupt(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(settings(), PUBLIC, [], tmp_path / "model", interrupt)
    assert not list(tmp_path.iterdir())
