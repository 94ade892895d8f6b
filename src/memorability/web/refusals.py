"""Why a request is not answered with what it asks for: each with its HTTP status and a reason to be read."""

from __future__ import annotations

from memorability.core.errors import MemorabilityError


class Refusal(MemorabilityError):
    """A request that is refused; `status` is of HTTP."""

    status = 422  # it is media, but damaged or of a kind that the model cannot read


class Unknown(Refusal):
    """There is no such model."""

    status = 404


class NoMedia(Refusal):
    """The file is neither a picture nor a clip."""

    status = 415


class TooLarge(Refusal):
    """More bytes, pixels, frames or seconds than the server takes."""

    status = 413


class TooSlow(Refusal):
    """The request did not arrive in time."""

    status = 408


class FromElsewhere(Refusal):
    """The page of another site has sent it."""

    status = 403


class Busy(Refusal):
    """As many requests as the server takes are inside; `after`: seconds until one may be done."""

    status = 503

    def __init__(self, after: int) -> None:
        super().__init__(f"the server is busy; try again in {after} s")
        self.after = after


class Gone(Refusal):
    """Whoever sent the request does not wait for its answer."""

    status = 499
