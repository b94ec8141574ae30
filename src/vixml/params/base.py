"""The base of all parameter models, and types that several of them share."""

from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict


class Params(BaseModel):
    """A frozen group of settings; an unknown key is an error, not a silent default."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def _at_least_one(value: int | str) -> int | str:
    if isinstance(value, int) and value < 1:
        raise ValueError("at least 1, or auto")
    return value


Processes: TypeAlias = Annotated[int | Literal["auto"], AfterValidator(_at_least_one)]
"""How many processes of this machine share the work; `auto` is one for each GPU."""
