"""Published weights become ordinary models: every tensor in its place, the published outputs, named errors."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from plain_resnet import resnet_logits
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from typer.testing import CliRunner

from memorability import cli
from memorability.core.errors import BackboneError, DataError, ParamsError
from memorability.experiments import imports
from memorability.experiments.published import PUBLISHED, RESMEM
from memorability.predict.about import Project
from memorability.predict.choice import named
from memorability.predict.predictor import Predictor

# The published network beside its ResNet-152: weights by name (Needell and Bainbridge 2022).
OWN = {
    **{"conv1": (48, 3, 11, 11), "conv2": (256, 24, 5, 5), "conv3": (384, 128, 3, 3)},
    **{"conv4": (384, 192, 3, 3), "conv5": (256, 192, 3, 3)},
    **{"fc6": (4096, 10216), "fc7": (4096, 4096), "fc8": (2048, 4096), "fc9": (1024, 2048)},
    **{"fc10": (512, 1024), "fc11": (256, 512), "fc12": (1, 256)},
}
BLOCKS = (3, 8, 36, 3)  # of ResNet-152, by stage


# The published architecture, written out: no module and nothing of ours, the file's tensors by their names.


def published_scores(state, x):
    def conv(number, x, **options):
        return F.relu(F.conv2d(x, state[f"conv{number}.weight"], state[f"conv{number}.bias"], **options))

    def full(number, x):
        return F.linear(x, state[f"fc{number}.weight"], state[f"fc{number}.bias"])

    y = F.local_response_norm(F.max_pool2d(conv(1, x, stride=4), 3, 2), 5)
    y = F.local_response_norm(F.max_pool2d(conv(2, y, padding=2, groups=2), 3, 2), 5)
    for number in (3, 4, 5):
        y = conv(number, y, padding=1, groups=2)
    y = torch.cat(
        [F.max_pool2d(y, 3, 2).flatten(1), resnet_logits(state, "features.", x, blocks=BLOCKS)], dim=1
    )
    for number in range(6, 12):
        y = F.relu(full(number, y))
    return torch.sigmoid(full(12, y)).squeeze(1)


def published_input(picture):
    """The whole picture at 256 x 256, its central 227 pixels, in [0, 1]."""
    squashed = np.asarray(picture.convert("RGB").resize((256, 256), Image.Resampling.BILINEAR))
    return torch.from_numpy(squashed[14:241, 14:241].copy()).permute(2, 0, 1).float() / 255


def published_shapes():
    with torch.device("meta"):
        inner = torchvision.models.resnet152(weights=None).state_dict()
    shapes = {f"features.{key}": tuple(value.shape) for key, value in inner.items()}
    for layer, shape in OWN.items():
        shapes |= {f"{layer}.weight": shape, f"{layer}.bias": shape[:1]}
    return shapes


def random_tensor(key, shape, generator):
    """Of a size that keeps activations alive through all layers."""
    if key.endswith("num_batches_tracked"):
        return torch.tensor(52500)
    if key == "fc12.bias":
        return torch.tensor([-3.5])  # scores in the middle of [0, 1]
    if len(shape) == 1:
        base = 0.1 * torch.randn(shape, generator=generator)
        if key.endswith("running_var"):
            return base.exp()
        if key.endswith(("bn1.weight", "bn2.weight", "downsample.1.weight")):
            return 1 + base
        return 0.2 + base if key.endswith("bn3.weight") else base
    louder = {"conv1.weight": 10, "conv3.weight": 0.1}.get(
        key, 1
    )  # so that what LRN does between them counts
    return torch.randn(shape, generator=generator) * louder * (2 / np.prod(shape[1:])) ** 0.5


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A file of the published layout at full size, the model from it, pictures, and what is said of them."""
    root = tmp_path_factory.mktemp("published")
    generator = torch.Generator().manual_seed(0)
    state = {key: random_tensor(key, shape, generator) for key, shape in published_shapes().items()}
    torch.save(state, root / "model.pt")
    said = imports.run("resmem", weights=root / "model.pt", models=root / "models")
    (root / "model.pt").unlink()
    rng = np.random.default_rng(0)
    for name, (height, width) in {"a": (90, 160), "b": (300, 200), "c": (256, 256), "d": (400, 120)}.items():
        coarse = Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8))
        coarse.resize((width, height)).save(root / f"{name}.png")
    pictures = sorted(root.glob("*.png"))
    predictor, choice = named("resmem_published", Project.of(root / "models"), device="cpu")
    scored = predictor.predict(pictures), choice
    yield root / "models" / "resmem_published", state, said, pictures, scored
    (root / "models" / "resmem_published" / "model.safetensors").unlink()


def test_the_published_layout():
    shapes = published_shapes()
    assert len(shapes) == 956
    assert (
        sum(int(np.prod(shape)) for key, shape in shapes.items() if "num_batches" not in key) == 131_840_233
    )


