"""plan: checks all of params.yaml, and says which code each stage runs and which models each track has: data/plan.

It also makes models/none, which models and features depend on that contain no network, and removes the predictions of
models that the params no longer name: `evaluate` and ensembles depend on the folders in which they lie.
"""

import shutil

from memorability.core import layout
from memorability.core.files import staged_folder, write_json, write_text
from memorability.experiments.plan import plan
from memorability.params import Params
from pipeline.common import run


def main(params: Params) -> None:
    params.check()
    with staged_folder(layout.PLAN) as folder:
        for name, text in plan(params).items():
            write_text(folder / name, text)
    with staged_folder(layout.MODELS / "none") as folder:
        write_json(folder / "config.json", {})
    named = {
        layout.predictions(head.track, name, ensemble=params.is_ensemble(name))
        for name, head in ((name, params.head(name)) for name in (*params.models, *params.ensembles))
    }
    for folder in set(layout.every_prediction()) - named:
        shutil.rmtree(folder)  # DVC's cache has them: params that name the model again bring them back


if __name__ == "__main__":
    run("plan", main)
