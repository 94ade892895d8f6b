"""Backbones from Places365's published checkpoints: files of Python 2.7 and torch 0.2, 365 categories."""

from __future__ import annotations

import pickle
import re
import struct
from collections import OrderedDict

import pytest
import torch
import torchvision

from memorability.core.settings import checked
from memorability.features import backbones, weights
from memorability.training.backbone_settings import Backbone

TRANSFORM = {"fit": "squash", "resize": 256, "crop": 224}
NAMES = {  # some of the published ones
    "resnet18": ("module.conv1.weight", "module.layer1.0.bn2.running_var", "module.fc.bias"),
    "densenet161": (
        "module.features.norm0.weight",
        "module.features.denseblock1.denselayer1.norm.1.running_mean",
        "module.features.denseblock4.denselayer24.conv.2.weight",
        "module.features.transition3.norm.bias",
    ),
}


class Storage:
    """The numbers of a tensor, which torch writes after what it pickles."""

    def __init__(self, tensor):
        self.numbers = tensor.contiguous()


class OldPickler(pickle._Pickler):
    """As Python 2.7 and torch 0.2: texts as bytes, ordered dicts as pairs, tensors on the GPU they came from."""

    def __init__(self, stream):
        super().__init__(stream, protocol=2)
        self.storages = list[Storage]()

    def save_text(self, text):
        self.write(b"U" + bytes([len(text)]) + text.encode())
        self.memoize(text)

    dispatch = pickle._Pickler.dispatch | {str: save_text}

    def reducer_override(self, value):
        if isinstance(value, OrderedDict):
            return OrderedDict, ([[key, value] for key, value in value.items()],)
        if isinstance(value, torch.Tensor):
            shape = tuple(value.shape)
            return torch._utils._rebuild_tensor, (Storage(value), 0, shape, value.contiguous().stride())
        return NotImplemented

    def persistent_id(self, value):
        if not isinstance(value, Storage):
            return None
        self.storages.append(value)
        key = f"{len(self.storages) - 1:04}"
        return "storage", torch.FloatStorage, key, "cuda:0", value.numbers.numel(), None


def save_as_of_old(value, path):
    with path.open("wb") as stream:
        for head in (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True}):
            pickle.dump(head, stream, protocol=2)
        pickler = OldPickler(stream)
        pickler.dump(value)
        pickle.dump([f"{key:04}" for key in range(len(pickler.storages))], stream, protocol=2)
        for storage in pickler.storages:
            stream.write(struct.pack("<q", storage.numbers.numel()) + storage.numbers.numpy().tobytes())


def old_name(arch, key):
    """As torchvision of 2017 had it, of training on several devices."""
    return "module." + (re.sub(r"\b(norm|conv)([12])\.", r"\1.\2.", key) if arch == "densenet161" else key)


@torch.inference_mode()
@pytest.mark.parametrize("arch", NAMES)
def test_a_backbone_from_a_published_checkpoint(arch, tmp_path):
    torch.manual_seed(0)
    net = torchvision.models.get_model(arch, weights=None, num_classes=365).eval()
    known = ((key, value) for key, value in net.state_dict().items() if "num_batches" not in key)
    state = OrderedDict((old_name(arch, key), value) for key, value in known)
    assert set(NAMES[arch]) <= set(state)
    checkpoint = {"epoch": 90, "arch": arch, "state_dict": state, "best_prec1": 54.65}
    save_as_of_old(checkpoint, tmp_path / "places365.pth.tar")

    given = {
        "arch": arch,
        "source": "file",
        "path": str(tmp_path / "places365.pth.tar"),
        "transform": TRANSFORM,
    }
    block = checked(Backbone, given, at="backbones.places365")
    backbones.save(
        tmp_path / "places365",
        arch=block.arch,
        state=weights.file_weights(block.path),
        transform=block.transform.model_dump(mode="json"),
        source=block.source,
    )
    found = backbones.load(tmp_path / "places365", head=True)
    assert (found.config["classes"], found.config["headless"]) == (365, False)
    assert {key: found.config["transform"][key] for key in TRANSFORM} == TRANSFORM
    assert found.config["transform"]["mean"] == pytest.approx([0.485, 0.456, 0.406])
    pictures = torch.rand(2, 3, 64, 64)
    assert torch.equal(found.net(pictures), net(pictures))
