"""The small shop's models, which the serving tests train."""

from tests.serving.conftest import models, root

__all__ = ["models", "root"]
