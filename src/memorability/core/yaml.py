"""YAML files that people write: read with the mistakes named that a plain reader passes over or dies of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from memorability.core.errors import ParamsError

LARGEST = 2**20  # bytes of a file
MOST = 100_000  # nodes, with every alias written out


class _Loader(yaml.SafeLoader):
    """A key that stands twice is an error: the last one would count, without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = list[Any]()
        for key, _ in node.value:
            value = self.construct_object(key, deep=True)
            if value in keys:
                raise yaml.MarkedYAMLError(problem=f"key {value!r} twice", problem_mark=key.start_mark)
            keys.append(value)
        return super().construct_mapping(node, deep=deep)


def read_yaml(path: Path) -> Any:
    """The content of a YAML file.

    Raises:
        ParamsError: it is not there, is no YAML in UTF-8, has a key twice, or is larger than anybody writes by hand.
    """
    try:
        content = path.read_bytes()
        if len(content) > LARGEST:
            raise ParamsError(f"{path}: {len(content)} bytes; at most {LARGEST} are read")
        loader = _Loader(content.decode("utf-8-sig"))
        try:
            node = loader.get_single_node()
            if node is not None and _written_out(node, {}) > MOST:
                raise ParamsError(f"{path}: over {MOST} values, with its aliases written out")
            return None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except FileNotFoundError as error:
        raise ParamsError(f"{path}: no such file; run this from the project's root") from error
    except UnicodeDecodeError as error:
        raise ParamsError(f"{path}: no UTF-8 ({error}); save it as UTF-8") from error
    except RecursionError as error:
        raise ParamsError(f"{path}: nested too deeply") from error
    except (yaml.YAMLError, ValueError, TypeError, OSError) as error:  # such as a date that is none
        raise ParamsError(f"{path}: no valid YAML ({error})") from error


def _written_out(node: yaml.Node, known: dict[int, int]) -> int:
    """Nodes below a node, each alias counted as what it stands for."""
    if id(node) not in known:
        known[id(node)] = MOST + 1  # of a node within itself
        inner = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else []
        inner = node.value if isinstance(node, yaml.SequenceNode) else inner
        known[id(node)] = 1 + sum(_written_out(part, known) for part in inner)
    return known[id(node)]
