"""The workers of an engine: begun, reached, lost and replaced.

with Fleet(engine_of("ray:10.0.0.1:6379")) as fleet: ...       # a worker per GPU, or per CPU core
"""

from __future__ import annotations

import importlib.util
import logging
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from shoplm_audit.errors import ConfigError, MachineError
from shoplm_audit.models.worker import Worker

__all__ = ["LIMIT", "Engine", "Fleet", "Lost", "Seat", "engine_of"]

LIMIT = "SHOPLM_RAY_ACTORS"
_REACH = 5.0  # seconds until an address counts as down
_PATIENCE = 300.0  # seconds until a cluster that gives no worker counts as full


@dataclass(frozen=True, slots=True)
class Engine:
    """Where batches are computed: in this process, or by workers of Ray.

    Attributes:
        kind: "local" or "ray".
        address: of the cluster: "10.0.0.1:6379", "auto", "ray://host:10001"; "" begins one on this machine.
        workers: the most workers; 0 is one per GPU, or per CPU core where there are none.
    """

    kind: Literal["local", "ray"]
    address: str = ""
    workers: int = 0


def engine_of(text: str) -> Engine:
    """The engine that `local`, `ray` or `ray:ADDRESS` names; SHOPLM_RAY_ACTORS bounds its workers.

    Raises:
        ConfigError: anything else.
    """
    kind, _, address = text.partition(":")
    if text == "local":
        return Engine("local")
    if kind != "ray" or text == "ray:":
        raise ConfigError(f'engine "{text}" is unknown. Known: local, ray, ray:ADDRESS.')
    host, port = _host(address)
    if address not in ("", "auto") and not (host and port):
        raise ConfigError(f'engine "{text}": no address. Write ray:HOST:PORT, ray:auto or ray:ray://HOST:PORT.')
    most = os.environ.get(LIMIT, "0") or "0"
    if not most.isdecimal():
        raise ConfigError(f'{LIMIT} is "{most}": it has to be a number of workers, or 0 for all there is room for.')
    return Engine("ray", address, int(most))


