"""How every stage starts and ends."""

from __future__ import annotations

import sys
from collections.abc import Callable

from memorability.core import runtime
from memorability.core.errors import MemorabilityError
from memorability.experiments.start import started


def run(stage: str, main: Callable[..., None], *, together: bool = False) -> None:
    """Runs a stage with params and the names given on the command line; a user's error is one text.

    Under `torchrun` a stage that works `together` runs in every process, any other in the first one.
    """
    names = sys.argv[1:]
    if not together:
        if runtime.rank() > 0:
            return
        runtime.leave_the_others()
    try:
        with started("@".join([stage, *names])) as params:
            main(params, *names)
    except MemorabilityError as error:
        sys.exit(f"{stage}: {type(error).__name__}: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
