"""What a training goes on from: whole, of the same training, or refused."""

import json
from pathlib import Path

import pytest
import torch

from shoplm_audit.errors import ConfigError, MachineError
from shoplm_audit.training import state as states
from shoplm_audit.training.state import State


def network(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.LayerNorm(4))


def stepped(steps=2, seed=0):
    model = network(seed)
    optimizer = torch.optim.AdamW(model.parameters(), 0.1)
    for _ in range(steps):
        step(model, optimizer)
    return model, optimizer


def step(model, optimizer):
    optimizer.zero_grad()
    model(torch.ones(2, 3)).square().sum().backward()
    optimizer.step()


def save(folder, number, model, optimizer, training="ours", **fields):
    states.save(folder, training, State(step=number, **fields), states.tensors_of(model, optimizer))


def never(message):
    raise AssertionError(message)


def test_a_restored_training_takes_the_same_next_step(tmp_path):
    model, optimizer = stepped()
    save(tmp_path, 2, model, optimizer, curves={"train": [[2, 0.5]]}, best=(0.25, 2), ledger=[(1.1, 0.05, 2)])
    step(model, optimizer)
    again, fresh = stepped(0, seed=1)
    state, place = states.latest(tmp_path, "ours", never)
    states.put_back(place, again, fresh)
    step(again, fresh)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    assert (state.step, state.best, state.ledger) == (2, (0.25, 2), [(1.1, 0.05, 2)])
    assert state.curves == {"train": [[2, 0.5]]}


@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.safetensors", "state.json"])
def test_a_state_that_was_cut_off_is_told_and_the_one_before_it_is_used(tmp_path, file):
    model, optimizer = stepped()
    for number in (10, 20):
        save(tmp_path, number, model, optimizer)
    damaged = tmp_path / "step-000020" / file
    damaged.write_bytes(damaged.read_bytes()[:-20])
    told = []
    state, place = states.latest(tmp_path, "ours", told.append)
    assert (state.step, place.name) == (10, "step-000010")
    assert "step-000020" in told[0]


def test_a_private_run_does_not_go_back_behind_what_it_showed(tmp_path):
    model, optimizer = stepped()
    for number in (10, 20):
        save(tmp_path, number, model, optimizer, ledger=[(1.0, 0.1, number)])
    (tmp_path / "step-000020" / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(ConfigError, match="paid for once"):
        states.latest(tmp_path, "ours", never, private=True)


def test_states_are_ordered_by_their_step_and_not_by_their_name(tmp_path):
    for number in (999_999, 1_000_000):
        save(tmp_path, number, *stepped())
    assert states.latest(tmp_path, "ours", never)[0].step == 1_000_000


def test_two_trainings_do_not_write_into_one_folder(tmp_path):
    second = states.held(tmp_path / "out.unfinished")
    with states.held(tmp_path / "out.unfinished"), pytest.raises(ConfigError, match="another training"):
        second.__enter__()
    assert not list(tmp_path.iterdir())


def test_weights_that_were_changed_on_the_disk_are_not_gone_on_from(tmp_path):
    model, optimizer = stepped()
    save(tmp_path, 10, model, optimizer)
    file = tmp_path / "step-000010" / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(ConfigError, match="No state"):
        states.latest(tmp_path, "ours", lambda _: None)


def test_another_training_is_refused_and_nothing_is_none(tmp_path):
    save(tmp_path, 10, *stepped())
    with pytest.raises(ConfigError, match="another training"):
        states.latest(tmp_path, "theirs", never)
    assert states.latest(tmp_path / "nothing", "ours", never) is None


def test_the_last_two_and_the_best_are_kept(tmp_path):
    model, optimizer = stepped()
    for number in (10, 20, 30, 40):
        save(tmp_path, number, model, optimizer, best=(0.1, 10))
    assert sorted(place.name for place in tmp_path.iterdir()) == ["step-000010", "step-000030", "step-000040"]


def test_a_full_disk_is_told_and_leaves_the_state_before(tmp_path, monkeypatch):
    import safetensors.torch

    model, optimizer = stepped()
    save(tmp_path, 10, model, optimizer)

    def full(tensors, path):
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(MachineError, match="No space left"):
        save(tmp_path, 20, model, optimizer)
    assert [place.name for place in tmp_path.iterdir()] == ["step-000010"]
    assert states.latest(tmp_path, "ours", never)[0].step == 10


def test_a_saved_state_is_plain_numbers_and_safetensors(tmp_path):
    save(tmp_path, 10, *stepped())
    told = json.loads((tmp_path / "step-000010" / "state.json").read_text())
    assert told["step"] == 10
    assert sorted(file.suffix for file in (tmp_path / "step-000010").iterdir()) == [
        ".json",
        ".safetensors",
        ".safetensors",
    ]
