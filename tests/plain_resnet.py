"""Residual networks of bottlenecks (He et al. 2016) written out: no module and nothing of ours, tensors by torchvision's names."""

from __future__ import annotations

from torch.nn import functional as F


def norm(state, name, x):
    mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
    return F.batch_norm(x, mean, var, state[f"{name}.weight"], state[f"{name}.bias"])


def bottleneck(state, name, x, stride):
    out = F.relu(norm(state, f"{name}.bn1", F.conv2d(x, state[f"{name}.conv1.weight"])))
    out = F.conv2d(out, state[f"{name}.conv2.weight"], stride=stride, padding=1)
    out = F.relu(norm(state, f"{name}.bn2", out))
    out = norm(state, f"{name}.bn3", F.conv2d(out, state[f"{name}.conv3.weight"]))
    if f"{name}.downsample.0.weight" in state:
        x = F.conv2d(x, state[f"{name}.downsample.0.weight"], stride=stride)
        x = norm(state, f"{name}.downsample.1", x)
    return F.relu(out + x)


def resnet_places(state, prefix, x, *, blocks):
    """What comes out of the last of the stages, of which `blocks` says how many blocks each has."""
    x = F.conv2d(x, state[f"{prefix}conv1.weight"], stride=2, padding=3)
    x = F.max_pool2d(F.relu(norm(state, f"{prefix}bn1", x)), 3, 2, padding=1)
    for stage, count in enumerate(blocks, start=1):
        for block in range(count):
            stride = 2 if stage > 1 and block == 0 else 1
            x = bottleneck(state, f"{prefix}layer{stage}.{block}", x, stride)
    return x


def resnet_logits(state, prefix, x, *, blocks):
    x = resnet_places(state, prefix, x, blocks=blocks)
    return F.linear(x.mean(dim=(2, 3)), state[f"{prefix}fc.weight"], state[f"{prefix}fc.bias"])
