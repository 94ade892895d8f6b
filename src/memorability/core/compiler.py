"""torch's compiler, loaded when something compiles and not before: half of the time in which a process that trains starts.

Fabric, torchvision and torch's optimisers each name a thing or two of `torch._dynamo` that do nothing where nothing is
compiled, and so load all of it: Inductor, SymPy, distributed tensors, some 3 CPU s a stage (docs/performance.md). A
process that calls `defer` first has stand-ins for just these names, which do what the compiler's own do where nothing
is compiled. Anything else that is asked of the compiler loads it, as `torch.compile` does, and it then works as
though it had been there from the start.

Since this relies on what torch does within, it is done for the versions that the tests have shown it for, and with
any other one not at all: everything works then, and starts as slowly as torch does.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import version
from types import ModuleType
from typing import Any

PROVEN = ("2.15.",)  # tests/core/test_compiler.py compares the stand-ins with the compiler itself
COMPILER, UTILS = "torch._dynamo", "torch._dynamo.utils"


def defer() -> None:
    """Puts the stand-ins in place, unless the compiler is there. For whoever starts a process, not for libraries."""
    if COMPILER in sys.modules or not version("torch").startswith(PROVEN):
        return
    offered = {"disable": _disable, "graph_break": _nothing, "OptimizedModule": Compiled}
    sys.modules[COMPILER] = _StandIn(COMPILER, **offered)
    sys.modules[UTILS] = _StandIn(UTILS, is_compile_supported=_is_compile_supported)
    sys.meta_path.insert(0, _Finder())


def loaded() -> bool:
    """Whether the compiler itself is there."""
    return not isinstance(sys.modules.get(COMPILER, _StandIn("")), _StandIn)


def load() -> ModuleType:
    """The compiler itself. Functions that it has to leave alone are brought before it again, when they are next called."""
    for name in (COMPILER, UTILS):
        if isinstance(sys.modules.get(name), _StandIn):
            del sys.modules[name]
    while _left_alone:
        vars(_left_alone.pop()).pop("__dynamo_disable", None)
    return importlib.import_module(COMPILER)


class _StandIn(ModuleType):
    """A module of the compiler with a few of its names; any other one loads it."""

    def __init__(self, name: str, **offered: Any) -> None:
        super().__init__(name)
        self.__path__: list[str] = []  # a package: what is below it is asked of `_Finder`
        self.__file__ = None
        vars(self).update(offered)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # of modules as such, which `inspect` asks of all that are loaded
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        load()
        return getattr(importlib.import_module(self.__name__), name)


class _Finder(MetaPathFinder):
    """Any module below the compiler: it is loaded as a whole, and then has that one."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(f"{COMPILER}.") or loaded():
            return None
        load()
        return ModuleSpec(fullname, _Loaded(importlib.import_module(fullname)))


class _Loaded(Loader):
    """Hands out a module that has been loaded meanwhile."""

    def __init__(self, module: ModuleType) -> None:
        self.module, self.spec = module, module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.spec


class _Instances(type):
    def __instancecheck__(cls, value: object) -> bool:
        return loaded() and isinstance(value, load().OptimizedModule)


class Compiled(metaclass=_Instances):
    """What `isinstance` takes compiled networks for; nothing is one before the compiler is loaded."""


_left_alone = list[Any]()


def _disable(*given: Any, **how: Any) -> Callable[..., Any]:
    """`torch._dynamo.disable`, which only has a meaning within what is compiled.

    Only for `torch._compile._disable_dynamo`, which keeps the answer as `__dynamo_disable` of the function, where
    `load` can take it back. A decorator's answer is kept by whoever asked, so it has to be the compiler's own.
    """
    if len(given) == 2 and how == {"wrapping": False}:
        _left_alone.append(given[0])
        return given[0]
    return load().disable(*given, **how)


def _nothing(*reason: Any, **more: Any) -> None:
    """`torch._dynamo.graph_break`, which only has a meaning within what is compiled."""


def _is_compile_supported(device_type: str) -> bool:
    load()
    return bool(importlib.import_module(UTILS).is_compile_supported(device_type))
