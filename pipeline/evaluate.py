"""evaluate@TRACK: all models of a track by their predictions alone: reports, boards, comparisons, figures and cards."""

from memorability.core import kernels, layout, runtime
from memorability.core.files import staged_folder, write_json
from memorability.data import tables
from memorability.data.tables import Track
from memorability.evaluation.evaluate import Contender, Evaluation, Folders
from memorability.params import Params
from memorability.predict import cards
from pipeline.common import run


def main(params: Params, track: Track) -> None:
    contenders = {}
    for name, head in params.heads(track).items():
        ensemble = name in params.ensembles
        block = params.ensembles[name] if ensemble else params.models[name]
        folder = layout.predictions(track, name, ensemble=ensemble)
        contenders[name] = Contender(head.family, head.target, folder, block, on_val=ensemble)
    with (
        staged_folder(layout.METRICS / track) as metrics,
        staged_folder(layout.FIGURES / track) as figures,
        staged_folder(layout.PLOTS / track) as plots,
        staged_folder(layout.MODEL_CARDS / track) as to_cards,
    ):
        evaluation = Evaluation(
            track=track,
            raw=layout.RAW / track,
            models=layout.MODELS,
            settings=params.evaluate[track],
            seed=params.seed,
            threads=params.threads,
            to=Folders(metrics, figures, plots),
        )
        summary, boards = evaluation.run(contenders, tables.read(layout.split_table(track)))
        machine = {
            "processor": runtime.processor(),
            "threads": params.threads,
            "kernels": kernels.setting(),
        }
        if gpu := runtime.gpu():
            machine["gpu"] = gpu
        write_json(metrics / "processor.json", machine)
        cards.write(to_cards, {name: one.predictions for name, one in contenders.items()}, metrics=metrics)
    write_json(layout.METRICS / f"{track}.json", summary)
    print(boards)


if __name__ == "__main__":
    run("evaluate", main)
