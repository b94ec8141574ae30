"""ViXML: multimodal extreme multi-label classification as a Kedro project."""

__version__ = "0.1.0"
