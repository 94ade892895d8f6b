"""Models that their authors have published: what their files hold, and what a user must know of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


State = Mapping[str, "Tensor"]


@dataclass(frozen=True, kw_only=True)
class Published:
    """A model that its authors have published, as a family of ours.

    `settings` are those of the family at the published size; `arch` is the network inside it, whose weights
    are in the same file, None without one, and `transform` what the network inside expects of pixels. `files` are the published
    files by their SHA-256; `package` is the distribution that a file may lie in, `file` its name there. `card` is what
    a user must know of it, with places for the model's name and the licence.

    `names` are pairs of beginnings, ours and the published one, by which tensors are called in the file. Tensors whose
    published names begin as in `unused` may be there and are left aside; those that end as in `may_lack` may be missing,
    and are 0 then. `apart` is a tensor that may lie in a file of its own. `adapted` makes of what was published the same
    function of our pixels.
    """

    settings: Mapping[str, Any]
    arch: str | None = None
    classes: int = 1000
    transform: Mapping[str, Any] = field(default_factory=dict)
    trained_on: tuple[str, ...]
    files: Mapping[str, str] = field(default_factory=dict)
    package: str | None = None
    file: str = ""
    licence: str
    card: str
    names: tuple[tuple[str, str], ...] = ()
    unused: tuple[str, ...] = ()
    may_lack: tuple[str, ...] = ()
    apart: str | None = None
    adapted: Callable[[State], State] = dict

    def name_of(self, key: str) -> str:
        """The published name of a tensor of ours."""
        pairs = ((ours, theirs) for ours, theirs in self.names if key.startswith(ours))
        ours, theirs = next(pairs, ("", ""))
        return theirs + key.removeprefix(ours)


CELL = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")  # of an LSTM

RESMEM = Published(
    settings={
        **{"family": "resmem", "track": "images", "target": "score", "input": "data/raw/images"},
        **{"fit": "squash", "resize": 256, "crop": 227},
        **{"hidden": 4096, "dropout": 0.5, "backbone": "resnet152"},
        **{"optimiser": "sgd", "lr": 1e-5, "momentum": 0.9, "epochs": 20},
    },
    arch="resnet152",
    transform={"mean": (0, 0, 0), "std": (1, 1, 1)},
    trained_on=("lamem", "memcat"),
    files={"8e4b8ab0ac338909add68a674e9bd4c1602350731abe7f97bc060dc159706a53": "resmem 1.1.6, of PyPI"},
    package="resmem",
    file="model.pt",
    licence="ResMem Non-commercial License, (c) 2021 The University of Chicago: for non-commercial purposes only",
    card="""\
# {name}

