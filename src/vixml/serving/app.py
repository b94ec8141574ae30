"""A small web page over trained models, and the JSON interface behind it.

`vixml serve --model FOLDER` answers on 127.0.0.1 only, unless told otherwise. The page loads nothing from elsewhere;
what it shows is text to the browser, never markup. Uploads are limited in size and number, and decoded by the same
guarded code as training images.
"""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from vixml.calibration.calibration import Absent
from vixml.core.errors import ConfigError, DataError, VixmlError
from vixml.images.decode import PictureError, decoded, read_bytes
from vixml.serving.answers import Selection
from vixml.serving.limits import DECODE_SECONDS, BodyLimits, Turns, sentence, timed_protocol

if TYPE_CHECKING:
    from fastapi import FastAPI
    from PIL.Image import Image

    from vixml.serving.predictor import Predictor

MAX_IMAGES = 4
MAX_IMAGE_BYTES = 8 * 1024 * 1024
_MAX_BODY = MAX_IMAGES * MAX_IMAGE_BYTES * 4 // 3 + 100_000  # base64, and the rest of the request
_MAX_PIXELS = 50_000_000
_THUMBNAIL = 160
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
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
}


REPLACED = "This model was trained or changed again after the server opened it. Restart the server to use the new one."

Roots = tuple[Path | None, ...]
"""Resolved folders of a model's pictures: of relative paths, if known, then those of labels added after training."""


