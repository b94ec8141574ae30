"""From raw text and images to embeddings, with what a bundle holds: tokenizer, vision encoder and trained network."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, Union

import numpy as np
from numpy.typing import NDArray

from vixml.core.errors import DataError
from vixml.core.guards.untrusted import opening
from vixml.data.items import PLACEHOLDER, clean_text
from vixml.data.ragged import RaggedArray, offsets_of
from vixml.data.tokens import tokenise
from vixml.images.decode import PictureError, decoded, read_picture, upright
from vixml.params.data.vision import VisionParams
from vixml.params.model import BackboneParams
from vixml.ranking.features import ImageRows

if TYPE_CHECKING:
    from PIL.Image import Image
    from transformers import PreTrainedTokenizerFast

    from vixml.images.vision import VisionEncoder
    from vixml.models.dual import DualModel

T = TypeVar("T")

ImageLike: TypeAlias = Union["Image", str, Path, bytes, Callable[[], bytes]]
"""A picture (RGB is made of any mode), the path of an image file, its bytes, or a function that reads them."""

Images: TypeAlias = Sequence[ImageLike | Sequence[ImageLike] | None]
"""For each query one image, several, or None."""

_READERS = 4  # threads that read and decode images


@dataclass
class ItemEncoder:
    """Embeds items as training did.

    Safe to use from several threads: they read images side by side and take turns at the networks, so memory stays that
    of one block.

    Args:
        model: The trained network, in evaluation mode.
        tokenizer: Its tokenizer.
        backbone: Longest text and family.
        vision: Vision encoder settings of the image bank; None for a text-only model.
        vision_seed: Seed of a `tiny` vision encoder.
        max_images: Images of an item that are used; later ones are left out.
        precision: `fp32` gives an item the same vector alone and in any batch (1e-6); `bf16` is faster, not as exact.
        short_dim: Width of the embeddings where labels are compared by fewer numbers than the model has; None for all.
        decode_seconds: Longest time for one image, as far as its decoder can be stopped; None for no limit. A server
            sets it: what a pipeline takes must not depend on how busy the machine is.
    """

    model: DualModel
    tokenizer: PreTrainedTokenizerFast
    backbone: BackboneParams
    vision: VisionParams | None = None
    vision_seed: int = 0
    max_images: int = 3
    precision: str = "fp32"
    short_dim: int | None = None
    decode_seconds: float | None = None
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)
    _vision_encoder: VisionEncoder | None = field(default=None, repr=False)
    _readers: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(_READERS, "pictures"), repr=False)

    @property
    def dim(self) -> int:
        """Width of an embedding."""
        return self.short_dim or self.model.embedder.dim

    @property
    def uses_images(self) -> bool:
        """Whether the model looks at images; a text-only one ignores them."""
        return self.vision is not None and self.model.embedder.projection is not None

    @property
    def vision_encoder(self) -> VisionEncoder:
        """The frozen vision encoder, loaded at its first use.

        Raises:
            ConfigError: It cannot be loaded.
        """
        with self._lock:
            if self._vision_encoder is None:
                from vixml.images.vision import load_vision

                assert self.vision is not None
                self._vision_encoder = load_vision(self.vision, self.vision_seed, offline=True)
            return self._vision_encoder

    def embed(
        self,
        texts: Sequence[str],
        images: Sequence[Sequence[ImageLike]] | None = None,
        *,
        block: int = 1024,
        failures: list[tuple[int, str]] | None = None,
        pooled: bool = False,
        seen: list[ImageRows] | None = None,
    ) -> NDArray[np.float32]:
        """Return unit embeddings float32 [n, d] of items.

        Args:
            texts: One text an item; made as ingestion makes it (`clean_text`), an empty text a placeholder.
            images: Images of each item, [n] lists of 0 or more; None for no images at all.
            block: Items in memory at once.
            failures: Takes (item, reason) of every image that cannot be read; it then counts as absent. None: raise.
            pooled: As the network pools them, at its own width and of any length: what prototypes are made from.
            seen: Takes the image vectors of each block, for a model that looks at images.

        Raises:
            DataError: The lists differ in length, or an image cannot be read.
            ConfigError: The vision encoder cannot be loaded.
        """
        import torch

        from vixml.models.item_batch import ItemBatch
        from vixml.models.precision import autocast
        from vixml.retrieval.exact import shorten

        if images is not None and len(images) != len(texts):
            raise DataError("texts and images differ in number", found=f"{len(texts)} and {len(images)}")
        result = np.empty((len(texts), self.model.embedder.dim), dtype=np.float32)
        for begin in range(0, len(texts), block):
            part = slice(begin, begin + block)
            vectors, counts = None, None
            if self.uses_images:
                lists = images[part] if images is not None else [()] * len(texts[part])
                vectors, counts = self._image_vectors(lists, begin, failures)
                if seen is not None:
                    seen.append(ImageRows(vectors, offsets_of(counts)))
            with self._lock, torch.inference_mode(), autocast(self.precision, self.model.device):
                batch = ItemBatch(self._tokens(texts[part]), vectors, counts)
                result[part] = (self.model.pool(batch) if pooled else self.model.embed(batch)).cpu().numpy()
        return result if pooled else shorten(result, self.short_dim)

    def _tokens(self, texts: Sequence[str]) -> RaggedArray:
        """Tokenise; not for two threads at once, since a tokenizer is set up for each call."""
        clean = (clean_text(text) or PLACEHOLDER for text in texts)
        backbone = self.backbone
        with opening(Path(self.tokenizer.name_or_path), "the tokenizer does not get over a text"):  # it may panic
            return tokenise(
                clean, self.tokenizer, max_length=backbone.max_length, special_tokens=backbone.family == "encoder"
            )

    def _image_vectors(
        self, images: Sequence[Sequence[ImageLike]], begin: int, failures: list[tuple[int, str]] | None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return the vectors of all readable images [m, v] and their number for each item; none gives [0, v]."""
        assert self.vision is not None
        assert self.model.embedder.projection is not None
        listed = [(item, image) for item, few in enumerate(images) for image in list(few)[: self.max_images]]
        counts = np.zeros(len(images), dtype=np.int64)
        parts = [np.zeros((0, self.model.embedder.projection.in_features), dtype=np.float32)]
        for some in _batched(listed, self.vision.batch_size):  # a preprocessed image takes megabytes
            tensors = []
            for (item, image), outcome in zip(some, self._readers.map(self._prepare, some), strict=True):
                if not isinstance(outcome, PictureError):
                    tensors.append(outcome)
                    counts[item] += 1
                elif failures is None:
                    file = image if isinstance(image, str | Path) else None
                    what = f"an image of item {begin + item} gives no picture"
                    raise DataError(what, file=file, found=outcome.reason) from outcome
                else:
                    failures.append((begin + item, outcome.reason))
            with self._lock:
                parts.append(self._forward(tensors))
        return np.concatenate(parts), counts

    def _prepare(self, listed: tuple[int, ImageLike]) -> Any:
        """Return the vision model's input of one image, or why there is none."""
        assert self.vision is not None
        try:
            return use_picture(
                listed[1], self.vision.max_pixels, self.vision_encoder.preprocess, seconds=self.decode_seconds
            )
        except PictureError as err:
            return err

    def _forward(self, tensors: list[Any]) -> NDArray[np.float32]:
        """Encode preprocessed images in float32 on any device: in bfloat16 a vector would depend on its batch."""
        import torch

        encoder = self.vision_encoder
        if not tensors:
            return np.zeros((0, encoder.dim), dtype=np.float32)
        with torch.inference_mode():
            inputs = torch.stack(tensors).to(encoder.device)
            vectors: NDArray[np.float32] = encoder.model.encode_image(inputs, normalize=False).float().cpu().numpy()
        return vectors


