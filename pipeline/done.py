"""What `make repro` ends with: what to do next, and a line on why committed files are others now. No stage.

python -m pipeline.done
"""

import json
import subprocess
from pathlib import Path

from memorability.core import layout

MADE = ("dvc.lock", str(layout.METRICS), str(layout.PLOTS), str(layout.SPLITS))  # by stages, and committed
NEXT = """\
What next:
  memorability leaderboard           which model predicts best, and whether it beats the mean
  memorability predict photo.jpg     the score of a picture of yours; --map what of it is remembered
  dvc exp run -S models.memnet.epochs=20    a model with other settings; dvc metrics diff
  profiles/mine.yaml                 your own pictures and scores: copy it to params.yaml, then make repro"""


def changed() -> list[str]:
    """The committed files of stages that are not as they were committed; none outside a git repository."""
    command = ["git", "diff", "--name-only", "HEAD", "--", *MADE]
    return subprocess.run(command, capture_output=True, text=True).stdout.splitlines()


def explained(paths: list[str]) -> str:
    """Why these files are others than the committed ones, in a line."""
    said = f"{len(paths)} committed files ({paths[0]}, ...) came out otherwise than they are committed"
    machines = [path for path in paths if path.endswith("/processor.json") and Path(path).exists()]
    if not machines:
        return f"{said}: code, params or libraries are others."
    old, new = (json.loads(text or "{}") for text in (_committed(machines[0]), Path(machines[0]).read_text()))
    made = f"{said}: made here on {_in_words(new)}, there on {_in_words(old)}."
    if "gpu" in new and "gpu" not in old:
        return (
            f"{made} A GPU draws dropout and noise otherwise, as another seed does; "
            "CUDA_VISIBLE_DEVICES= dvc repro --force computes them as the committed ones were."
        )
    return f"{made} Rounding differs; python .ci/compare_metrics.py says whether more than that does."


def _committed(path: str) -> str:
    return subprocess.run(["git", "show", f"HEAD:{path}"], capture_output=True, text=True).stdout


def _in_words(machine: dict[str, object]) -> str:
    return ", ".join(
        f"{value} {name}".removesuffix(" processor").removesuffix(" gpu") for name, value in machine.items()
    )


if __name__ == "__main__":
    print(NEXT)
    if paths := changed():
        print(explained(paths))