def test_every_tensor_is_in_its_place(full):
    folder, state, said, _, _ = full
    assert said.splitlines()[0] == (
        f"{folder}: 956 tensors, every one in its place, from a file that is not known here"
    )
    kept = load_file(folder / "model.safetensors")
    assert set(kept) == set(state)
    assert all(torch.equal(kept[key], state[key]) for key in state)


@torch.inference_mode()
def test_the_scores_are_those_of_the_published_architecture(full):
    _, state, _, pictures, scored = full
    scores, _ = scored
    found = [score.score for score in scores]
    expected = published_scores(state, torch.stack([published_input(Image.open(path)) for path in pictures]))
    assert found == pytest.approx(expected.tolist(), abs=1e-6)
    assert np.ptp(found) > 1e-3  # four pictures that it tells apart


def test_what_is_said_of_it(full):
    folder, _, said, _, scored = full
    _, choice = scored
    assert choice.line().startswith(
        "resmem_published: trained on lamem, memcat; no figure on validation says"
    )
    assert choice.as_dict()["trained_on"] == ["lamem", "memcat"]
    config = json.loads((folder / "config.json").read_text())
    assert config["trained_on"] == {"lamem": None, "memcat": None}
    assert {key: config["settings"][key] for key in ("fit", "resize", "crop")} == {
        **{"fit": "squash", "resize": 256, "crop": 227},
    }
    assert config["backbone"]["sha256"] == config["published"]["sha256"]
    card = (folder / "README.md").read_text()
    for told in (
        "Needell and Bainbridge",
        "non-commercial",
        "LaMem",
        "MemCat",
        config["published"]["sha256"],
    ):
        assert told in card
    assert "Non-commercial License" in said


# The same on a small network: files as users may have them, and what is wrong with them.


@pytest.fixture
def small(monkeypatch):
    settings = RESMEM.settings | {"resize": 72, "crop": 67, "hidden": 16}
    small = replace(RESMEM, settings=settings, arch="squeezenet1_1", classes=5)
    monkeypatch.setitem(PUBLISHED, "resmem", small)
    net, _, _, _ = imports.network(small, sha256="0" * 64)
    torch.manual_seed(0)
    return {key: torch.rand(value.shape) - 0.5 for key, value in net.state_dict().items()}


def saved(state, path):
    (save_file if path.suffix == ".safetensors" else torch.save)(state, path)
    return path


def imported(state, tmp_path, name="weights.pt"):
    return imports.run("resmem", weights=saved(state, tmp_path / name), models=tmp_path / "models")


