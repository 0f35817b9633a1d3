from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from small_networks import CHAT, make_network, make_tokenizer


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    # Networks this small lose more to waiting threads than they gain.
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def tokenizers() -> dict[str, Any]:
    return {"gpt2": make_tokenizer(begin=False), "llama": make_tokenizer(begin=True, chat=CHAT)}


@pytest.fixture(scope="session", params=["gpt2", "llama"])
def local(request: pytest.FixtureRequest, tokenizers: dict[str, Any]) -> Any:
    from shoplm_audit.models.local import LocalModel

    tokenizer = tokenizers[request.param]
    return LocalModel(make_network(request.param, len(tokenizer)), tokenizer, name=request.param)


@pytest.fixture(scope="session")
def gpt2_folder(tmp_path_factory: pytest.TempPathFactory, tokenizers: dict[str, Any]) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints") / "reviews"
    make_network("gpt2", len(tokenizers["gpt2"])).save_pretrained(folder)
    tokenizers["gpt2"].save_pretrained(folder)
    return folder
