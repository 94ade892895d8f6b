"""YAML files that people write: read with the mistakes named that a plain reader passes over or dies of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from memorability.core.errors import DataError, ParamsError
from memorability.core.files import read_bytes

LARGEST = 2**20  # bytes of a file
MERGE = "tag:yaml.org,2002:merge"  # of the key `<<`
MOST = 100_000  # nodes, with every alias written out


class _Loader(yaml.SafeLoader):
    """A key that stands twice is an error: the last one would count, without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = set[Any]()
        for key, _ in node.value:
            if key.tag == MERGE:
                continue
            value = self.construct_object(key, deep=True)
            if value in keys:
                raise yaml.MarkedYAMLError(problem=f"key {value!r} twice", problem_mark=key.start_mark)
            keys.add(value)
        return super().construct_mapping(node, deep=deep)


def read_yaml(path: Path) -> Any:
    """The content of a YAML file.

    Raises:
        ParamsError: it is not there, is no YAML in UTF-8, has a key twice, or is larger than anybody writes by hand.
    """
    try:
        text = read_bytes(path, limit=LARGEST).decode("utf-8-sig")
    except FileNotFoundError as error:
        raise ParamsError(f"{path}: no such file; run this from the project's root") from error
    except UnicodeDecodeError as error:
        raise ParamsError(f"{path}: no UTF-8 ({error}); save it as UTF-8") from error
    except (DataError, OSError) as error:
        raise ParamsError(f"{path}: cannot be read ({error})") from error
    try:
        return _constructed(text)
    except RecursionError as error:
        raise ParamsError(f"{path}: nested too deeply") from error
    except (yaml.YAMLError, ValueError, TypeError) as error:  # such as a date that is none
        raise ParamsError(f"{path}: no valid YAML ({error})") from error


def _constructed(text: str) -> Any:
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is not None and _written_out(node, {}) > MOST:
            raise ValueError(f"over {MOST} values, with its aliases written out")
        return None if node is None else loader.construct_document(node)
    finally:
        loader.dispose()


def _written_out(node: yaml.Node, known: dict[int, int]) -> int:
    """Nodes below a node, each alias counted as what it stands for."""
    if id(node) not in known:
        known[id(node)] = MOST + 1  # of a node within itself
        inner = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else []
        inner = node.value if isinstance(node, yaml.SequenceNode) else inner
        known[id(node)] = 1 + sum(_written_out(part, known) for part in inner)
    return known[id(node)]
