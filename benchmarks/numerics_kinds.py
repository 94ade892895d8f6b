"""The kinds of computing that benchmarks/numerics.py hashes.

Each begins with seeds of its own, so that it does not matter which others run, and gives what it computed.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import av
import numpy as np
import scipy.linalg
import torch
import torchvision
from PIL import Image
from scipy import stats
from sklearn.decomposition import PCA
from sklearn.linear_model import RidgeCV
from sklearn.svm import SVR
from torch import Tensor, nn

from memorability.media import pictures, video

Array = np.ndarray
Parts = Iterable[Array | bytes]

STEPS = 20


def _trained(net: nn.Module, x: Tensor, *, steps: int = STEPS) -> list[Array]:
    """Every weight of a network after some steps of Adam."""
    y = torch.rand(len(x), generator=torch.Generator().manual_seed(2))
    optimiser = torch.optim.Adam(net.parameters(), 1e-3)
    for _ in range(steps):
        optimiser.zero_grad()
        said = net(x)
        said = said[0] if isinstance(said, tuple) else said
        (said.flatten(1).mean(1) - y).square().mean().backward()
        optimiser.step()
    return [value.detach().numpy() for value in net.state_dict().values()]


def _input(*shape: int) -> Tensor:
    """Random numbers; seeds the network that is built next as well."""
    torch.manual_seed(0)
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1))


def conv() -> Parts:
    """In the channels-last layout, with grouped convolutions and normalisation across channels, as AlexNet has them."""
    x = _input(16, 3, 67, 67)
    net = nn.Sequential(
        *(nn.Conv2d(3, 48, 7, 2), nn.ReLU(), nn.LocalResponseNorm(5), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(48, 96, 5, padding=2, groups=2), nn.BatchNorm2d(96), nn.ReLU(), nn.Flatten()),
        *(nn.Linear(96 * 15 * 15, 128), nn.Sigmoid(), nn.Dropout(0.5), nn.Linear(128, 1)),
    )
    last = torch.channels_last
    return _trained(net.to(memory_format=last), x.to(memory_format=last))


def conv3d() -> Parts:
    x = _input(8, 3, 8, 32, 32)
    net = nn.Sequential(
        *(nn.Conv3d(3, 16, 3, padding=1), nn.BatchNorm3d(16), nn.ReLU(), nn.MaxPool3d((1, 2, 2))),
        *(nn.Conv3d(16, 32, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool3d(1)),
        *(nn.Flatten(), nn.Linear(32, 1)),
    )
    return _trained(net, x)


def linear() -> Parts:
    x = _input(128, 2048)
    net = nn.Sequential(nn.Linear(2048, 1024), nn.Tanh(), nn.LayerNorm(1024), nn.Linear(1024, 1))
    return _trained(net, x, steps=2 * STEPS)


def lstm() -> Parts:
    x = _input(32, 8, 512)
    return _trained(nn.LSTM(512, 256, num_layers=2, dropout=0.5, batch_first=True), x)


def unet() -> Parts:
    """An encoder and a decoder of the blocks of pix2pix and of diffusion models."""
    x = _input(16, 3, 64, 64)
    net = nn.Sequential(
        *(nn.Conv2d(3, 32, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(32, 64, 4, 2, 1), nn.InstanceNorm2d(64)),
        *(nn.ReLU(), nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(64, 32, 3, padding=1)),
        *(nn.GroupNorm(8, 32), nn.SiLU(), nn.ConvTranspose2d(32, 3, 4, 2, 1), nn.Tanh()),
    )
    return _trained(net, x)


def attention() -> Parts:
    x = _input(16, 32, 128)
    net = nn.TransformerEncoderLayer(128, 4, 256, dropout=0.1, batch_first=True)
    return _trained(net, x, steps=3 * STEPS)


def features() -> Parts:
    """Of a frozen ResNet-18 with random weights, batches of 32."""
    x = _input(96, 3, 67, 67).to(memory_format=torch.channels_last)
    net = torchvision.models.resnet18().eval().to(memory_format=torch.channels_last)
    with torch.inference_mode():
        return [net(part).numpy() for part in torch.split(x, 32)]


def _table() -> tuple[Array, Array]:
    """Features [1200, 512] and scores [1200]."""
    rng = np.random.default_rng(0)
    x = rng.random((1200, 512))
    return x, x[:, :20].mean(axis=1) + 0.1 * rng.random(len(x))


def ridge() -> Parts:
    x, y = _table()
    found = RidgeCV(np.logspace(-2, 4, 7)).fit(x, y)
    return [found.coef_, found.predict(x)]


def svr() -> Parts:
    x, y = _table()
    found = SVR(C=1.0, epsilon=0.01).fit(x, y)
    return [found.dual_coef_, found.predict(x)]


def pca() -> Parts:
    return [PCA(64, svd_solver="full").fit_transform(_table()[0])]


def svd() -> Parts:
    return np.linalg.svd(_table()[0], full_matrices=False)


def solve() -> Parts:
    x, y = _table()
    gram, right = x.T @ x + np.eye(x.shape[1]), x.T @ y
    return [np.linalg.solve(gram, right), scipy.linalg.solve(gram, right, assume_a="pos")]


def functions() -> Parts:
    """Of single numbers, in both precisions; on a processor without AVX-512 the C library computes some of them."""
    x = _table()[0]
    chosen: tuple[np.ufunc, ...] = (np.exp, np.log, np.sin, np.tanh, np.sqrt)
    return [function(x.astype(kind)) for kind in (np.float64, np.float32) for function in chosen]


def sums() -> Parts:
    x = _table()[0]
    narrow = x.astype(np.float32)
    return [
        x.sum(axis=1),
        x.std(axis=0),
        narrow.mean(axis=1),
        narrow.var(axis=0),
        np.einsum("ij,ij->i", x, x),
    ]


def ranks() -> Parts:
    """Spearman on bootstrap samples, and its interval."""
    x, y = _table()
    rows = np.random.default_rng(3).integers(0, len(y), (500, len(y)))
    one, other = (stats.rankdata(values[rows], axis=1) for values in (x[:, 0], y))
    one, other = (side - side.mean(axis=1, keepdims=True) for side in (one, other))
    rho = (one * other).sum(axis=1) / np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))
    return [rho, np.quantile(rho, [0.025, 0.975])]


def _scene() -> Array:
    """A picture, uint8 [240, 320, 3], by whole numbers alone."""
    y, x = np.mgrid[0:240, 0:320]
    red, green, blue = (x * y // 97) % 256, (x * 3 + y) % 256, (x // 40 + y // 30) % 2 * 200
    return np.stack([red, green, blue], axis=2).astype(np.uint8)


def jpeg() -> Parts:
    """Written and read by Pillow, then resized as networks take it."""
    stream = io.BytesIO()
    Image.fromarray(_scene()).save(stream, "JPEG", quality=90)
    picture = pictures.decode(stream.getvalue())
    small = picture.resize((67, 67), Image.Resampling.BILINEAR)
    return [stream.getvalue(), picture.tobytes(), small.tobytes()]


def _write_clip(path: Path) -> None:
    """As the demo's clips are encoded."""
    with av.open(str(path), "w", format="webm", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libvpx", rate=10, options={"deadline": "realtime", "cpu-used": "4"})
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 320, 240, "yuv420p", 200_000
        stream.codec_context.thread_count = 1
        stream.codec_context.flags |= av.codec.context.Flags.bitexact
        for shift in range(20):
            picture = np.ascontiguousarray(np.roll(_scene(), 4 * shift, axis=1))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def clip() -> Parts:
    """The file that is encoded, and the frames that the bundled ffmpeg takes from it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "clip.webm")
        _write_clip(path)
        frames = video.sample(video.url(path), video.Sampling("evenly", count=5), name="clip").frames
        return [path.read_bytes(), *frames]


KINDS: dict[str, Callable[[], Parts]] = {
    one.__name__: one
    for one in (
        *(conv, conv3d, linear, lstm, unet, attention, features),
        *(ridge, svr, pca, svd, solve, functions, sums, ranks, jpeg, clip),
    )
}
