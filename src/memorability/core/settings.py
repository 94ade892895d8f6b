"""The base of every block of params, and how a block is checked: each problem names its key and what is valid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from memorability.core.errors import ParamsError, listing

B = TypeVar("B", bound=BaseModel)


class Block(BaseModel):
    """Base of every block: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def checked(schema: type[B], block: Any, *, at: str) -> B:
    """`block` as a `schema`; errors name the key below `at`, what was received and what is valid."""
    if not isinstance(block, Mapping):
        raise ParamsError(f"{at or 'params.yaml'}: expected keys and values, received {block!r}")
    try:
        return schema.model_validate(dict(block))
    except ValidationError as error:
        lines = [_explain(schema, dict(problem), at) for problem in error.errors()]
        raise ParamsError(f"{len(lines)} problems in the params:\n{listing(lines)}") from error


def _explain(schema: type[BaseModel], problem: dict[str, Any], at: str) -> str:
    where = ".".join(str(part) for part in (at, *problem["loc"]) if part != "")
    if problem["type"] == "extra_forbidden":
        return f"{where}: unknown key; valid keys: {', '.join(_keys(schema, problem['loc'][:-1]))}"
    if problem["type"] == "missing":
        return f"{where}: this key is missing"
    if problem["type"] == "value_error":  # of a whole block, and it says itself what it received
        return f"{where or 'params.yaml'}: {problem['ctx']['error']}"
    return f"{where}: received {problem['input']!r}; {problem['msg']}"


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