def open_picture(image: ImageLike, max_pixels: int) -> Image:
    """Return an image as upright RGB; the limits on size and format are those of ingestion.

    Raises:
        PictureError: It cannot be read, or is empty, too large, too elongated or corrupt.
    """
    return use_picture(image, max_pixels, lambda picture: picture)


def use_picture(image: ImageLike, max_pixels: int, use: Callable[[Image], T], *, seconds: float | None = None) -> T:
    """Return what `use` makes of an image; see `open_picture` and `decoded`.

    Raises:
        PictureError: See `open_picture`.
    """
    if isinstance(image, str | Path):
        try:
            content = read_picture(Path(image).resolve())
        except (OSError, RuntimeError, ValueError):  # a loop of links, a NUL in the name
            raise PictureError("unreadable") from None
    elif isinstance(image, bytes):
        content = image
    elif callable(image):
        content = image()
    else:
        return use(upright(image, max_pixels))
    if not content:
        raise PictureError("empty")
    return decoded(content, max_pixels, use, seconds=seconds)


def _batched(entries: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (entries[start : start + size] for start in range(0, len(entries), size))


def as_lists(texts: str | Iterable[str], images: Images | None) -> tuple[list[str], list[Sequence[ImageLike]] | None]:
    """Return texts as a list and the images of each query as a list.

    Raises:
        DataError: They are neither, or differ in number.
    """
    texts = [texts] if isinstance(texts, str) else _listed("texts", texts)
    if images is None:
        return texts, None
    listed = _listed("images", images)
    if len(listed) != len(texts):
        raise DataError(
            "texts and images differ in number",
            found=f"{len(texts)} texts, {len(listed)} entries of images",
            expected="for each text an image, a list of images, or None",
        )
    return texts, [_as_list(few) for few in listed]


def _listed(what: str, values: Any) -> list[Any]:
    """Return what has an order and one entry a query; the keys of a table or mapping are not meant."""
    plain = isinstance(values, Iterable) and not isinstance(values, str | bytes | Mapping | Set)
    if not plain or getattr(values, "ndim", 1) != 1:
        raise DataError(
            f"{what} are not one a query", found=type(values).__name__, expected="a list with an entry for each query"
        )
    return list(values)


def _as_list(few: Any) -> list[ImageLike]:
    given = few if isinstance(few, list | tuple) else [few]
    return [_image(one) for one in given if one is not None]


def _image(given: Any) -> ImageLike:
    """Return an image as one of those that `ImageLike` names.

    Raises:
        DataError: It is not valid.
    """
    if isinstance(given, bytearray | memoryview):
        return bytes(given)
    if hasattr(given, "read"):
        return given.read  # type: ignore[no-any-return]
    if isinstance(given, str | Path | bytes) or callable(given) or hasattr(given, "getexif"):
        return given  # type: ignore[no-any-return]
    raise DataError(
        "not an image",
        found=type(given).__name__,
        expected="a file, bytes, or a PIL image",
        remedy="convert an array with `PIL.Image.fromarray`.",
    )
