"""The processes that share one training: as many as `torchrun` or `accelerate launch` started, or this one alone.

    processes = Processes.begin("cpu")
    processes.mine(rows)            # every process its share of the same batch
    processes.add_up(gradients)     # and all of them the same sum

Every process draws the same batches from the same seed, so that several give what one gives. What is drawn or added in
secret (who enters a private step, the noise) is the first process's alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from shoplm_audit.errors import ConfigError, MachineError

if TYPE_CHECKING:
    import torch

__all__ = ["Processes"]

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Processes:
    """This process among those that share a training.

    Attributes:
        rank: its number; 0 writes, draws and adds noise.
        count: how many there are.
        device: where it computes, "cpu" or "cuda:1".
    """

    rank: int
    count: int
    device: str

    @staticmethod
    def begin(device: str = "") -> Processes:
        """Joins the processes that a launcher started.

        Args:
            device: "cpu", "cuda", ...; "" takes a GPU where there is one.

        Raises:
            ConfigError: no such device.
            MachineError: this machine has no such device.
        """
        import torch

        try:
            chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        except RuntimeError as fault:
            raise ConfigError(f'device "{device}" is unknown. Known: cpu, cuda, cuda:0, ...') from fault
        if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
            raise MachineError(f'device "{device}": this machine has {torch.cuda.device_count()} CUDA devices.')
        if int(os.environ.get("WORLD_SIZE", "1")) == 1:
            return Processes(0, 1, str(chosen))
        from accelerate import PartialState

        state = PartialState(cpu=chosen.type == "cpu")
        return Processes(state.process_index, state.num_processes, str(state.device))

    @property
    def first(self) -> bool:
        """Whether this one writes files and draws what is secret."""
        return self.rank == 0

    def mine(self, items: Sequence[Item]) -> list[Item]:
        """This process's share: every `count`th item, so that a sorted list is divided evenly."""
        return list(items[self.rank :: self.count])

    def add_up(self, tensors: Iterable[torch.Tensor]) -> None:
        """Replaces each tensor by its sum over the processes."""
        if self.count > 1:
            import torch.distributed as processes

            for tensor in tensors:
                processes.all_reduce(tensor)

    def tell(self, tensors: Iterable[torch.Tensor]) -> None:
        """Replaces each tensor by the first process's."""
        if self.count > 1:
            import torch.distributed as processes

            for tensor in tensors:
                processes.broadcast(tensor, 0)

    def told(self, value: Item) -> Item:
        """The first process's value, wherever it is asked."""
        if self.count == 1:
            return value
        import torch.distributed as processes

        box: list[Any] = [value]
        processes.broadcast_object_list(box, 0)
        return box[0]  # type: ignore[no-any-return]

    def wait(self) -> None:
        """Until every process is here."""
        if self.count > 1:
            import torch.distributed as processes

            processes.barrier()

    def end(self) -> None:
        """Leaves the others, so that the launcher sees a clean end."""
        if self.count > 1:
            import torch.distributed as processes

            processes.barrier()
            processes.destroy_process_group()
