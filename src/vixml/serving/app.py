"""A small web page over trained models, and the JSON interface behind it.

`vixml serve --model FOLDER` answers on 127.0.0.1 only, unless told otherwise. The page loads nothing from elsewhere;
what it shows is text to the browser, never markup. Uploads are limited in size and number, and decoded by the same
guarded code as training images.
"""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from vixml.core.errors import ConfigError, DataError
from vixml.images.decode import PictureError, decode, read_bytes

if TYPE_CHECKING:
    from fastapi import FastAPI

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


Roots = tuple[Path | None, ...]
"""Resolved folders of a model's pictures: of relative paths, if known, then those of labels added after training."""


class Question(BaseModel):
    """A query to a model."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field("", max_length=20_000)
    images: list[str] = Field(default_factory=list, max_length=MAX_IMAGES)  # base64
    model: str | None = None
    k: int = Field(10, ge=1, le=100)
    neighbours: int = Field(0, ge=0, le=20)


def create_app(predictors: Mapping[str, Predictor], *, hosts: Sequence[str] = ("*",)) -> FastAPI:
    """Return the web application.

    Args:
        predictors: Models by the name that the page shows; the first is the default.
        hosts: Host names that requests may be addressed to; a page on another name is refused (DNS rebinding).

    Raises:
        ConfigError: There is no model.
    """
    from fastapi import FastAPI, HTTPException
    from fastapi.responses import JSONResponse, Response
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    if not predictors:
        raise ConfigError("there is no model to serve")
    roots = picture_roots(predictors)
    app = FastAPI(title="ViXML", docs_url=None, redoc_url=None, max_body_size=_MAX_BODY)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))

    @app.middleware("http")
    async def _headers(request: Any, call_next: Any) -> Any:
        response = await call_next(request)
        response.headers.update(_HEADERS)
        return response

    @app.exception_handler(DataError)
    async def _bad_input(request: Any, error: DataError) -> JSONResponse:
        return JSONResponse({"detail": error.plain()}, status_code=422)

    def chosen(name: str | None) -> Predictor:
        name = next(iter(predictors)) if name is None else name
        if name not in predictors:
            raise HTTPException(404, f"There is no model {name}; there are {', '.join(predictors)}.")
        return predictors[name]

    @app.get("/health")
    def health() -> dict[str, Any]:
        return {"status": "ok", "models": list(predictors)}

    @app.get("/api/models")
    def models() -> list[dict[str, Any]]:
        return [describe(name, predictor) for name, predictor in predictors.items()]

    @app.post("/api/predict")
    def predict(question: Question) -> dict[str, Any]:
        predictor = chosen(question.model)
        return answer(predictor, question, roots[question.model or next(iter(predictors))])

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


def describe(name: str, predictor: Predictor) -> dict[str, Any]:
    """Return what the page says of a model."""
    return {
        "name": name,
        "dataset": predictor.bundle.settings.dataset,
        "labels": predictor.num_labels,
        "uses_images": predictor.uses_images,
        "prior": predictor.bundle.settings.retrieval.imageless_prior > 0,
        "explains": predictor.explains,
        "max_images": MAX_IMAGES,
        "max_image_bytes": MAX_IMAGE_BYTES,
    }


def picture_roots(predictors: Mapping[str, Predictor]) -> dict[str, Roots]:
    """Return the folders of each model's pictures; a text-only one borrows the first from another of its data set."""
    settings = {name: predictor.bundle.settings for name, predictor in predictors.items()}
    known = {one.dataset: one.image_root for one in settings.values() if one.image_root is not None}
    found = {name: (one.image_root or known.get(one.dataset), *one.added_roots) for name, one in settings.items()}
    return {
        name: tuple(None if root is None else Path(root).resolve() for root in roots) for name, roots in found.items()
    }


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
    """
    images = [image_bytes(text) for text in question.images]
    if not question.text.strip() and not images:
        raise DataError("the query is empty", remedy="type a text or add an image.")
    for image in images:
        check_image(image)
    vector, scores, rows = predictor.search([question.text], [images], question.k)
    (prediction,) = predictor.named(scores, rows)
    labels = zip(prediction.label_ids, prediction.texts, prediction.scores, prediction.rows, strict=True)
    files = predictor.labels["images"]
    near = predictor.neighbours(vector, question.neighbours)[0] if question.neighbours and predictor.explains else []
    return {
        "labels": [
            {
                "rank": rank,
                "label_id": uid,
                "text": text,
                "score": score,
                "row": row,
                "picture": root_of(roots, files[row]) is not None,
            }
            for rank, (uid, text, score, row) in enumerate(labels, start=1)
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
        decode(content, _MAX_PIXELS)
    except PictureError as err:
        remedy = "use a PNG, JPEG, WebP, GIF or BMP file of moderate size."
        raise DataError("the image cannot be read", found=err.reason, remedy=remedy) from err


def thumbnail(predictor: Predictor, roots: Roots, side: str, row: int) -> bytes:
    """Return the first picture of a label or training query as a small PNG.

    Args:
        predictor: The model.
        roots: Resolved folders of its pictures, which no path may leave.
        side: `label` or `train`.
        row: Row of the label or training query.

    Raises:
        PictureError: There is none.
    """
    if side != "label" and not predictor.explains:
        raise PictureError("missing")
    table = predictor.labels if side == "label" else predictor.bundle.train_items
    files = table["images"].iloc[row] if row < len(table) else []
    root = root_of(roots, files)
    if root is None:
        raise PictureError("missing")
    image = decode(read_bytes(root, files[0]), _MAX_PIXELS)
    image.thumbnail((_THUMBNAIL, _THUMBNAIL))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def serve(folders: Sequence[Path], *, host: str = "127.0.0.1", port: int = 8000, device: str = "auto") -> None:
    """Serve predictors until interrupted.

    Args:
        folders: Published predictors or variants' folders of models.
        host: Address to listen on. On any but the own machine's everybody in the network can ask.
        port: Port to listen on.
        device: Where the models run.

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
    uvicorn.run(create_app(predictors, hosts=hosts), host=host, port=port, log_level="warning")
