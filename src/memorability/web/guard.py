"""What stands before the application: bounds on requests, and the headers of all answers."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from memorability.web.limits import Limits
from memorability.web.refusals import Busy, FromElsewhere, Refusal, TooLarge, TooSlow
from memorability.web.work import Workers

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
}
ELSEWHERE: Final = ("cross-site", "same-site")  # what browsers say of a request from another origin


def answer(refusal: Refusal) -> JSONResponse:
    headers = {"Retry-After": str(refusal.after)} if isinstance(refusal, Busy) else None
    return JSONResponse({"detail": str(refusal)}, status_code=refusal.status, headers=headers)


class Guard:
    """Gives each request that computes a slot before anything of its body is read, and bounds that body.

    The body of one that is refused is still taken from the line, and dropped, since most clients do not read an answer
    before they have sent everything; no longer than a body within bounds may take.
    """

    def __init__(self, app: ASGIApp, *, limits: Limits, workers: Workers) -> None:
        self._app, self._limits, self._workers = app, limits, workers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        send = _with_headers(scope["path"], send)
        if scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        try:
            self._check(Headers(scope=scope))
            with self._workers.slot():
                body = _Body(receive, self._limits)
                await self._app(scope, body.receive, body.unless_refused(send))
                if body.refusal is not None:
                    raise body.refusal
        except Refusal as refusal:
            await self._drop(receive)
            await answer(refusal)(scope, receive, send)

    def _check(self, headers: Headers) -> None:
        if headers.get("sec-fetch-site") in ELSEWHERE:
            raise FromElsewhere(
                "sent by the page of another site; valid: by this server's own, or by a program"
            )
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > self._limits.bytes:
            raise _too_large(int(length), self._limits)

    async def _drop(self, receive: Receive) -> None:
        left = self._limits.bytes
        with suppress(TimeoutError):
            async with asyncio.timeout(self._limits.upload_seconds):
                while left > 0:
                    message = await receive()
                    left -= len(message.get("body", b""))
                    if not message.get("more_body", False):
                        return


class _Body:
    """A request's body within bounds, whatever its headers say; `refusal` is why no more of it is read.

    What the application answers then, which knows of an end of its input alone, is not sent.
    """

    def __init__(self, receive: Receive, limits: Limits) -> None:
        self.refusal: Refusal | None = None
        self._receive, self._limits = receive, limits
        self._total, self._whole = 0, False
        self._until = asyncio.get_running_loop().time() + limits.upload_seconds

    async def receive(self) -> Message:
        if self._whole:  # what comes now is that the client is gone, whenever that may be
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._until):
                message = await self._receive()
        except TimeoutError as error:
            reason = f"the file did not arrive within {self._limits.upload_seconds:g} s"
            raise self._refused(TooSlow(reason)) from error
        self._total += len(message.get("body", b""))
        self._whole = not message.get("more_body", False)
        if self._total > self._limits.bytes:
            raise self._refused(_too_large(self._total, self._limits))
        return message

    def unless_refused(self, send: Send) -> Send:
        async def unless_refused(message: Message) -> None:
            if self.refusal is None:
                await send(message)

        return unless_refused

    def _refused(self, refusal: Refusal) -> Refusal:
        self.refusal = refusal
        return refusal


def _too_large(received: int, limits: Limits) -> TooLarge:
    return TooLarge(f"{received:,} bytes or more; this server takes up to {limits.bytes:,} a file")


def _with_headers(path: str, send: Send) -> Send:
    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.update(HEADERS)
            # Files of the page are asked for anew each time (a 304 answers): another version has other ones.
            headers["Cache-Control"] = "no-store" if path.startswith("/api") else "no-cache"
        await send(message)

    return with_headers
