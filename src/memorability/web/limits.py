"""What one request, and all of them together, may take of a server."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from memorability.core.errors import ParamsError
from memorability.media.pictures import MOST_PIXELS


@dataclass(frozen=True)
class Limits:
    """Bounds of a server.

    Args:
        bytes: of a request: a file and the few bytes around it.
        pixels: of a picture.
        seconds: of a clip.
        frame_pixels: of each frame of a clip.
        frames: of a clip, all of them: each has to be decoded, whichever are looked at.
        running: requests that compute at the same time.
        slots: requests that are being sent, wait or compute; one more is answered 503.
        upload_seconds: that a request may take to arrive; it has its slot all the while.

    Raises:
        ParamsError: one is not above 0, or fewer `slots` than `running`.
    """

    bytes: int = 64 * 2**20
    pixels: int = MOST_PIXELS
    seconds: float = 60.0
    frame_pixels: int = 4096 * 2304
    frames: int = 3600
    running: int = 2
    slots: int = 16
    upload_seconds: float = 60.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not value > 0:
                raise ParamsError(f"{name} of a server must be above 0, received {value}")
        if self.slots < self.running:
            raise ParamsError(
                f"slots of a server: received {self.slots}; valid: at least as many as are running, {self.running}"
            )

    def told(self) -> dict[str, Any]:
        """Those that a page checks before it sends a file."""
        return {name: value for name, value in asdict(self).items() if name in ("bytes", "pixels", "seconds")}
