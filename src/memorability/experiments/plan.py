"""What a project is going to do: which code each of its stages runs, and which models each track has.

DVC could depend on folders of code, but writes each dependency of each stage into dvc.lock, and reads and writes that file anew
after every stage, in Python: with some twenty folders and files a stage that takes longer than most stages. So one
stage writes a plan, from the imports that the code has, and the others depend on their own line of it.
"""

from __future__ import annotations

import ast
import io
import json
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from memorability.core.files import digest
from memorability.params import Params
from memorability.training.settings import Model

PACKAGE, PIPELINE = Path(__file__).parents[1], Path("pipeline")
# Each named after its block of the params; models, which have a file of their own, are `train`.
STAGES = ("acquire", "frames", "split", "backbones", "features", "evaluate")

# Modules whose edit cannot change what a stage computes, and why. Their imports are not followed.
EXEMPT = {
    "memorability": "re-exports one name",
    "memorability.core.compiler": "when torch's compiler is loaded, not what it does",
    "memorability.core.errors": "texts of errors",
    "memorability.core.layout": "where things lie, not what they are",
    "memorability.core.parallel": "when something is computed, not what",
    "memorability.core.progress": "what a terminal shows",
    "memorability.core.states": "how work that was stopped goes on; it has all code in its key",
    "memorability.data.datasets": "found by name, where `acquire` begins; other stages check names alone",
    "memorability.experiments.start": "says which stage it is and how long it took; threads are a param",
    "memorability.params": "hands each block to its stage as its schema reads it; a stage's own schemas are its code",
    "pipeline.common": "how a stage starts and ends",
}
# Of evaluation all that training runs: what `training.contract.Judge` names, and what that uses. Boards, figures and
# intervals are made of predictions, and retrain nothing.
JUDGING = ("", ".map_measures", ".maps", ".predictions", ".score_measures", ".scores")

DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def plan(params: Params) -> dict[str, str]:
    """The files of a plan by name: STAGE.code and MODEL.code, a line a module; and TRACK.models, its models' blocks.

    A line has the hash of the module's code without its words. A model's code is that of its family and of the models that it contains.
    """
    files = {f"{stage}.code": _listed(code_of_stage(stage)) for stage in STAGES}
    for name in (*params.models, *params.ensembles):
        files[f"{name}.code"] = _listed(code_of_model(params, name))
    for track in params.evaluate:
        blocks = {name: params.block(name) for name in params.heads(track)}
        files[f"{track}.models"] = json.dumps(blocks, indent=1) + "\n"
    return files


def code_of_stage(stage: str) -> list[Path]:
    """The modules that a stage runs, with those of the schemas, and so the defaults, of its params."""
    start = [*_entry(stage), *_schemas(Params.model_fields[stage].annotation)]
    if stage == "acquire":
        start += sorted((PACKAGE / "data" / "datasets").glob("*.py"))
    if stage == "evaluate":  # which asks for the models of a track
        return _code(*start, *_schemas(Model), alone=PACKAGE / "params.py")
    return _code(*start)


def code_of_model(params: Params, name: str) -> list[Path]:
    """The modules that train a model; params.py among them, where top-level values override the model's own."""
    families = [PACKAGE / "families" / f"{family}.py" for family in _families(params, name)]
    return _code(*_entry("train"), *families, alone=PACKAGE / "params.py", training=True)


def _entry(stage: str) -> list[Path]:
    """The file of a stage, and that of its package, which pins kernels."""
    return [PIPELINE / f"{stage}.py", PIPELINE / "__init__.py"]


def _code(*start: Path, alone: Path | None = None, training: bool = False) -> list[Path]:
    """The project's modules that some files import, at any depth of their code, and these files.

    Args:
        alone: a file whose imports are not followed.
        training: of evaluation no more than training runs.
    """
    seen, todo = set(start), list(start)
    while todo:
        for name in _imports(todo.pop()):
            path = source(name)
            if path is None or path in seen or name in EXEMPT or (training and _after_training(name)):
                continue
            seen.add(path)
            todo.append(path)
    return sorted(seen if alone is None else seen | {alone})


@cache
def source(module: str) -> Path | None:
    """The file of a module of the package or of `pipeline`; None of any other."""
    root, *rest = module.split(".")
    folder = {"memorability": PACKAGE, "pipeline": PIPELINE}.get(root)
    if folder is None:
        return None
    base = folder.joinpath(*rest)
    return next((p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()), None)


@cache
def _imports(path: Path) -> tuple[str, ...]:
    """The names of the project that a file imports, but for those that type checkers alone import."""
    names, todo = list[str](), list[ast.AST]([ast.parse(path.read_text(encoding="utf-8"))])
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            todo += ast.iter_child_nodes(node)
    return tuple(name for name in names if name.split(".")[0] in (PACKAGE.name, PIPELINE.name))


def _after_training(module: str) -> bool:
    package = "memorability.evaluation"
    return module.startswith(package) and module.removeprefix(package) not in JUDGING


def _families(params: Params, name: str) -> Iterator[str]:
    """The families of a model, and of the models that it contains."""
    head = params.head(name)
    yield head.family
    if head.backbone in params.models:
        yield from _families(params, head.backbone)


def _schemas(annotation: Any) -> set[Path]:
    """The files of the schemas in an annotation, and of all below them."""
    found, seen, todo = set[Path](), set[Any](), [annotation]
    while todo:
        schema = todo.pop()
        todo += get_args(schema)
        if isinstance(schema, type) and issubclass(schema, BaseModel) and schema not in seen:
            seen.add(schema)
            found |= {path for path in [source(schema.__module__)] if path is not None}
            todo += [*schema.__bases__, *(field.annotation for field in schema.model_fields.values())]
    return found


def _listed(code: list[Path]) -> str:
    return "".join(f"{_hash(path)}  {_short(path)}\n" for path in code)


@cache
def _hash(path: Path) -> str:
    return digest(without_words(path.read_text(encoding="utf-8")))[:16]


def without_words(source: str) -> str:
    """Python code less its comments, docstrings and empty lines, whose edits change nothing that is computed.

    By places in the text, so that any version of Python gives the same.
    """
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            words = node.body[0]
            for row in range(words.lineno - 1, words.end_lineno or words.lineno):
                lines[row] = lines[row][: words.col_offset] if row == words.lineno - 1 else ""
    return "\n".join(line.rstrip() for line in lines if line.strip())


def _short(path: Path) -> str:
    name = path.relative_to(PACKAGE.parent) if path.is_relative_to(PACKAGE) else path
    return name.as_posix()
