"""What a project is going to do: which code each of its stages runs, and which models each track has.

DVC could depend on folders of code, but writes each dependency of each stage into dvc.lock, and reads and writes that file anew
after every stage, in Python: with some twenty folders and files a stage that takes longer than most stages. So one
stage writes a plan, from the imports that the code has, and the others depend on their own line of it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import memorability
from memorability.core.files import digest
from memorability.params import Params

PACKAGE, PIPELINE = Path(memorability.__file__).parent, Path("pipeline")
STAGES = (
    "acquire",
    "frames",
    "split",
    "backbones",
    "features",
    "evaluate",
)  # `train` is planned for each model

# Modules whose edit cannot change what a stage computes, and why. Their imports are not followed.
EXEMPT = {
    "memorability": "re-exports one name",
    "memorability.core.errors": "texts of errors",
    "memorability.core.parallel": "when something is computed, not what",
    "memorability.core.progress": "what a terminal shows",
    "memorability.core.states": "how work that was stopped goes on; it has all code in its key",
    "memorability.data.archives": "what they unpack is checked before",
    "memorability.data.downloads": "what they bring is checked by its hash",
    "memorability.experiments.start": "params, threads, and a line on how long it took",
    "pipeline": "pins kernels, which are a param",
    "pipeline.common": "how a stage starts and ends",
}
# Beside these, of what training imports: what is only done with a trained model's predictions.
AFTER_TRAINING = ("boards", "figures", "board_text", "comparisons", "evaluate", "fid", "leaderboard", "people", "plot_tables",
    "reports", "runs", "standings", "statistics")  # fmt: skip


def plan(params: Params) -> dict[str, str]:
    """The files of a plan by name: STAGE.code and MODEL.code, a line a module; and TRACK.models, its models' blocks.

    A model's code is that of its family and of the models that it contains.
    """
    files = {}
    for stage in STAGES:
        by_name = sorted((PACKAGE / "data" / "datasets").glob("*.py")) if stage == "acquire" else []
        files[f"{stage}.code"] = _listed(PIPELINE / f"{stage}.py", *by_name)
    for name in (*params.models, *params.ensembles):
        families = [PACKAGE / "families" / f"{family}.py" for family in _families(params, name)]
        files[f"{name}.code"] = _listed(PIPELINE / "train.py", *families, training=True)
    for track in params.evaluate:
        blocks = {name: params.block(name) for name in params.heads(track)}
        files[f"{track}.models"] = _written(blocks)
    return files


def code(*start: Path, training: bool = False) -> list[Path]:
    """The project's modules that some files import, at any depth of their code, and these files.

    Args:
        training: leave out what is only done with predictions.
    """
    seen, todo = set(start), list(start)
    while todo:
        for name in _imports(todo.pop()):
            path = source(name)
            if path is None or path in seen or name in EXEMPT or (training and _after_training(name)):
                continue
            seen.add(path)
            todo.append(path)
    return sorted(seen)


def source(module: str) -> Path | None:
    """The file of a module of the package or of `pipeline`; None of any other."""
    root, *rest = module.split(".")
    folder = {"memorability": PACKAGE, "pipeline": PIPELINE}.get(root)
    if folder is None:
        return None
    base = folder.joinpath(*rest)
    return next((p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()), None)


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _after_training(module: str) -> bool:
    return module.startswith("memorability.evaluation.") and module.endswith(
        tuple(f"{end}" for end in (*AFTER_TRAINING, "_board", "_figures"))
    )


def _families(params: Params, name: str) -> Iterator[str]:
    """The families of a model, and of the models that it contains."""
    head = params.head(name)
    yield head.family
    if head.backbone in params.models:
        yield from _families(params, head.backbone)


def _listed(*start: Path, training: bool = False) -> str:
    lines = []
    for path in code(*start, training=training):
        name = path.relative_to(PACKAGE.parent) if path.is_relative_to(PACKAGE) else path
        lines.append(f"{digest(path)[:16]}  {name.as_posix()}\n")
    return "".join(lines)


def _written(blocks: dict[str, dict[str, Any]]) -> str:
    import json

    return json.dumps(blocks, indent=1) + "\n"
