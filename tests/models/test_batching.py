from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from shoplm_audit.errors import MachineError
from shoplm_audit.models.batching import Parts, batches, families, halving


def test_every_item_is_in_one_batch_and_no_batch_is_over_its_bounds() -> None:
    sizes = np.random.default_rng(0).integers(1, 90, size=200).tolist()
    grouped = batches(sizes, budget=300, rows=7)
    assert sorted(i for batch in grouped for i in batch) == list(range(200))
    assert all(len(batch) == 1 or max(sizes[i] for i in batch) * len(batch) <= 300 for batch in grouped)
    assert max(len(batch) for batch in grouped) == 7


def test_a_batch_planned_alone_stays_one_batch_in_its_order() -> None:
    sizes = np.random.default_rng(1).integers(1, 30, size=100).tolist()
    for batch in batches(sizes, budget=120, rows=6):
        assert batches([sizes[i] for i in batch], budget=120, rows=6) == [list(range(len(batch)))]


def test_long_items_come_first_and_equals_keep_their_order() -> None:
    assert batches([2, 5, 2, 9, 5], budget=1000, rows=10) == [[3, 1, 4, 0, 2]]
    assert batches([5, 9, 2], budget=18, rows=8) == [[1, 0], [2]]
    assert batches([50, 3], budget=10, rows=4) == [[0], [1]]
    assert batches([], budget=10, rows=4) == []


def test_rows_that_do_not_fit_together_are_computed_in_halves() -> None:
    import torch

    seen = []

    def compute(rows):
        seen.append(len(rows))
        if len(rows) > 3:
            raise torch.OutOfMemoryError
        return [row * 10 for row in rows]

    parts = Parts()
    assert halving(compute, list(range(9)), parts) == [row * 10 for row in range(9)]
    assert seen == [9, 4, 2, 2, 2, 3]
    seen.clear()
    assert halving(compute, list(range(8)), parts) == [row * 10 for row in range(8)]
    assert seen == [2, 2, 2, 2]  # the next batch is not tried whole
    assert halving(compute, [], parts) == []


def test_the_number_of_parts_is_remembered_for_the_model_and_device_by_the_next_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOPLM_CACHE", str(tmp_path / "cache"))
    Parts("sha256:a cpu").double()
    Parts("sha256:b cpu").double()
    parts = Parts("sha256:a cpu")
    parts.double()
    assert [Parts(key).number for key in ("sha256:a cpu", "sha256:b cpu", "sha256:a H200", "")] == [4, 2, 1, 1]
    unknown = Parts()
    unknown.double()
    assert (unknown.number, Parts().number) == (2, 1)
    (file,) = (tmp_path / "cache").iterdir()
    for damage in ("{", "[1]", '{"sha256:a cpu": "many"}'):
        file.write_text(damage)
        assert Parts("sha256:a cpu").number == 1


def test_a_cache_that_cannot_be_written_costs_only_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SHOPLM_CACHE", str(tmp_path / "file"))
    parts = Parts("sha256:a cpu")
    parts.double()
    assert (parts.number, Parts("sha256:a cpu").number) == (2, 1)


def test_an_error_that_is_not_about_memory_is_not_tried_again() -> None:
    seen = []

    def compute(rows):
        seen.append(len(rows))
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes"):
        halving(compute, [1, 2, 3])
    assert seen == [3]


# Families -------------------------------------------------------------------------------------------


def _texts(seed: int) -> list[bytes]:
    rng = np.random.default_rng(seed)
    headers = [rng.integers(97, 123, size=rng.integers(40, 200)).astype(np.uint8).tobytes() for _ in range(12)]
    family = [header + b"%d" % i * 9 for header in headers for i in range(rng.integers(1, 9))]
    alone = [rng.integers(97, 123, size=rng.integers(1, 300)).astype(np.uint8).tobytes() for _ in range(40)]
    return [[*family, *alone, *alone[:3]][i] for i in rng.permutation(len(family) + 43)]


def _distinct(texts: list[bytes]) -> int:
    """The bytes of a prefix tree of texts, counted by its nodes."""
    return len({text[: i + 1] for text in texts for i in range(len(text))})


def test_every_text_is_in_one_batch_and_a_batch_is_full_by_its_distinct_bytes() -> None:
    for seed in range(5):
        texts = _texts(seed)
        grouped = families(texts, budget=900, rows=12)
        assert sorted(i for batch in grouped for i in batch) == list(range(len(texts)))
        assert max(len(batch) for batch in grouped) <= 12
        assert all(_distinct([texts[i] for i in batch]) <= 900 for batch in grouped)
        assert len(grouped) <= 2 * _distinct(texts) / 900 + len(texts) / 12
        assert grouped == families(texts, budget=900, rows=12)


def test_a_family_that_fits_a_batch_is_not_divided() -> None:
    texts = _texts(1)
    batch_of = {texts[i]: number for number, batch in enumerate(families(texts, 900, 12)) for i in batch}
    for text in texts:
        twins = [other for other in texts if other[:40] == text[:40]]
        if _distinct(twins) <= 900 and len(twins) <= 12:
            assert len({batch_of[twin] for twin in twins}) == 1
    header = b"a product " * 60
    many = [header + b"%03d" % i * 30 for i in range(40)]
    cut = families([*many, b"z" * 100], budget=2000, rows=99)
    assert [len(batch) for batch in cut] == [15, 15, 11]  # 600 bytes once in each batch


def test_long_texts_come_first_and_their_neighbours_are_of_about_their_length() -> None:
    rng = np.random.default_rng(0)
    texts = [rng.integers(97, 123, size=size).astype(np.uint8).tobytes() for size in rng.integers(1, 400, size=200)]
    lengths = [[len(texts[i]) for i in batch] for batch in families(texts, 3000, 64)]
    assert [length for batch in lengths for length in batch] == sorted(map(len, texts), reverse=True)
    # A few words that all begin with do not put the short beside the long.
    told = [b"Write a review of this product for a shop: " + text for text in texts]
    assert max(max(batch) - min(batch) for batch in lengths) < 130
    assert len(families(told, 3000, 64)[0]) < 12


def test_one_text_over_the_budget_stands_alone() -> None:
    assert families([b"a", b"b" * 50], budget=10, rows=4) == [[1], [0]]
    assert families([], budget=10, rows=4) == []
    assert families([b"same", b"same", b"other"], budget=100, rows=4) == [[2, 0, 1]]


def test_one_row_that_does_not_fit_is_an_error_of_the_machine() -> None:
    import torch

    def compute(rows):
        raise torch.OutOfMemoryError

    with pytest.raises(MachineError, match="--device cpu"):
        halving(compute, [1, 2])