def _host(address: str) -> tuple[str, int]:
    """Host and port of an address; "" or 0 where they are missing."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    number = int(port) if port.isdecimal() else 0
    return ("" if "/" in host else host.strip("[]")), (number if number < 1 << 16 else 0)


@dataclass(frozen=True, slots=True)
class Lost:
    """Stands for a reply whose worker died, or cannot be reached."""

    why: str


@dataclass(frozen=True, slots=True, eq=False)
class Seat:
    """One worker, from its hiring to its loss."""

    handle: Any
    place: Any  # a reference; answered as soon as the process runs

    @property
    def machine(self) -> str:
        """Where it works, in words."""
        import ray

        try:
            name, process = ray.get(self.place, timeout=_REACH)
        except (ray.exceptions.RayError, OSError):
            return "an unknown machine"
        return f'machine "{name}" (process {process})'


class Fleet:
    """The workers of one engine, shared by all models of an audit; closed when done.

    A process has one engine. A cluster that this one begins listens on loopback only, asks for a token, and ends
    with it.

    Args:
        engine: of kind "ray".
        device: "cpu" or "cuda"; None takes GPUs where the cluster has some.

    Attributes:
        device: where all workers compute.
        workers: who is there, or on the way.
        again: how many batches were lost with a worker and done again.

    Raises:
        ConfigError: Ray is not installed, or no such device.
        MachineError: the cluster cannot be reached, or has no room.
    """

    def __init__(self, engine: Engine, *, device: str | None = None) -> None:
        if device not in (None, "cpu", "cuda"):
            raise ConfigError(f'device "{device}": each worker of Ray gets a device of its own. Use cpu or cuda.')
        if importlib.util.find_spec("ray") is None:
            raise ConfigError('Ray is not installed. Use pip install "shoplm-audit[ray]", or --engine local.')
        _reach(engine.address)
        _quiet(engine.address)
        import ray

        self.again = 0
        self.workers: list[Seat] = []
        self._began = not ray.is_initialized()
        if self._began:
            _join(engine.address)
        resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        self.device = device or ("cuda" if resources.get("GPU", 0) >= 1 else "cpu")
        unit = "CPU" if self.device == "cpu" else "GPU"
        room = int(resources.get(unit, 0))
        if not room:
            self.close()
            raise MachineError(
                f"the Ray cluster has no {unit} for a worker: start one of its machines with --num-{unit.lower()}s."
            )
        taken = {"num_cpus": 1, "num_gpus": 0} if unit == "CPU" else {"num_cpus": 0, "num_gpus": 1}
        # The lost are replaced here and not by Ray, so that none computes before it was found to be like the others.
        self._hire = ray.remote(Worker).options(**taken, max_restarts=0, max_task_retries=0).remote
        for _ in range(min(room, engine.workers or room)):
            self._seat()

    def _seat(self) -> None:
        handle: Any = self._hire()
        self.workers.append(Seat(handle, handle.place.remote()))

    def replace(self, seat: Seat, *, by_another: bool = True) -> bool:
        """Gives up a lost worker; whether it was among the workers still."""
        import ray

        if seat not in self.workers:
            return False
        # One that cannot be reached may live on.
        ray.kill(seat.handle, no_restart=True)
        self.workers.remove(seat)
        if by_another:
            self._seat()
        return True

    def first(self, references: Sequence[Any]) -> Any:
        """The next reference that is answered, or None after a while without one.

        Raises:
            MachineError: no worker is left, or the cluster has given none in all that time.
        """
        import ray

        if not references:
            raise MachineError("no worker of the Ray cluster is left. What was done is kept.")
        done, _ = ray.wait(list(references), timeout=_PATIENCE)
        if not done and not ray.wait([seat.place for seat in self.workers], timeout=0)[0]:
            raise MachineError(
                f"the Ray cluster gave no worker within {_PATIENCE:.0f} seconds: other programs may hold all of it "
                "(ray status tells). What was done is kept."
            )
        return done[0] if done else None

    def said(self, reference: Any) -> Any:
        """What was answered, or `Lost`."""
        import ray
        from ray import exceptions

        gone = (
            exceptions.RayActorError,
            exceptions.ObjectLostError,
            exceptions.NodeDiedError,
            exceptions.OutOfMemoryError,
            exceptions.WorkerCrashedError,
            exceptions.LocalRayletDiedError,
            exceptions.RpcError,
        )
        try:
            return ray.get(reference)
        except exceptions.RayTaskError:
            raise
        except gone as fault:
            lines = [line.strip() for line in str(fault).splitlines() if line.strip()]
            return Lost(lines[-1][:300] if lines else type(fault).__name__)

    def close(self) -> None:
        """Ends the workers, and the cluster where it was begun here."""
        import ray

        for seat in self.workers:
            ray.kill(seat.handle, no_restart=True)
        self.workers.clear()
        if self._began:
            ray.shutdown()

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _quiet(address: str) -> None:
    """What Ray reads from the environment as it is imported or begins."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Else Ray hides the GPUs of whoever asked for none, and warns that it will not for long.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # At Ray's own 15 all of a local audit would give way to any other program, which one process does not.
    os.environ.setdefault("RAY_worker_niceness", "0")
    # Ray reads these once. A program that has imported it already gets Ray's own choice of ports and token.
    if not address and "ray" not in sys.modules:
        # Off, all of a cluster's ports are on loopback, on any system. And who else is on this machine needs the token.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        if "RAY_AUTH_MODE" not in os.environ:
            os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))


def _join(address: str) -> None:
    import ray
    from ray._private import worker

    own = {"address": "local", "include_dashboard": False, "object_store_memory": 1 << 27}
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM)
    # Ray prints the death of a worker on standard output, which is the report's; it is told in the notes.
    worker.print_to_stdstream = lambda *_, **__: None
    try:
        ray.init(log_to_driver=False, logging_level=logging.CRITICAL, **({"address": address} if address else own))
    except ImportError as fault:
        raise ConfigError(
            f'engine "ray:{address}": Ray\'s client is not installed. Use pip install "ray[client]".'
        ) from fault
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as fault:
        first = (str(fault).strip() or type(fault).__name__).splitlines()[0]
        raise MachineError(f'engine "ray{address and ":"}{address}" did not come up: {first}') from fault
    finally:
        if main:
            signal.signal(signal.SIGTERM, handler)


def _reach(address: str) -> None:
    """Refuses an address at which nobody speaks Ray's protocol; Ray itself would wait without end.

    Raises:
        MachineError: nobody answers, or somebody else.
    """
    if address in ("", "auto"):
        return
    host, port = _host(address)
    # HTTP/2 begins with this preface and settings (frame type 4) from either side (RFC 9113, 3.4).
    hello, settings = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\0\0\0\4\0\0\0\0\0"
    try:
        with socket.create_connection((host, port), timeout=_REACH) as line:
            if os.environ.get("RAY_USE_TLS") == "1":
                return
            line.sendall(hello + settings)
            if line.recv(4)[3:] != b"\4":
                raise OSError("no Ray cluster listens there")
    except OSError as fault:
        raise MachineError(
            f'engine "ray:{address}" cannot be reached ({fault}). Start it with: ray start --head --port {port}.'
        ) from fault