The model of Needell and Bainbridge, Embracing New Techniques in Deep Learning for Estimating Image
Memorability (2022), as its authors published it (https://github.com/Brain-Bridge-Lab/resmem); the weights
are theirs, unchanged.

- Licence: {licence}.
  Whoever passes these weights on passes on the notice, the conditions and the disclaimer of that licence,
  which come with the published files. The licence of the code around them does not cover them.
- Trained on: LaMem (58,741 pictures) and MemCat (10,000), mixed, less a test set. Which pictures are in that
  test set is not known here, nor how many the model was fitted on. So figures on any picture of LaMem or
  MemCat are of pictures that the model may have seen: they do not say what it is worth on new ones.
- The paper's figures of ResMem, on that test set: Spearman 0.66 (the text: 0.68), MSE 0.008 (the text: 0.0091).
- Input: the whole picture squashed to 256 x 256 pixels, of which the central 227 x 227 in [0, 1], no mean
  subtracted. A resize that keeps the proportions ranks pictures otherwise.
- The residual network inside (ResNet-152) is part of the file: its batch statistics moved in training, so
  torchvision's weights are not the same.
- In config.json, the optimiser, its rate and momentum and the epochs are the published ones; what else belongs
  to training is not known, and stands there as this project's defaults.
""",
)
AMNET = Published(
    settings={
        **{"family": "amnet", "track": "images", "target": "score", "input": "data/raw/images"},
        **{"fit": "squash", "resize": 224, "crop": 224, "backbone": "resnet50", "mirror": True},
    },
    arch="resnet50",
    trained_on=("lamem",),
    licence="MIT License, of the code (github.com/ok1zjf/AMNet) with which the weights are published",
    names=(
        ("trunk.net.cut.", "core_cnn.core_cnn."),
        *(("places.0.", "inconv."), ("places.1.", "bn1.")),
        *(("look.h0.", "hs1."), ("look.c0.", "hc1.")),
        *(("look.of_parts.", "e1."), ("look.of_state.", "eh1."), ("look.weigh.", "eh3.")),
        *((f"look.cell.{kind}", f"rnn.{kind}_l0") for kind in CELL),
        *(("look.score.0.", "regnet1."), ("look.score.3.", "regnet4.")),
    ),
    unused=("core_cnn.core_cnn.layer4.", "core_cnn.core_cnn.fc."),
    may_lack=(".num_batches_tracked",),
    card="""\
# {name}

The model of Fajtl, Argyriou, Monekosso and Remagnino, AMNet: Memorability Estimation with Attention (CVPR 2018), as its
authors published it (https://github.com/ok1zjf/AMNet); the weights are theirs, unchanged.

- Licence: {licence}.
- Trained on: LaMem, by one of its five published splits. Which one is not known here, nor which pictures the model was
  fitted on. So figures on any picture of LaMem are of pictures that the model may have seen: they do not say what it
  is worth on new ones.
- The paper's figures on LaMem, means over the five splits: Spearman 0.677, MSE 0.0082; without attention 0.663, 0.0085.
- Input: the whole picture squashed to 224 x 224 pixels, less ImageNet's mean, over its standard deviation.
- The residual network inside (ResNet-50, up to layer3) is part of the file.
- In config.json, the settings are those of the released code; training there had randomly resized crops too.
""",
)
AMNET_MEAN = replace(
    AMNET,
    settings={**AMNET.settings, "attention": False},
    unused=(*AMNET.unused, "e1.", "eh1.", "eh3."),  # of attention: they are in the file
)


def _of_our_pixels(state: State) -> State:
    """MemNet for pixels in [0, 1], red first, of what was trained on 0 to 255, blue first.

    W (255 p - m) = (255 W) (p - m / 255), so that this is the same function; channels are turned around in both.
    """
    weight, mean = state["conv1.weight"].float(), state["mean"].float()
    return {**state, "conv1.weight": weight.flip(1) * 255, "mean": mean.flip(0) / 255}


MEMNET = Published(
    settings={
        **{"family": "memnet", "track": "images", "target": "score", "input": "data/raw/images"},
        **{"fit": "squash", "resize": 256, "crop": 227, "views": "ten_crop", "mean_picture": "train"},
        **{"output": "linear", "rescale": {"subtract": 0.7626, "times": 2.0, "add": 0.65}},
    },
    trained_on=("lamem",),
    licence="none is given with the weights; they are Khosla et al.'s (memorability.csail.mit.edu)",
    names=(
        *(("trunk.0.", "conv1."), ("trunk.4.", "conv2."), ("trunk.8.", "conv3.")),
        *(("trunk.10.", "conv4."), ("trunk.12.", "conv5.")),
        *(("head.0.", "fc6."), ("head.3.", "fc7."), ("head.6.", "fc8-euclidean.")),
        ("mean_picture", "mean"),
    ),
    apart="mean",
    adapted=_of_our_pixels,
    card="""\
# {name}

The model of Khosla, Raju, Torralba and Oliva, Understanding and Predicting Image Memorability at a Large Scale (ICCV 2015), from
its Caffe weights, converted by whoever imported them. The first layer and the mean picture were brought to pixels in
[0, 1], red first; all else is unchanged.

- Licence: {licence}.
- Trained on: LaMem. Which pictures the model was fitted on is not known here. So figures on any picture of LaMem are of
  pictures that the model may have seen: they do not say what it is worth on new ones.
- Figures: Spearman 0.64 on LaMem (its authors); about 0.565, held out 0.57 (Needell and Bainbridge 2022).
- Input: the whole picture squashed to 256 x 256 pixels, less the mean picture; a score is the mean of ten crops of 227, less
  0.7626, times 2, plus 0.65, within [0, 1].
- In config.json, `mean_picture: train` stands for the file's own mean picture, and what belongs to training stands as
  this project's defaults.
""",
)
PUBLISHED = {"resmem": RESMEM, "amnet": AMNET, "amnet_mean": AMNET_MEAN, "memnet": MEMNET}
