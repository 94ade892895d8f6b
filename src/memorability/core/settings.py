"""The base of every block of params, and how a block is checked: each problem names its key and what is valid."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from memorability.core.errors import MemorabilityError, ParamsError, listing

SHOWN = 200  # characters of a value in an error
B = TypeVar("B", bound=BaseModel)


def _is_name(name: str) -> str:
    if name == "none" or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", name):
        raise ValueError(
            f"{name[:80]!r} is no name: use 1 to 64 letters, digits, _ and -, the first no sign, and not 'none'"
        )
    return name


# What becomes a file's or a folder's name: checked here, once, so that it stays where it belongs.
Name = Annotated[str, AfterValidator(_is_name)]


class Block(BaseModel):
    """Base of every block: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def checked(schema: type[B], block: Any, *, at: str, error: type[MemorabilityError] = ParamsError) -> B:
    """`block` as a `schema`; errors name the key below `at`, what was received and what is valid.

    Raises:
        ParamsError: something is not valid; or the `error` of whoever reads something else than params.
    """
    if not isinstance(block, Mapping):
        raise error(f"{at or 'params.yaml'}: expected keys and values, received {_short(block)}")
    try:
        return schema.model_validate(dict(block))
    except ValidationError as invalid:
        lines = [_explain(schema, dict(problem), at) for problem in invalid.errors()]
        count = "1 problem" if len(lines) == 1 else f"{len(lines)} problems"
        raise error(f"{count} in the params:\n{listing(lines)}") from invalid


def _explain(schema: type[BaseModel], problem: dict[str, Any], at: str) -> str:
    keys = [_key(part) for part in problem["loc"] if part != "[key]"]
    where = ".".join(part for part in (at, *keys) if part)
    if problem["type"] == "extra_forbidden":
        return f"{where}: unknown key; valid keys: {', '.join(_keys(schema, problem['loc'][:-1]))}"
    if problem["type"] == "missing":
        return f"{where}: this key is missing"
    if problem["type"] == "value_error":  # of a whole block, and it says itself what it received
        return f"{where or 'params.yaml'}: {problem['ctx']['error']}"
    return f"{where}: received {_short(problem['input'])}; {problem['msg']}"


def _key(part: Any) -> str:
    """A key as it stands in the file, or as Python writes it where that could be read as something else."""
    return str(part) if re.fullmatch(r"[\w-]{1,64}", str(part)) else reprlib.repr(part)


def _short(value: Any) -> str:
    """A value as Python writes it, cut where nobody would read on."""
    text = reprlib.repr(value) if isinstance(value, (int, float)) else repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _keys(schema: type[BaseModel], path: tuple[Any, ...]) -> list[str]:
    """The valid keys of the block at `path` below `schema`."""
    for part in path:
        if part not in schema.model_fields:  # the name of an entry in a dict of blocks
            continue
        annotation = schema.model_fields[part].annotation
        options = [annotation, *getattr(annotation, "__args__", ())]
        inner = [o for o in options if isinstance(o, type) and issubclass(o, BaseModel)]
        schema = inner[0] if inner else schema
    return list(schema.model_fields)
