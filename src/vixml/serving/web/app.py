"""A small web page over trained models, and the JSON interface behind it.

`vixml serve --model FOLDER` answers on 127.0.0.1 only, unless told otherwise. The page loads nothing from elsewhere;
what it shows is text to the browser, never markup. Uploads are limited in size and number, and decoded by the same
guarded code as training images.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from vixml.core.errors import ConfigError, DataError, VixmlError
from vixml.images.decode import PictureError
from vixml.serving.web.limits import LATER, MAX_BODY, Admission, BodyLimits, sentence
from vixml.serving.web.models import Models, Reopen, Served, Watch
from vixml.serving.web.pictures import thumbnail
from vixml.serving.web.question import Question, answer, describe

if TYPE_CHECKING:
    from fastapi import FastAPI

    from vixml.serving.predictor import Predictor

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_FILES = {
    "": ("page.html", "text/html"),
    "page.css": ("page.css", "text/css"),
    "page.js": ("page.js", "text/javascript"),
    "favicon.svg": ("favicon.svg", "image/svg+xml"),
}


def create_app(
    predictors: Mapping[str, Predictor],
    *,
    hosts: Sequence[str] = ("*",),
    image_roots: Sequence[Path] = (),
    reopen: Reopen | None = None,
    admission: Admission | None = None,
) -> FastAPI:
    """Return the web application.

    Args:
        predictors: Models by the name that the page shows; the first is the default.
        hosts: Host names that requests may be addressed to; a page on another name is refused (DNS rebinding).
        image_roots: Folders of pictures that may be shown; for a predictor made elsewhere there are no others.
        reopen: Opens a predictor whose folder was replaced, which then takes the old one's place while the application
            runs; None: it goes on answering as it was opened.
        admission: Which questions are let in.

    Raises:
        ConfigError: There is no model.
    """
    from fastapi import FastAPI
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    from vixml.serving.web.metrics import Metrics, Observed

    models = Models(predictors, image_roots=image_roots, reopen=reopen)
    admission = Admission() if admission is None else admission
    metrics = Metrics(models, admission)

    @asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        watch = Watch(models)
        if models.follows:
            watch.start()
        yield
        watch.stop()
        admission.close()

    app = FastAPI(title="ViXML", docs_url=None, redoc_url=None, max_body_size=MAX_BODY, lifespan=running)
    app.add_middleware(BodyLimits, path="/api/predict", admission=admission)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))
    _explain_errors(app)

    @app.middleware("http")
    async def _headers(request: Any, call_next: Any) -> Any:
        response = await call_next(request)
        response.headers.update(_HEADERS)
        return response

    app.add_middleware(Observed, metrics=metrics)
    _add_state(app, models, admission, metrics)
    _add_answers(app, models, admission)
    return app


def _add_state(app: FastAPI, models: Models, admission: Admission, metrics: Any) -> None:
    """Add what a machine asks: whether the server lives, whether it would answer, and its metrics.

    None of them is in a thread: they answer however busy those are.
    """
    from fastapi.responses import JSONResponse, Response

    @app.get("/health")
    async def health() -> dict[str, Any]:
        replaced = [name for name, one in models.all().items() if one.predictor.replaced]
        return {"status": "ok", "models": models.names, **({"replaced": replaced} if replaced else {})}

    @app.get("/ready")
    async def ready() -> Any:
        facts = {name: {"fingerprint": one.fingerprint, "since": one.since} for name, one in models.all().items()}
        document = {
            "status": "busy" if admission.full else "ready",
            "models": facts,
            "queue": {"taken": admission.taken, "most": admission.most, "bytes": admission.bytes},
            **({"problems": dict(models.problems)} if models.problems else {}),
        }
        return JSONResponse(document, 503, LATER) if admission.full else JSONResponse(document)

    @app.get("/metrics")
    async def measured() -> Any:
        return Response(metrics.text(), media_type=metrics.content_type)


def _add_answers(app: FastAPI, models: Models, admission: Admission) -> None:
    """Add the page and what it asks."""
    from fastapi import HTTPException
    from fastapi.responses import Response

    def chosen(name: str | None) -> Served:
        served = models.get(name)
        if served is None:
            raise HTTPException(404, f"There is no model {name}; there are {', '.join(models.names)}.")
        return served

    @app.get("/api/models")
    def described() -> list[dict[str, Any]]:
        return [describe(name, one.predictor) for name, one in models.all().items()]

    @app.post("/api/predict")
    async def predict(question: Question) -> dict[str, Any]:
        served = chosen(question.model)
        notice = models.notice(question.model or models.names[0], served)
        found = await admission.take_turn(lambda: answer(served.predictor, question, served.roots, notice))
        return {**found, "fingerprint": served.fingerprint}

    @app.get("/api/picture/{model}/{side}/{row}")
    def picture(
        model: str, side: Literal["label", "train"], row: Annotated[int, Field(ge=0)], of: str | None = None
    ) -> Any:
        served = chosen(model)
        if of is not None and of != served.fingerprint:  # the row is one of an earlier model
            raise HTTPException(404, "There is no picture.")
        try:
            return Response(thumbnail(served.predictor, served.roots, side, row), media_type="image/png")
        except PictureError:
            raise HTTPException(404, "There is no picture.") from None

    @app.get("/{name}")
    def page(name: str) -> Any:
        if name not in _FILES:
            raise HTTPException(404, "There is no such page.")
        file, kind = _FILES[name]
        return Response(resources.files("vixml.serving.web").joinpath("static", file).read_bytes(), media_type=kind)

    app.add_api_route("/", lambda: page(""), methods=["GET"], include_in_schema=False)


def _explain_errors(app: FastAPI) -> None:
    """Let every error that a client or the machine can cause end in a status and a sentence."""
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import JSONResponse
    from starlette.exceptions import HTTPException

    def reply(text: object, status: int, headers: Mapping[str, str] | None = None) -> JSONResponse:
        clean = str(text).encode(errors="replace").decode()  # it may repeat what was asked
        return JSONResponse({"detail": clean}, status, headers)

    @app.exception_handler(RequestValidationError)
    async def _malformed(request: Any, error: RequestValidationError) -> JSONResponse:
        return reply(sentence(error.errors()), 422)

    @app.exception_handler(HTTPException)
    async def _refused(request: Any, error: HTTPException) -> JSONResponse:
        if error.status_code == 400:  # FastAPI's for a body that is no JSON at all: not UTF-8, nested too deeply
            return reply("The request is not valid JSON.", 422)
        return reply(error.detail, error.status_code, error.headers)

    @app.exception_handler(VixmlError)
    async def _unable(request: Any, error: VixmlError) -> JSONResponse:
        return reply(error.plain(), 422 if isinstance(error, DataError | ConfigError) else 503)

    @app.exception_handler(MemoryError)
    async def _no_memory(request: Any, error: MemoryError) -> JSONResponse:
        return reply("The server is out of memory. Try again in a moment.", 503, LATER)
