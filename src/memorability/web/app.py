"""The application: the page, the JSON API and its description, none of which needs a network."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import FastAPI, Form, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles

from memorability.core.errors import MemorabilityError
from memorability.web import uploads
from memorability.web.answers import About, Health, Mapped, Models, Problem, Scored
from memorability.web.catalogue import Catalogue
from memorability.web.guard import Guard, answer
from memorability.web.limits import Limits
from memorability.web.refusals import Refusal
from memorability.web.scoring import Service
from memorability.web.work import Workers

STATIC = Path(__file__).parent / "static"
Result = TypeVar("Result")
REFUSALS = {
    404: "There is no such model.",
    413: "The file has more bytes, pixels, frames or seconds than the server takes.",
    415: "The file is neither a picture nor a clip.",
    422: "The file is damaged or of a kind that the model cannot read.",
    503: "The server is busy; the header Retry-After says in how many seconds to try again.",
}
REFUSED: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": why} for status, why in REFUSALS.items()
}
Model = Annotated[
    str | None, Form(description="A model's name; by default the best one for the kind of file.")
]


def create_app(catalogue: Catalogue, *, limits: Limits | None = None) -> FastAPI:
    """An application that scores files by the models of a catalogue, within limits."""
    limits = limits or Limits()
    service, workers = Service(catalogue, limits), Workers(limits)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        uploads.remove_abandoned()
        yield
        workers.close()

    app = FastAPI(
        title="memorability",
        version=version("memorability"),
        description="Scores pictures and clips: how likely people are to remember them.",
        docs_url=None,  # FastAPI's own pages come from a network
        redoc_url=None,
        lifespan=lifespan,
    )
    app.add_middleware(Guard, limits=limits, workers=workers)
    _handle_errors(app)
    _add_pages(app)

    async def computed(request: Request, function: Callable[[], Result]) -> Result:
        return await workers.run(function, gone=request.is_disconnected)

    @app.post("/api/score", responses=REFUSED, tags=["files"])
    async def score(request: Request, file: UploadFile, model: Model = None) -> Scored:
        """Scores a picture or a clip. A clip is scored by a model of clips or, by one of pictures, frame by frame."""
        return await computed(request, partial(service.score, file.file, file.filename or "", model))

    @app.post("/api/map", responses=REFUSED, tags=["files"])
    async def map_of(request: Request, file: UploadFile, model: Model = None) -> Mapped:
        """Which regions of a picture matter: by a model of maps, or by hiding one after the other from one of scores."""
        return await computed(request, partial(service.map, file.file, file.filename or "", model))

    @app.get("/api/models", tags=["models"])
    async def models() -> Models:
        """The models that are offered, and how large a file may be."""
        return Models(models=[service.model(o) for o in catalogue.offers.values()], limits=limits.told())

    @app.get(
        "/api/models/{name}", responses={status: REFUSED[status] for status in (404, 422)}, tags=["models"]
    )
    async def about(request: Request, name: str) -> About:
        """What a model was trained on, what it is worth, what its scores say and how those it learnt from lie."""
        return await computed(request, partial(service.about, name))

    @app.get("/healthz", tags=["server"])
    async def health() -> Health:
        """Whether the server answers, and how busy it is."""
        opened = [offer.name for offer in catalogue.offers.values() if offer.opened]
        counts = {"inside": workers.inside, "slots": limits.slots, "refused": workers.refused}
        return Health(status="ok", opened=opened, **counts)

    return app


def _handle_errors(app: FastAPI) -> None:
    async def refused(request: Request, error: Exception) -> JSONResponse:
        return answer(error if isinstance(error, Refusal) else Refusal(str(error)))

    async def invalid(request: Request, error: Exception) -> JSONResponse:
        listed = error.errors() if isinstance(error, RequestValidationError) else []
        reasons = [f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in listed]
        return JSONResponse({"detail": "; ".join(reasons)}, status_code=422)

    app.add_exception_handler(MemorabilityError, refused)
    app.add_exception_handler(RequestValidationError, invalid)


def _add_pages(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    @app.get("/api", include_in_schema=False)
    async def description() -> FileResponse:
        return FileResponse(STATIC / "api.html")

    app.mount("/static", StaticFiles(directory=STATIC), name="static")
