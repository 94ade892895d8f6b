"""Features equal torchvision's own network, do not depend on history, and are computed once."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from memorability.core.cache import ContentCache
from memorability.core.errors import BackboneError, DataError
from memorability.core.files import read_json
from memorability.features import backbones, weights
from memorability.features import extractor as module
from memorability.features.extraction import extract
from memorability.features.extractor import Extractor

ARCH = "squeezenet1_1"
LAYER = "features.8"  # [256, 3, 3] of 64 pixels
TRANSFORM = {"resize": 64, "crop": 64, "mean": [0.4, 0.5, 0.6], "std": [0.25, 0.2, 0.3]}
SHARED = Path(os.environ.get("MEMORABILITY_SHARED") or Path(__file__).parents[3] / "shared")
REAL = SHARED / "weights" / "squeezenet1_1_imagenet_features.safetensors"


def save(folder, arch=ARCH, seed=0, headless=False):
    torch.manual_seed(seed)
    net = backbones.build(arch, classes=5)
    last = backbones.ARCHITECTURES[arch].split(".")[0]
    state = {k: v for k, v in net.state_dict().items() if not (headless and k.startswith(f"{last}."))}
    backbones.save(folder, arch=arch, state=state, transform=TRANSFORM, source="file")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save(tmp_path_factory.mktemp("backbones") / "squeeze")


@pytest.fixture(scope="module")
def resnet(tmp_path_factory):
    return save(tmp_path_factory.mktemp("backbones") / "resnet", arch="resnet18")


@pytest.fixture(scope="module")
def extractor(folder):
    return cut(folder)


def cut(folder, *layers, pools=("mean",), dtype="float32", batch_size=4, **options):
    options |= {"dtype": dtype, "batch_size": batch_size, "device": "cpu"}
    return Extractor(folder, layers=layers or [LAYER], pools=pools, **options)


def noise(count, seed=0, side=64):
    pixels = np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    return [Image.fromarray(p) for p in pixels]


def by_hand(folder, pictures, part):
    """`part` of the plain network on the normalised pictures."""
    net, _ = backbones.load(folder, head=False)
    x = torch.from_numpy(np.stack([np.asarray(p) for p in pictures])).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(TRANSFORM[key]).view(3, 1, 1) for key in ("mean", "std"))
    return part(net, (x - mean) / std).detach().numpy()


# The network up to a layer.


def test_pooled_features_equal_the_network_by_hand(folder, extractor):
    pictures = noise(3)
    expected = by_hand(folder, pictures, lambda net, x: net.features[:9](x).mean(dim=(2, 3)))
    found = extractor([extractor.prepare(p) for p in pictures])
    assert found.shape == (3, 256)
    assert found.dtype == np.float32
    assert np.abs(expected).max() > 0.01
    assert np.allclose(found, expected, atol=1e-5)


def test_unpooled_features_keep_their_maps(folder):
    pictures, extractor = noise(2), cut(folder, pools=["none"])
    expected = by_hand(folder, pictures, lambda net, x: net.features[:9](x))
    found = extractor([extractor.prepare(p) for p in pictures])
    assert found.shape == (2, 256, 3, 3)
    assert np.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("pool", ["mean", "none"])
def test_one_pixel_maps_are_flat(resnet, pool):
    extractor, pictures = cut(resnet, "avgpool", pools=[pool]), noise(2)
    expected = by_hand(
        resnet, pictures, lambda net, x: torch.nn.Sequential(*list(net.children())[:-1])(x).flatten(1)
    )
    found = extractor([extractor.prepare(p) for p in pictures])
    assert found.shape == (2, 512)
    assert np.allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_logits_are_a_layer_too(folder):
    extractor, pictures = cut(folder, "classifier"), noise(2)
    found = extractor([extractor.prepare(p) for p in pictures])
    assert np.allclose(found, by_hand(folder, pictures, lambda net, x: net(x)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layer", ["layer3", "layer3.1.bn2"])
def test_a_layer_is_any_module_of_the_network(resnet, layer):
    pictures, extractor = noise(1), cut(resnet, layer, pools=["none"])
    seen = []

    def watch(net, x):
        net.get_submodule(layer).register_forward_hook(lambda module, given, out: seen.append(out.clone()))
        return net(x)

    by_hand(resnet, pictures, watch)
    found = extractor([extractor.prepare(p) for p in pictures])
    assert found.shape == (1, 256, 4, 4)
    assert np.allclose(found, seen[0].detach(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("views", "count"), [("single", 1), ("mirror", 2), ("five_crop", 5), ("ten_crop", 10)]
)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_features_are_averaged_over_views(folder, tmp_path, views, count, dtype):
    state = backbones.load(folder, head=True).net.state_dict()
    transform = TRANSFORM | {"resize": 80}
    backbones.save(tmp_path / "b", arch=ARCH, state=state, transform=transform, source="file")
    pictures, extractor = noise(3, side=80), cut(tmp_path / "b", views=views, dtype=dtype)
    places = [(8, 8)] if count < 5 else [(0, 0), (16, 0), (0, 16), (16, 16), (8, 8)]
    parts = [[p.crop((left, top, left + 64, top + 64)) for p in pictures] for left, top in places]
    if views in ("mirror", "ten_crop"):
        parts += [[part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for part in shown] for shown in parts]
    assert len(parts) == count
    whole = cut(folder)
    each = [whole([whole.prepare(part) for part in shown]) for shown in parts]
    found = extractor([extractor.prepare(p) for p in pictures])
    expected = np.mean(each, axis=0)
    np.testing.assert_allclose(found, expected, rtol=1e-3 if dtype == "float16" else 1e-5, atol=1e-6)
    assert found.dtype == dtype
    if count > 1:
        assert not np.allclose(found, each[-1], rtol=1e-3)


def test_a_mirror_image_has_the_same_features(folder):
    extractor, (picture,) = cut(folder, views="mirror"), noise(1)
    turned = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    one, other = (extractor([extractor.prepare(p)]) for p in (picture, turned))
    np.testing.assert_allclose(one, other, rtol=1e-6)


def test_parts_of_a_picture_that_is_no_larger(folder):
    with pytest.raises(
        BackboneError, match=r"ten_crop are parts of a larger picture, and squeeze has resize and crop of 64"
    ):
        cut(folder, views="ten_crop")


def test_float16(folder, extractor):
    half, pixels = cut(folder, dtype="float16"), [extractor.prepare(p) for p in noise(2)]
    assert half(pixels).dtype == np.float16
    assert np.allclose(half(pixels), extractor(pixels), rtol=1e-3, atol=1e-3)


def too_bright(folder):
    """The backbone with a first layer whose outputs are of the order of a million."""
    state = backbones.load(folder, head=True).net.state_dict()
    state["features.0.weight"] = state["features.0.weight"] * 1e6
    backbones.save(folder, arch=ARCH, state=state, transform=TRANSFORM, source="file")
    return folder


def test_numbers_too_large_for_float16_are_an_error(folder, tmp_path):
    """They would be infinite, and the models that read them of no use."""
    bright = too_bright(save(tmp_path / "bright"))
    half, whole = (cut(bright, "features.0", dtype=dtype) for dtype in ("float16", "float32"))
    pixels = [half.prepare(picture) for picture in noise(2)]
    too_large = int((np.abs(whole(pixels)) > 65_504).sum())
    assert 0 < too_large < 128
    text = rf"layers features\.0 of bright, 2 pictures: {too_large} of 128 numbers are not finite as float16"
    with pytest.raises(DataError, match=text):
        half(pixels)


def test_no_number_too_large_is_kept(folder, tmp_path, run):
    bright = too_bright(save(tmp_path / "bright"))
    half = cut(bright, "features.0", dtype="float16")
    for _ in range(2):
        with pytest.raises(DataError, match=r"layers features\.0 of bright"):
            run(list("ab"), noise(2), by=half)


def test_a_result_does_not_depend_on_its_company(extractor):
    pixels = [extractor.prepare(p) for p in noise(4)]
    together = extractor(pixels)
    assert np.array_equal(extractor(pixels[:1]), together[:1])
    assert np.array_equal(extractor(pixels[:3]), together[:3])


def test_an_unknown_layer_lists_the_valid_ones(folder):
    with pytest.raises(BackboneError, match=r"'layer9' is not in squeezenet1_1; valid: .*features\.8,"):
        cut(folder, "layer9")


@pytest.mark.parametrize("layer", ["classifier", "classifier.1"])
def test_headless_weights_have_no_layer_from_the_head_on(tmp_path, layer):
    headless = save(tmp_path / "b", headless=True)
    assert cut(headless).layers == (LAYER,)
    with pytest.raises(BackboneError, match=f"'{layer}' is not in squeezenet1_1") as error:
        cut(headless, layer)
    assert "classifier" not in str(error.value).split("valid:")[1]


@pytest.mark.skipif(not REAL.is_file(), reason=f"no real weights at {REAL}")
def test_real_weights_of_features_alone(tmp_path):
    state = weights.file_weights(REAL)
    backbones.save(tmp_path / "b", arch=ARCH, state=state, transform=TRANSFORM, source="file")
    assert read_json(tmp_path / "b" / "config.json")["headless"]
    extractor, pictures = cut(tmp_path / "b", "features"), noise(3)
    found = extractor([extractor.prepare(p) for p in pictures])
    assert found.shape == (3, 512)
    expected = by_hand(tmp_path / "b", pictures, lambda net, x: net.features(x).mean(dim=(2, 3)))
    assert np.allclose(found, expected, atol=1e-4)
    assert found.std(axis=0).max() > 0


# The namespace: all that the numbers depend on.


def test_namespaces_differ_where_results_may(folder, tmp_path):
    other = save(tmp_path / "squeeze", seed=1)
    made = [
        cut(folder),
        cut(folder, "features.7"),
        cut(folder, LAYER, "features.7"),
        cut(folder, "features.7", LAYER),
        cut(folder, pools=["none"]),
        cut(folder, pools=["max"]),
        cut(folder, pools=["mean", "max"]),
        cut(folder, views="mirror"),
        cut(folder, dtype="float16"),
        cut(folder, batch_size=5),
        cut(other),
    ]
    assert len({extractor.namespace() for extractor in made}) == len(made)


def test_what_else_the_bits_depend_on_is_part_of_the_namespace(folder, monkeypatch):
    """Else numbers of another decoding, or computed in another way, would be taken for these."""
    extractor = cut(folder)
    seen = {extractor.namespace()}

    def differs():
        before = len(seen)
        seen.add(extractor.namespace())
        return len(seen) == before + 1

    assert not differs()
    for name, value in (("VERSION", module.VERSION + 1), ("LAYOUT", "another")):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, value)
            assert differs(), name
    with monkeypatch.context() as patch:
        patch.setattr(torch, "get_num_threads", lambda: 7)
        assert differs(), "threads"
    with monkeypatch.context() as patch:
        patch.setattr(module.kernels, "setting", lambda: "others")
        assert differs(), "kernels"
    extractor.device = torch.device("cuda")
    assert differs(), "device"
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)  # of the CPU, which computes nothing there
    assert not differs()


def test_how_pictures_are_fitted_is_part_of_the_namespace(folder, tmp_path):
    torch.manual_seed(0)
    state, made = backbones.load(folder, head=True).net.state_dict(), []
    for change in (
        {"fit": "squash"},
        {"fit": "shorter_side"},
        {"interpolation": "bicubic"},
        {"resize": 65},
        {"crop": 60},
        {"mean": [0.5] * 3},
    ):
        other = tmp_path / str(len(made))
        backbones.save(other, arch=ARCH, state=state, transform=TRANSFORM | change, source="file")
        made.append(cut(other).namespace())
    assert len({*made, cut(folder).namespace()}) == len(made)  # squash is the default


def test_the_name_of_a_backbone_is_no_part_of_the_namespace(folder, tmp_path):
    assert cut(save(tmp_path / "renamed")).namespace() == cut(folder).namespace()
    assert cut(tmp_path / "renamed").describe()["backbone"]["name"] == "renamed"


# Whole tracks.


@pytest.fixture
def run(extractor, tmp_path):
    """Extracts pictures by index into a fresh folder; returns the features and how many were computed."""
    count = iter(range(1000))

    def run(keys, pictures, cache="cache", by=extractor):
        out = tmp_path / f"out{next(count)}"
        out.mkdir()
        load = pictures.__getitem__ if isinstance(pictures, list) else pictures
        cache_root = tmp_path / cache
        computed = extract(keys, load, by, out=out, cache_root=cache_root, threads=2)
        assert read_json(out / "config.json") == by.describe()
        return np.load(out / "features.npy"), computed

    return run


def test_bits_do_not_depend_on_what_was_computed_before(run):
    pictures, keys = noise(8), list("abcdefgh")
    run(keys[:5], pictures[:5])
    grown, computed = run(keys, pictures)
    whole, all_computed = run(keys, pictures, cache="empty")
    assert (computed, all_computed) == (3, 8)
    assert grown.tobytes() == whole.tobytes()
    turned, _ = run(keys[::-1], pictures[::-1], cache="third")
    assert turned[::-1].tobytes() == whole.tobytes()


def test_maps_come_out_of_the_cache_in_shape(run, folder):
    pictures, keys, by = noise(3), list("abc"), cut(folder, pools=["none"], dtype="float16")
    first, _ = run(keys, pictures, by=by)
    second, computed = run(keys, pictures, by=by)
    assert computed == 0
    assert first.shape == (3, 256, 3, 3)
    assert first.dtype == np.float16
    assert np.array_equal(first, second)


def test_adding_20_to_320_computes_20(run, folder):
    pictures, keys, by = noise(340, side=8), [f"k{i}" for i in range(340)], cut(folder, batch_size=32)
    opened = []

    def picture(i):
        opened.append(i)
        return pictures[i]

    assert run(keys[:320], picture, by=by)[1] == 320
    assert sorted(opened) == list(range(320))
    opened.clear()
    assert run(keys, picture, by=by)[1] == 20
    assert sorted(opened) == list(range(320, 340))
    assert run(keys, picture, by=by)[1] == 0


def test_equal_contents_are_computed_once(run, extractor):
    pictures = noise(3)
    opened = []

    def picture(i):
        opened.append(i)
        return pictures["abc".index("abacab"[i])]

    found, computed = run(list("abacab"), picture)
    assert computed == len(opened) == 3
    expected = extractor([extractor.prepare(p) for p in pictures])
    assert np.array_equal(found, expected[[0, 1, 0, 2, 0, 1]])


def flipped(content, value):
    place = content.index(value) + len(value) // 2
    return content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]


@pytest.mark.parametrize(
    ("damage", "again"),
    [
        (flipped, 1),
        (lambda content, value: content[: len(content) // 2], None),
        (lambda content, value: b"garbage" * 1000, 8),
    ],
    ids=["a flipped bit", "half a file", "garbage"],
)
def test_what_is_damaged_in_the_cache_is_computed_again(run, extractor, tmp_path, damage, again):
    pictures, keys = noise(8), list("abcdefgh")
    whole, _ = run(keys, pictures)
    path = tmp_path / "cache" / f"{extractor.namespace()}.sqlite"
    path.write_bytes(damage(path.read_bytes(), whole[3].tobytes()))
    found, computed = run(keys, pictures)
    assert computed == again if again else computed > 0
    assert np.array_equal(found, whole)
    assert run(keys, pictures)[1] == 0


def test_values_of_another_size_are_not_taken(run, extractor, tmp_path):
    pictures, keys = noise(3), list("abc")
    whole, _ = run(keys, pictures)
    cache = ContentCache(tmp_path / "cache", extractor.namespace())
    cache.put([("b", b"short")])
    cache.close()
    found, computed = run(keys, pictures)
    assert computed == 1
    assert np.array_equal(found, whole)


def test_no_pictures_make_an_empty_array(run):
    found, computed = run([], [])
    assert found.shape == (0, 256)
    assert computed == 0


def test_what_was_computed_before_an_error_is_kept(run):
    pictures, keys = noise(8), list("abcdefgh")

    def picture(i):
        if i == 7:
            raise DataError("h: cannot be decoded")
        return pictures[i]

    with pytest.raises(DataError, match="h: cannot be decoded"):
        run(keys, picture)
    assert run(keys, pictures)[1] == 4


def test_a_network_of_clips_gives_no_features_of_pictures(folder, monkeypatch):
    net, config = backbones.load(folder, head=False)
    of_clips = backbones.Network(net, config | {"arch": "r3d_18"})
    monkeypatch.setattr(backbones, "load", lambda folder, head: of_clips)
    with pytest.raises(BackboneError, match="r3d_18 reads clips"):
        cut(folder)
