"""The base of all parameter models."""

from pydantic import BaseModel, ConfigDict


class Params(BaseModel):
    """A frozen group of settings; an unknown key is an error, not a silent default."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
