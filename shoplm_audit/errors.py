"""The error tree: what a user can put right is an `AuditError` and is printed bare; anything else is a bug.

AuditError                    one line: what is wrong, where, what to do          exit code 2
├── DataError                 a file or a row that cannot be read
├── ConfigError               an option, a key of audit.toml, a suite
├── ModelError                a folder that is no model, weights that are refused
└── MachineError              disk full, no such device, an endpoint that is down  exit code 4
Unsupported                   this kind of model cannot do what a probe asked: its gates are not tested
"""

__all__ = [
    "AuditError",
    "ConfigError",
    "DataError",
    "MachineError",
    "ModelError",
    "Unsupported",
]


class AuditError(Exception):
    """Something a user can put right. The message says what is wrong, where, and what to do."""

    exit_code = 2


class DataError(AuditError):
    """A file or a row of it cannot be read: `reviews.jsonl:17: not a review: missing "text".`"""


class ConfigError(AuditError):
    """An option, a key of `audit.toml`, a suite or a gate does not exist or does not fit."""


class ModelError(AuditError):
    """A model cannot be loaded: no model there, a pickle, an unknown kind of SPEC."""


class MachineError(AuditError):
    """The machine or an endpoint failed; what was done is kept."""

    exit_code = 4


class Unsupported(Exception):
    """A model of this kind cannot do what was asked (score an API without log-probabilities, say)."""