FORMS = {
    "a state dict": lambda state: state,
    "one inside a checkpoint": lambda state: {"state_dict": state, "epoch": 3},
    "of DataParallel": lambda state: {f"module.{key}": value for key, value in state.items()},
    "parameters": lambda state: {key: torch.nn.Parameter(value) for key, value in state.items()},
    "in another order": lambda state: dict(reversed(state.items())),
    "not contiguous": lambda state: {k: v.mT.contiguous().mT if v.ndim > 1 else v for k, v in state.items()},
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_the_file(small, tmp_path, form):
    said = imported(FORMS[form](small), tmp_path)
    assert f"resmem_published: {len(small)} tensors, every one in its place" in said
    kept = load_file(tmp_path / "models/resmem_published/model.safetensors")
    assert all(torch.equal(kept[key], small[key]) for key in small)


def test_safetensors_and_half_precision(small, tmp_path):
    imported({key: value.half() for key, value in small.items()}, tmp_path, "weights.safetensors")
    kept = load_file(tmp_path / "models/resmem_published/model.safetensors")
    assert all(torch.equal(kept[key], small[key].half().float()) for key in small)


def test_it_predicts_at_once(small, tmp_path):
    imported(small, tmp_path)
    Image.new("RGB", (50, 90), "teal").save(tmp_path / "photo.png")
    predictor = Predictor(tmp_path / "models/resmem_published", device="cpu")
    assert 0 < predictor.predict(tmp_path / "photo.png")[0].score < 1


def changed(**changes):
    """The state with other tensors; None takes one away."""

    def change(state):
        return {key: value for key, value in (state | changes).items() if value is not None}

    return change


WRONG = {
    "missing": (
        changed(**{"conv1.bias": None, "fc7.weight": None}),
        "2 missing:\n  conv1.bias\n  fc7.weight",
    ),
    "unknown": (changed(**{"fc13.weight": torch.ones(2)}), "1 unknown:\n  fc13.weight"),
    "of another shape": (
        changed(**{"conv1.bias": torch.ones(49)}),
        "1 of another shape:\n  conv1.bias (49,), not (48,)",
    ),
    "of another kind": (
        changed(**{"conv1.bias": torch.ones(48, dtype=torch.int64)}),
        "1 of another kind:\n  conv1.bias torch.int64, not floating-point",
    ),
    "sparse": (
        changed(**{"conv1.bias": torch.ones(48).to_sparse()}),
        "1 of another kind:\n  conv1.bias not dense, floating-point, not floating-point",
    ),
    "not finite": (
        changed(**{"conv1.bias": torch.full((48,), torch.nan), "fc12.bias": torch.tensor([torch.inf])}),
        "2 with numbers that are not finite:\n  conv1.bias\n  fc12.bias",
    ),
}


@pytest.mark.filterwarnings("ignore:Validating sparse")
@pytest.mark.parametrize("wrong", WRONG)
def test_tensors_that_are_not_those_published(small, tmp_path, wrong):
    change, told = WRONG[wrong]
    with pytest.raises(DataError) as error:
        imported(change(small), tmp_path)
    path = tmp_path / "weights.pt"
    assert str(error.value) == f"{path}: not the {len(small)} tensors that were published\n{told}"
    assert not (tmp_path / "models").exists()


def test_all_that_is_wrong_is_listed_at_once(small, tmp_path):
    wrong = changed(**{"conv1.bias": None, "x": torch.ones(1), "fc12.bias": torch.ones(2)})
    with pytest.raises(DataError, match=r"1 missing:\n.*\n1 unknown:\n.*\n1 of another shape:\n"):
        imported(wrong(small), tmp_path)


def test_a_backbone_alone(small, tmp_path):
    inner = {key.removeprefix("features."): v for key, v in small.items() if key.startswith("features.")}
    with pytest.raises(DataError, match=rf"(?s){len(small)} missing:\n.*and \d+ more\n{len(inner)} unknown:"):
        imported(inner, tmp_path)


def as_a_link(path):
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 527697438\n")


def as_code(path):
    path.write_bytes(pickle.dumps({"conv1.weight": print}))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("make", [as_a_link, as_code, lambda path: None])
def test_files_that_hold_no_tensors(small, tmp_path, make):
    path = tmp_path / "weights.pt"
    make(path)
    with pytest.raises(BackboneError, match=str(path)):
        imports.run("resmem", weights=path, models=tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_a_model_is_never_replaced(small, tmp_path):
    (tmp_path / "models/resmem_published").mkdir(parents=True)
    with pytest.raises(DataError, match=r"resmem_published: is there already; .* another name by --to"):
        imported(small, tmp_path)
    assert list((tmp_path / "models/resmem_published").iterdir()) == []


@pytest.mark.parametrize("to", ["../x", "a/b", "", "none"])
def test_names_that_are_none(small, tmp_path, to):
    with pytest.raises(ParamsError, match=r"import\.to: .* is no name"):
        imports.run("resmem", weights=saved(small, tmp_path / "w.pt"), to=to, models=tmp_path / "models")


def test_models_that_nobody_has_published(tmp_path):
    with pytest.raises(
        DataError, match="no published model 'vitmem'; valid: resmem, amnet, amnet_mean, memnet"
    ):
        imports.run("vitmem", weights=tmp_path / "w.pt")


# Weights in an installed package.


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A distribution whose code must not run."""
    site = tmp_path / "site"
    (site / "resmem").mkdir(parents=True)
    (site / "resmem/__init__.py").write_text("raise SystemExit('imported')\n")
    (site / "resmem-9.dist-info").mkdir()
    (site / "resmem-9.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: resmem\nVersion: 9\n")
    files = ("resmem/__init__.py", "resmem/model.pt", "resmem-9.dist-info/METADATA")
    (site / "resmem-9.dist-info/RECORD").write_text("".join(f"{file},,\n" for file in files))
    monkeypatch.syspath_prepend(site)
    return site / "resmem"


def test_the_weights_of_an_installed_package(small, package, tmp_path):
    saved(small, package / "model.pt")
    assert "every one in its place" in imports.run("resmem", models=tmp_path / "models")


def test_a_package_without_its_weights(package, tmp_path):
    with pytest.raises(DataError, match=r"the installed resmem has no model\.pt; give its file by --weights"):
        imports.run("resmem", models=tmp_path / "models")


def test_a_package_that_is_not_installed(tmp_path):
    absent = replace(RESMEM, package="resmem-that-nobody-has")
    with pytest.raises(
        DataError, match="resmem-that-nobody-has is not installed; give its file by --weights"
    ):
        imports.packaged(absent)


# The command.


def test_the_command(small, tmp_path):
    path = saved(small, tmp_path / "w.pt")
    arguments = ["import", "resmem", "--weights", path, "--to", "theirs", "--models", tmp_path / "models"]
    done = CliRunner().invoke(cli.app, list(map(str, arguments)))
    assert done.exit_code == 0, done.output
    assert f"--model {tmp_path / 'models/theirs'}" in done.output
    assert (tmp_path / "models/theirs/README.md").read_text().startswith("# theirs\n")


@pytest.mark.parametrize("options", [[], ["--package", "--weights", "w.pt"]])
def test_the_command_wants_one_source(options):
    done = CliRunner().invoke(cli.app, ["import", "resmem", *options])
    assert isinstance(done.exception, DataError)
    assert str(done.exception) == "import: give either --weights FILE or --package"
