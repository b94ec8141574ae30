"""The sections of the configuration: their parameter models, the project's defaults, and what is no setting of them."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic.fields import FieldInfo

from vixml.core.errors import ConfigError
from vixml.params.base import Params

PROJECT_DEFAULTS: dict[str, dict[str, Any]] = {
    "encoder": {"backbone": {"name": "sentence-transformers/all-MiniLM-L6-v2"}},
    # a quarter of the weights of Qwen2.5-0.5B, the published recipes' smallest: a laptop without a GPU trains it
    "decoder": {"backbone": {"family": "decoder", "name": "HuggingFaceTB/SmolLM2-135M-Instruct"}},
    # rankings are fitted on validation queries; more text is better on every real data set that was measured
    "data": {"validation_fraction": "auto", "text_fields": "auto"},
    # of the paper's own family, SigLIP2, the one that encodes fastest
    "vision": {"model": "ViT-B-32-SigLIP2-256"},
}
"""Defaults of a run that the models do not have: pretrained networks that fit a laptop, and a validation split. A
parameter model by itself needs neither a network nor a download, so it defaults to `tiny`."""


def sections() -> dict[str, type[Params]]:
    """Return the parameter model of every top-level section; `encoder` stands for both families and all variants."""
    from vixml.params.comparison import ComparisonParams
    from vixml.params.data.audit import LabelAuditParams
    from vixml.params.data.distillation import DistillationParams
    from vixml.params.data.download import DownloadParams
    from vixml.params.data.ingestion import DataParams, FabricationParams
    from vixml.params.data.vision import VisionParams
    from vixml.params.evaluation import BaselineParams, EvaluationParams
    from vixml.params.prediction import PredictionParams
    from vixml.params.retrieval import IndexReportParams, LabelUpdateParams
    from vixml.params.variant import VariantParams

    return {
        "fabrication": FabricationParams,
        "download": DownloadParams,
        "data": DataParams,
        "vision": VisionParams,
        "encoder": VariantParams,
        "evaluation": EvaluationParams,
        "baselines": BaselineParams,
        "comparison": ComparisonParams,
        "index_report": IndexReportParams,
        "label_audit": LabelAuditParams,
        "distillation": DistillationParams,
        "label_update": LabelUpdateParams,
        "prediction": PredictionParams,
    }


def model_of(field: FieldInfo) -> type[Params] | None:
    """Return the parameter model that a field holds, or None for a plain value."""
    candidates = (field.annotation, *typing.get_args(field.annotation))
    return next((c for c in candidates if isinstance(c, type) and issubclass(c, Params)), None)


def check_known(values: Mapping[str, Any], model: type[Params], prefix: str) -> None:
    """Make sure that a section holds settings of its model only, at every depth.

    Args:
        values: The section, or a group of it.
        model: Its parameter model.
        prefix: Its dotted name.

    Raises:
        ConfigError: There is no such setting (the nearest is named), or a group is a plain value.
    """
    check_names(values, model.model_fields, prefix=f"{prefix}.")
    for name, below in values.items():
        group = model_of(model.model_fields[name])
        if group is None or below is None:
            continue
        if isinstance(below, list | tuple):
            for number, entry in enumerate(below):
                check_known(entry, group, f"{prefix}.{name}[{number}]")
            continue
        if not isinstance(below, Mapping):
            raise ConfigError(
                f"`{prefix}.{name}` is a group of settings, not a value",
                found=below,
                expected=", ".join(group.model_fields),
            )
        check_known(below, group, f"{prefix}.{name}")


def check_names(present: Iterable[str], known: Iterable[str], *, prefix: str) -> None:
    """Make sure that each name is a known one.

    Raises:
        ConfigError: One is not; the nearest is named, or all are.
    """
    known = list(known)
    for key in present:
        if key in known:
            continue
        near = difflib.get_close_matches(str(key), known, n=1, cutoff=0.5)
        if near:
            raise ConfigError(f"there is no parameter `{prefix}{key}`", remedy=f"did you mean `{prefix}{near[0]}`?")
        raise ConfigError(
            f"there is no parameter `{prefix}{key}`",
            expected="one of " + ", ".join(known),
            remedy="see docs/reference/configuration.md, or `vixml settings`.",
        )
