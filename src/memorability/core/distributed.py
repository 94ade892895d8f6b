"""Where tensors are computed: the device, and several processes at one piece of work, as `torchrun` starts them.

Every process holds a whole copy of the network and works on its share of each batch; gradients are
averaged before every update, so that all copies stay equal. That happens in `optim.descend` and not
inside a wrapped network, because a step may run its networks as often and in whatever order it likes
(a GAN, a gradient penalty): the update is the one place that all steps share.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, distributed, nn

from memorability.core.runtime import Precision, rank, world

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Item = TypeVar("Item")


def fabric(*, precision: Precision, threads: int, deterministic: bool = True) -> Fabric:
    """A launched Fabric on the GPU if there is one, else the CPU.

    Under `torchrun` it is one of the processes that `torchrun` started.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts
    from lightning_fabric import Fabric  # seconds, which a process without training need not wait

    torch.set_num_threads(threads)
    full_precision()
    # A few CUDA kernels have no deterministic form; there a warning says so. `use_deterministic_algorithms` does the same
    # and loads torch's compiler.
    torch.set_deterministic_debug_mode("warn" if deterministic else "default")
    # Of attention's kernels for a GPU all but the plain one add in an order that changes.
    attention = torch.backends.cuda
    for in_any_order in (
        attention.enable_cudnn_sdp,
        attention.enable_mem_efficient_sdp,
        attention.enable_flash_sdp,
    ):
        in_any_order(not deterministic)
    here = int(os.environ.get("LOCAL_WORLD_SIZE", world()))
    fabric = Fabric(
        accelerator="auto",
        devices=here,
        num_nodes=world() // here,
        strategy=_replicas() if world() > 1 else "auto",
        precision=precision,
    )
    fabric.launch()
    return fabric


def device(*, threads: int) -> torch.device:
    """The GPU if there is one, else the CPU, for work that trains nothing; of several processes, this one's own."""
    torch.set_num_threads(threads)
    full_precision()
    if world() > 1:
        return fabric(precision="32-true", threads=threads, deterministic=False).device
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def full_precision() -> None:
    """Convolutions and LSTMs on a GPU with all of float32's 23 bits, where they would take 10 (TF32).

    A model is often asked on a CPU what it was trained for on a GPU, and has to give the same.
    """
    torch.backends.cudnn.allow_tf32 = False


def told(text: str, *, device: torch.device) -> str:
    """The first process's text, on every process."""
    if world() == 1:
        return text
    texts = [text]
    distributed.broadcast_object_list(texts, src=0, device=device)
    return texts[0]


def _replicas() -> Any:
    """Fabric's strategy of equal copies, without its wrapper around the network (see above)."""
    from lightning_fabric.strategies.ddp import DDPStrategy

    class Replicas(DDPStrategy):
        def setup_module(self, module: nn.Module) -> Any:
            return module

    return Replicas()


def share(items: Sequence[Item]) -> Sequence[Item]:
    """What this process does of the items: every `world`-th one."""
    return items[rank() :: world()]


def wait(device: torch.device) -> None:
    """Until every process is here."""
    any_of(False, device)


def any_of(wish: bool, device: torch.device) -> bool:
    """Whether any process says so; all get the same answer."""
    if world() == 1:
        return wish
    flag = torch.tensor(float(wish), device=device)
    distributed.all_reduce(flag, op=distributed.ReduceOp.MAX)
    return bool(flag.item())  # reading it waits for the device, as the message alone would not


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replaces gradients by their mean over the processes, in one message for each kind of number."""
    if world() == 1:
        return
    by_type: dict[torch.dtype, list[Tensor]] = {}
    for parameter in parameters:
        if parameter.grad is not None:
            by_type.setdefault(parameter.grad.dtype, []).append(parameter.grad)
    for gradients in by_type.values():
        message = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(message)
        parts = torch.split(message.div_(world()), [gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))


def average_buffers(net: nn.Module) -> None:
    """Replaces running statistics (of batch norm) by their mean over the processes' shares of the batches.

    Of those that training changes alone: a mean of equal numbers is not always that number.
    """
    if world() == 1:
        return
    for module in net.modules():
        if module.training and isinstance(module, nn.modules.batchnorm._BatchNorm):
            for buffer in (module.running_mean, module.running_var):
                if buffer is not None:
                    distributed.all_reduce(buffer)
                    buffer /= world()


def mean(value: Tensor) -> Tensor:
    """The mean of a tensor over the processes."""
    if world() > 1:
        value = value.clone()
        distributed.all_reduce(value)
        value /= world()
    return value


def joined(part: Tensor, total: int) -> Tensor:
    """All results in order, [total, ...], from the ones of this process's `share`, on every process.

    There must be at least as many items as processes.
    """
    if world() == 1:
        return part
    each = -(-total // world())
    padded = part.new_zeros((each, *part.shape[1:]))
    padded[: len(part)] = part
    parts = [torch.empty_like(padded) for _ in range(world())]
    distributed.all_gather(parts, padded)
    return torch.stack(parts, dim=1).flatten(0, 1)[:total]


def interleaved(part: list[Item]) -> list[Item]:
    """As `joined`, for anything and however few."""
    if world() == 1:
        return part
    parts: list[list[Item]] = [[] for _ in range(world())]
    distributed.all_gather_object(parts, part)
    return [item for turn in zip_longest(*parts, fillvalue=None) for item in turn if item is not None]