class Question(BaseModel):
    """A query to a model."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field("", max_length=20_000)
    images: list[str] = Field(default_factory=list, max_length=MAX_IMAGES)  # base64
    model: str | None = Field(None, max_length=1000)
    k: int = Field(10, ge=1, le=100)
    neighbours: int = Field(0, ge=0, le=20)
    min_probability: float | None = Field(None, ge=0, le=1)
    min_precision: float | None = Field(None, ge=0, le=1)
    max_labels: int | None = Field(None, ge=1)


def create_app(
    predictors: Mapping[str, Predictor], *, hosts: Sequence[str] = ("*",), image_roots: Sequence[Path] = ()
) -> FastAPI:
    """Return the web application.

    Args:
        predictors: Models by the name that the page shows; the first is the default.
        hosts: Host names that requests may be addressed to; a page on another name is refused (DNS rebinding).
        image_roots: Folders of pictures that may be shown; for a predictor made elsewhere there are no others.

    Raises:
        ConfigError: There is no model.
    """
    from fastapi import FastAPI, HTTPException
    from fastapi.responses import Response
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    if not predictors:
        raise ConfigError("there is no model to serve")
    roots, turns = picture_roots(predictors, image_roots), Turns()
    for predictor in predictors.values():
        predictor.limit_decoding(DECODE_SECONDS)
    app = FastAPI(title="ViXML", docs_url=None, redoc_url=None, max_body_size=_MAX_BODY)
    app.add_middleware(BodyLimits, path="/api/predict")
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))
    _explain_errors(app)

    @app.middleware("http")
    async def _headers(request: Any, call_next: Any) -> Any:
        response = await call_next(request)
        response.headers.update(_HEADERS)
        return response

    def chosen(name: str | None) -> Predictor:
        name = next(iter(predictors)) if name is None else name
        if name not in predictors:
            raise HTTPException(404, f"There is no model {name}; there are {', '.join(predictors)}.")
        return predictors[name]

    @app.get("/health")
    async def health() -> dict[str, Any]:  # not in a thread: it answers however busy those are
        replaced = [name for name, predictor in predictors.items() if predictor.replaced]
        return {"status": "ok", "models": list(predictors), **({"replaced": replaced} if replaced else {})}

    @app.get("/api/models")
    def models() -> list[dict[str, Any]]:
        return [describe(name, predictor) for name, predictor in predictors.items()]

    @app.post("/api/predict")
    async def predict(question: Question) -> dict[str, Any]:
        predictor = chosen(question.model)
        return await turns.take(lambda: answer(predictor, question, roots[question.model or next(iter(predictors))]))

    @app.get("/api/picture/{model}/{side}/{row}")
    def picture(model: str, side: Literal["label", "train"], row: Annotated[int, Field(ge=0)]) -> Any:
        try:
            return Response(thumbnail(chosen(model), roots[model], side, row), media_type="image/png")
        except PictureError:
            raise HTTPException(404, "There is no picture.") from None

    @app.get("/{name}")
    def page(name: str) -> Any:
        if name not in _FILES:
            raise HTTPException(404, "There is no such page.")
        file, kind = _FILES[name]
        return Response(resources.files("vixml.serving").joinpath("static", file).read_bytes(), media_type=kind)

    app.add_api_route("/", lambda: page(""), methods=["GET"], include_in_schema=False)
    return app


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
        return reply("The server is out of memory. Try again in a moment.", 503)


def describe(name: str, predictor: Predictor) -> dict[str, Any]:
    """Return what the page says of a model."""
    calibration = predictor.calibration
    return {
        "name": name,
        "dataset": predictor.bundle.settings.dataset,
        "labels": predictor.num_labels,
        "uses_images": predictor.uses_images,
        "prior": predictor.bundle.settings.retrieval.imageless_prior > 0,
        "explains": predictor.explains,
        "no_probabilities": calibration.absent if isinstance(calibration, Absent) else None,
        "max_images": MAX_IMAGES,
        "max_image_bytes": MAX_IMAGE_BYTES,
    }


def picture_roots(predictors: Mapping[str, Predictor], allowed: Sequence[Path] = ()) -> dict[str, Roots]:
    """Return the folders of each model's pictures; a text-only one borrows the first from another of its data set.

    A predictor that was made elsewhere must not say which folders of this machine are shown: its pictures come from
    the folders that are `allowed`, and from the first of them where its paths are relative.
    """
    bundles = {name: predictor.bundle for name, predictor in predictors.items()}
    known = {one.settings.dataset: root for one in bundles.values() if (root := one.picture_roots[0]) is not None}
    given = [Path(root).resolve() for root in allowed]
    found = {}
    for name, one in bundles.items():
        first, *added = one.picture_roots
        first = first or known.get(one.settings.dataset) or (given[0] if given else None)
        found[name] = (first, *added, *given)
    return found


def root_of(roots: Roots, files: Sequence[str]) -> Path | None:
    """Return the folder that the first of some image files lies in; None without a file, or where it is not known."""
    if not len(files):
        return None
    return next((one for one in roots[1:] if one and Path(files[0]).is_relative_to(one)), roots[0])


def answer(predictor: Predictor, question: Question, roots: Roots) -> dict[str, Any]:
    """Answer one query: labels best first, and the nearest training queries where they are asked for.

    Args:
        predictor: The model.
        question: The query.
        roots: Folders of pictures, which are shown where they are known.

    Raises:
        DataError: Neither text nor image, or an image that cannot be read.
        ConfigError: Probabilities are asked for, and the model has none or keeps no such precision.
    """
    images = [image_bytes(text) for text in question.images]
    if not question.text.strip() and not images:
        raise DataError("the query is empty", remedy="type a text or add an image.")
    for image in images[predictor.images_used :]:  # the others are decoded once
        check_image(image)
    failures: list[tuple[int, str]] = []
    selection = Selection(question.min_probability, question.min_precision, question.max_labels)
    threshold = selection.threshold(predictor.calibration)
    found = predictor.search([question.text], [images], question.k, failures=failures, selection=selection)
    for _, reason in failures:
        raise _unreadable(reason)
    (prediction,) = predictor.named(*found[1:])
    likely = prediction.probabilities or [None] * len(prediction)
    labels = zip(prediction.label_ids, prediction.texts, prediction.scores, likely, prediction.rows, strict=True)
    files = predictor.labels["images"]
    near = (
        predictor.neighbours(found.vectors, question.neighbours)[0]
        if question.neighbours and predictor.explains
        else []
    )
    return {
        "labels": [
            {
                "rank": rank,
                "label_id": uid,
                "text": text,
                "score": score,
                "probability": probability,
                "row": row,
                "picture": root_of(roots, files[row]) is not None,
            }
            for rank, (uid, text, score, probability, row) in enumerate(labels, start=1)
        ],
        "neighbours": [
            {
                "query_id": one.query_id,
                "text": one.text,
                "similarity": one.similarity,
                "labels": list(one.label_texts),
                "row": one.row,
                "picture": root_of(roots, predictor.bundle.train_items["images"].iloc[one.row]) is not None,
            }
            for one in near
        ],
        "uses_images": predictor.uses_images,
        "threshold": None if threshold is None else threshold.facts(),
        **({"notice": REPLACED} if predictor.replaced else {}),
    }


def image_bytes(text: str) -> bytes:
    """Decode a base64 image, with or without the head of a data URL.

    Raises:
        DataError: Not base64, or too large.
    """
    try:
        content = base64.b64decode(text.partition(",")[2] if text.startswith("data:") else text, validate=True)
    except (binascii.Error, ValueError) as err:
        raise DataError("an image is not base64", expected="the bytes of an image file, base64-encoded") from err
    if len(content) > MAX_IMAGE_BYTES:
        raise DataError("an image is too large", found=f"{len(content)} bytes", expected=f"at most {MAX_IMAGE_BYTES}")
    return content


def check_image(content: bytes) -> None:
    """Make sure that a model can see the image, also where it is a text-only one.

    Raises:
        DataError: It cannot be read.
    """
    try:
        decoded(content, _MAX_PIXELS, lambda image: None, seconds=DECODE_SECONDS)
    except PictureError as err:
        raise _unreadable(err.reason) from err


def _unreadable(reason: str) -> DataError:
    remedy = "use a PNG, JPEG, WebP, GIF or BMP file of moderate size."
    return DataError("the image cannot be read", found=reason, remedy=remedy)


def thumbnail(predictor: Predictor, roots: Roots, side: str, row: int) -> bytes:
    """Return the first picture of a label or training query as a small PNG.

    Args:
        predictor: The model.
        roots: Resolved folders of its pictures, which no path may leave.
        side: `label` or `train`.
        row: Row of the label or training query.

    Raises:
        PictureError: It does not exist.
    """
    if side != "label" and not predictor.explains:
        raise PictureError("missing")
    table = predictor.labels if side == "label" else predictor.bundle.train_items
    files = table["images"].iloc[row] if row < len(table) else []
    root = root_of(roots, files)
    if root is None:
        raise PictureError("missing")
    return decoded(read_bytes(root, files[0]), _MAX_PIXELS, _small, seconds=DECODE_SECONDS)


def _small(image: Image) -> bytes:
    image.thumbnail((_THUMBNAIL, _THUMBNAIL))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def serve(
    folders: Sequence[Path],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    device: str = "auto",
    image_roots: Sequence[Path] = (),
    say: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve predictors until interrupted.

    Args:
        folders: Published predictors or variants' folders of models.
        host: Address to listen on. On any but the own machine's everybody in the network can ask.
        port: Port to listen on.
        device: Where the models run.
        image_roots: See `create_app`.
        say: Told the address, once all models are open.

    Raises:
        StateError: A folder holds no complete predictor.
    """
    import uvicorn

    from vixml.serving.predictor import Predictor

    predictors: dict[str, Predictor] = {}
    for folder in folders:
        predictor = Predictor.open(folder, device=device)
        settings = predictor.bundle.settings
        name = settings.variant if settings.variant not in predictors else f"{settings.dataset}/{settings.variant}"
        predictors[name if name not in predictors else f"{name} {len(predictors) + 1}"] = predictor
    hosts = (*_LOOPBACK, "[::1]") if host in _LOOPBACK else ("*",)
    app = create_app(predictors, hosts=hosts, image_roots=image_roots)
    say(f"ViXML at http://{host}:{port} (stop with Ctrl+C)")
    uvicorn.run(app, host=host, port=port, log_level="warning", http=timed_protocol())
