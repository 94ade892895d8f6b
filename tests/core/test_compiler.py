"""torch's compiler stays away until something asks for it; then all of it is there, and compiles what it always does."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from memorability.core import compiler

DEFER = "import sys; from memorability.core import compiler; compiler.defer(); "
TRAINED = """
import torch, torchvision
from lightning_fabric import Fabric
fabric = Fabric(accelerator="cpu")
torch.manual_seed(0)
plain = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 1))
net, adam = fabric.setup(plain, torch.optim.Adam(plain.parameters()))
x = torch.linspace(-1, 1, 8).reshape(4, 2)
fabric.backward(net(x).sum())
adam.step()
adam.zero_grad()
torchvision.models.resnet18()
"""
NOT_LOADED = """
assert not compiler.loaded() and "sympy" not in sys.modules
assert not isinstance(plain, torch._dynamo.OptimizedModule)
"""
ASKED = """
import torch._dynamo.config as config  # a module below it
assert config.suppress_errors is False
from torch._dynamo.utils import is_compile_supported
assert is_compile_supported("cpu") in (True, False)
assert compiler.loaded() and "sympy" in sys.modules
assert torch._dynamo is sys.modules["torch._dynamo"] is compiler.load()
compiler.defer()  # too late: nothing happens
assert compiler.loaded()
"""
DISABLE = (
    "left = torch.compiler.disable(len); assert compiler.loaded() and left is not len and left('ab') == 2"
)
# A step as a whole, in which the compiler has to leave alone some of the optimiser's functions, those among them that
# were called before it came; and a network that Fabric takes for a compiled one.
COMPILED = """
from lightning_fabric.wrappers import OptimizedModule
from torch._dynamo.utils import counters
@torch.compile(backend="eager")
def step():
    net(x).square().sum().backward()
    adam.step()
    adam.zero_grad()
    return adam.param_groups[0]["lr"]
step(); step()
compiled = torch.compile(plain, backend="eager")
assert isinstance(compiled, OptimizedModule) and not isinstance(plain, OptimizedModule)
again, sgd = fabric.setup(compiled, torch.optim.SGD(plain.parameters(), 0.1))
fabric.backward(again(x).sum())
sgd.step()
print({name: dict(counts) for name, counts in counters.items()}, [p.tolist() for p in plain.parameters()])
"""


def output(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return without_lines(done.stdout)


def without_lines(text: str) -> str:
    return re.sub(r"_at_\d+", "", text)


def test_training_needs_no_compiler_and_whoever_compiles_gets_what_it_always_makes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    late = output(DEFER + TRAINED + NOT_LOADED + ASKED + COMPILED)
    import torch._dynamo

    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    exec(TRAINED + COMPILED, {})  # here nothing stands in
    assert compiler.loaded()
    assert late == without_lines(capsys.readouterr().out)
    assert "graph_break" in late  # so something was left alone


def test_a_decorator_of_the_compiler_loads_it() -> None:
    """Whoever asks keeps the answer, so it has to be the right one."""
    output(f"{DEFER} import torch; assert not compiler.loaded()\n{DISABLE}")


def test_with_another_version_of_torch_nothing_stands_in(monkeypatch: pytest.MonkeyPatch) -> None:
    before = list(sys.meta_path)
    monkeypatch.delitem(sys.modules, compiler.COMPILER, raising=False)
    monkeypatch.setattr(compiler, "version", lambda name: "2.16.0")
    compiler.defer()
    assert compiler.COMPILER not in sys.modules
    assert sys.meta_path == before


def test_it_is_proven_for_the_torch_that_is_pinned() -> None:
    """A new pin: see what this file says with it, then put its version in `PROVEN`."""
    lock = Path(__file__).parents[2] / "requirements.lock"
    (pinned,) = re.findall(r"^torch==(\S+)", lock.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert pinned.startswith(compiler.PROVEN)
    assert version("torch").startswith(compiler.PROVEN)


def test_what_is_asked_of_every_module_loads_nothing() -> None:
    standing = compiler._StandIn("torch._dynamo")
    assert inspect.getmodule(standing) is standing
    assert not hasattr(standing, "__warningregistry__")
