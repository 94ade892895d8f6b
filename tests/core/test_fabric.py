"""Where tensors are computed, and how: threads, determinism, precision."""

from __future__ import annotations

import torch

from memorability.core import distributed


def test_fabric_is_deterministic_at_the_given_threads():
    made = distributed.fabric(precision="32-true", threads=1)
    assert torch.get_num_threads() == 1
    assert torch.are_deterministic_algorithms_enabled()
    assert made.world_size == 1


def test_fabric_takes_the_precision():
    made = distributed.fabric(precision="bf16-mixed", threads=1)
    net, _ = made.setup(net := torch.nn.Linear(3, 2), torch.optim.SGD(net.parameters(), lr=0.1))
    assert net.module.weight.dtype == torch.float32
    with made.autocast():
        x = torch.ones(1, 3, device=made.device)
        assert (x @ torch.ones(3, 1, device=made.device)).dtype == torch.bfloat16


def test_what_trains_nothing_takes_the_same_device_and_threads():
    place = distributed.device(threads=1)
    assert place.type == distributed.fabric(precision="32-true", threads=1).device.type
    assert torch.get_num_threads() == 1


def test_a_process_alone_has_all_there_is():
    place = torch.device("cpu")
    assert distributed.share([1, 2, 3]) == [1, 2, 3]
    assert distributed.told("here", device=place) == "here"
    assert distributed.any_of(True, place)
    assert not distributed.any_of(False, place)


def test_a_gpu_computes_convolutions_with_all_bits_and_attention_in_one_order():
    torch.backends.cudnn.allow_tf32 = True
    distributed.device(threads=1)
    assert not torch.backends.cudnn.allow_tf32
    try:
        for fixed in (True, False):
            distributed.fabric(precision="32-true", threads=1, deterministic=fixed)
            assert torch.backends.cuda.math_sdp_enabled()
            assert torch.backends.cuda.flash_sdp_enabled() is not fixed
            assert torch.backends.cuda.mem_efficient_sdp_enabled() is not fixed
    finally:
        distributed.fabric(precision="32-true", threads=1)
