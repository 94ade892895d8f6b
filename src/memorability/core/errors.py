"""Named errors. Each message says what was received and what is valid."""

from collections.abc import Iterable


class MemorabilityError(Exception):
    """Base of every error that a user can cause and can mend."""


class ParamsError(MemorabilityError):
    """A key or value of params.yaml (or of a model block) is not valid."""


class DataError(MemorabilityError):
    """A data set, a table or a picture is not what it should be."""


class BackboneError(MemorabilityError):
    """A backbone's name, layer or weights do not fit."""


class CallError(DataError):
    """A command, or a function of the package, is called in a way that it does not offer."""


class GivenFeaturesError(DataError):
    """A model of features that came with its data set is asked for scores of other files."""


class TrainingError(MemorabilityError):
    """Training cannot start or go on."""


class StorageError(MemorabilityError):
    """Something cannot be written: a full disk, a quota."""


class StateError(MemorabilityError):
    """Another process is at the same piece of work."""


def listing(offenders: Iterable[str], limit: int = 20) -> str:
    """The offenders one a line, cut after `limit` with a count of the rest."""
    lines = list(offenders)
    shown = [f"  {line}" for line in lines[:limit]]
    if len(lines) > limit:
        shown.append(f"  ... and {len(lines) - limit} more")
    return "\n".join(shown)
