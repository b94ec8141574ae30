"""Settings of the demo catalogue and of ingestion."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from vixml.params.base import Params
from vixml.params.data.mapping import MappingParams


class FabricationParams(Params):
    """Sizes and shares of the demo catalogue that `vixml.demo.catalogue` writes as raw files."""

    num_train: int = Field(default=3000, ge=1)
    """Training products, at least 1."""
    num_test: int = Field(default=800, ge=1)
    """Test products, at least 1."""
    num_labels: int = Field(default=1500, ge=8)
    """Labels (related products, each with its own title and images), at least 8."""
    labels_per_family: int = Field(default=14, ge=6)
    """Labels that share brand and category, so that text alone cannot distinguish them; at least 6, at most
    `num_labels`. A larger number makes text alone weaker."""
    zipf_exponent: float = Field(default=0.7, ge=0.0, le=3.0)
    """Steepness of popularity over families: weight proportional to rank to the power of minus this; 0 is
    uniform, at most 3."""
    max_images: int = Field(default=3, ge=1, le=10)
    """Maximum number of pictures per product, 1 to 10."""
    imageless_share: float = Field(default=0.15, ge=0.0, le=1.0)
    """Share of products without a picture, 0 to 1."""
    imageless_label_share: float = Field(default=0.05, ge=0.0, le=1.0)
    """Share of labels without a picture, 0 to 1."""
    reciprocal_share: float = Field(default=0.05, ge=0.0, le=1.0)
    """Share of products that are also a label, 0 to 1; the filter files list the pairs. Capped so that no label is used
    twice."""
    image_pixels: int = Field(default=64, ge=16, le=512)
    """Width and height of a picture in pixels, 16 to 512."""

    @model_validator(mode="after")
    def _family_fits(self) -> FabricationParams:
        if self.labels_per_family > self.num_labels:
            raise ValueError(
                f"labels_per_family ({self.labels_per_family}) must not exceed num_labels ({self.num_labels})"
            )
        return self


class DataParams(Params):
    """How raw files become items, relevance and splits."""

    text_fields: Literal["auto", "title", "title+content"] = "title"
    """Text of an item: its title alone, or title and content joined by a space. `auto`, the default for your own data,
    reads contents if there are any; `title+content` is an error if no line has a content."""
    validation_fraction: Literal["auto"] | Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Share of the training queries held out for validation, 0 to below 1; 0 is the published protocol (no validation).
    `auto`, the default for your own data, takes a tenth, but at least 100 and at most 2,000 queries, and never more
    than a quarter; none if the tables name validation queries themselves."""
    max_images_per_item: int = Field(default=3, ge=0)
    """Maximum number of images per item, the first ones of the manifest; 0 keeps none. The report counts the rest."""
    max_lost: float = Field(default=0.01, ge=0.0, le=1.0)
    """Share of the rows or pairs of any file that may be lost (unknown ids, empty cells, a repeated id with another
    text), 0 to 1; beyond it, ingestion stops and lists the reasons."""
    image_embeddings: str | None = None
    """Folder of the authors' pre-computed image embeddings and their maps, relative to the raw folder (`.` is the raw
    folder itself); they replace image files. `vision.model` must name the model that made them. null reads the image
    manifest."""
    corrections: str | None = None
    """Table of a label audit (pipeline `label_audit`) that you have ticked: accepted proposals are added to the
    training pairs or removed from them. Relative to the project's folder."""
    mapping: MappingParams | None = None
    """Which columns of your own CSV, Parquet or JSON lines tables are what (`vixml init-data` writes it); null reads
    the benchmark's raw format."""
