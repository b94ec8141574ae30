"""Kedro hooks: before the first node, which recipes a run takes, and whether its pretrained models can be had."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, cast

from kedro.framework.hooks import hook_impl

from vixml.configuration.choice import TINY
from vixml.configuration.compose import ALL_VARIANTS
from vixml.core.errors import StateError
from vixml.core.hub import check_available
from vixml.freshness.origin import why_stale
from vixml.params.data.vision import VisionParams

if TYPE_CHECKING:
    from kedro.framework.context import KedroContext
    from kedro.io import CatalogProtocol
    from kedro.pipeline import Pipeline

    from vixml.config import ProjectConfigLoader

_log = logging.getLogger(__name__)

IMAGE_BANK = "image_bank"
"""Data set that is made with the vision encoder."""

_LOADS_BACKBONE = ("tokens", "warmup")
"""Data sets of a variant that are made with its pretrained network."""


class PreflightHooks:
    """Says what is chosen, and refuses early what would fail after minutes."""

    def __init__(self) -> None:
        self._config: ProjectConfigLoader | None = None

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember the configuration."""
        self._config = cast("ProjectConfigLoader", context.config_loader)

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Print the recipes of a run that trains, and look for the models that it needs.

        Raises:
            ConfigError: A model is neither here nor on a hub that can be reached.
            StateError: The image bank that the run would read was made with another vision model.
        """
        nodes = pipeline.nodes
        if run_params.get("only_missing_outputs"):
            nodes = [node for node in nodes if why_stale(node, catalog) is not None]
        made = {name for node in nodes for name in node.outputs}
        read = {name for node in nodes if node.namespace in ALL_VARIANTS for name in node.inputs}
        if self._config is not None and IMAGE_BANK in read - made:
            _check_bank(self._config["parameters"], catalog)
        variants = [name for name in ALL_VARIANTS if any(f"{name}.{made_by}" in made for made_by in _LOADS_BACKBONE)]
        if self._config is None or not (variants or IMAGE_BANK in made):
            return
        if variants:
            _log.info("%s", self._config.describe_recipes(dict.fromkeys(ALL_VARIANTS[name] for name in variants)))
        check_available(_wanted(self._config["parameters"], variants, images=IMAGE_BANK in made))


def _check_bank(parameters: dict[str, Any], catalog: CatalogProtocol) -> None:
    """Refuse an image bank of another vision model than the one that is set: the model would not be what it is called.

    Raises:
        StateError: It is of another one.
    """
    if not catalog.exists(IMAGE_BANK):
        return
    bank = catalog.load(IMAGE_BANK)
    made_with = (bank.meta.get("vision") or {}).get("model")
    wanted = VisionParams.model_validate(parameters["vision"]).model
    if made_with not in (None, wanted):
        raise StateError(
            "the image bank was made with another vision model",
            file=bank.path,
            found=f"vision.model={made_with}",
            expected=f"vision.model={wanted}, as it is set",
            remedy="run `kedro run --pipelines=image_embedding` with the same --env and --params first, or set "
            f"vision_backbone={made_with} to go on with the images as they are.",
        )


def _wanted(parameters: dict[str, Any], variants: list[str], *, images: bool) -> dict[str, str]:
    """Return the setting that names a model -> the model, of those that are not the project's own."""
    wanted: dict[str, str] = {}
    for variant in variants:
        name = str(parameters[variant]["backbone"]["name"])
        if name != TINY:
            wanted.setdefault(f"{ALL_VARIANTS[variant]}_backbone", name)
    if images and parameters["data"]["image_embeddings"] is None:
        vision = VisionParams.model_validate(parameters["vision"])
        if vision.model != TINY:
            from vixml.images.vision import hub_name

            name_on_hub = hub_name(vision)
            wanted |= {} if name_on_hub is None else {"vision_backbone": name_on_hub}
    return wanted
