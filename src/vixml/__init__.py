"""ViXML: multimodal extreme multi-label classification as a Kedro project.

from vixml import Predictor
Predictor.open("data/06_models/demo/encoder_vision").predict(["red shoe"], images=["shoe.png"], k=5)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vixml.serving.predictor import Predictor

__version__ = "0.1.0"
__all__ = ["Predictor", "__version__"]


def __getattr__(name: str) -> Any:
    """Import the predictor when it is asked for: the command line and Kedro need none of what it needs."""
    if name == "Predictor":
        from vixml.serving.predictor import Predictor

        return Predictor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
