"""The session of a run: how errors are shown, which runner there is, and one run at a time in a process."""

from __future__ import annotations

import logging
import re
import sys
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import click
from kedro.framework.session import KedroSession
from kedro.runner import SequentialRunner
from kedro.validation.exceptions import ParameterValidationError
from pydantic import ValidationError

from vixml.configuration.compose import ALL_VARIANTS, VARIANTS
from vixml.configuration.sections import model_of, sections
from vixml.core.errors import ConfigError, user_error
from vixml.core.redact import redact
from vixml.exclusive import ExclusiveHooks
from vixml.freshness.runner import FreshRunner
from vixml.params.base import Params

EXCLUSIVE = ExclusiveHooks()
"""The hooks that claim the outputs of this process's run."""

_AT_WORK = threading.Lock()
_NAMED = re.compile(r"^- Parameter '([^']+)'", re.MULTILINE)


class ProjectSession(KedroSession):
    """Kedro's session; its only runner is `FreshRunner`, and it shows a user's mistakes as sentences."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        show_errors_briefly(self._project_path / "logs" / "last_error.txt")

    def run(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Run pipelines, see `KedroSession.run`.

        Raises:
            ConfigError: There is no such pipeline, node or namespace; a setting is wrong; another runner is asked for.
            StateError: Another run is writing the same outputs.
        """
        kwargs["runner"] = _runner(kwargs.get("runner"))
        if not _AT_WORK.acquire(blocking=False):
            raise ConfigError(
                "this process is running a pipeline already", remedy="start the second run in a separate process."
            )
        try:
            result: dict[str, Any] = super().run(*args, **kwargs)
        except KeyboardInterrupt:
            click.echo(
                "\nInterrupted. What is complete stays: the same command with --only-missing-outputs goes on.", err=True
            )
            raise
        except ParameterValidationError as err:
            raise _wrong_settings(err, self._get_config_loader()["parameters"]) from err
        except ValueError as err:
            if type(err) is not ValueError or getattr(kwargs["runner"], "began", True):
                raise
            raise ConfigError(  # Kedro's own, which it raises where it finds nothing of the name that was typed
                " ".join(str(err).split()),
                remedy="`kedro registry list` names all pipelines, `kedro registry describe NAME` the nodes of one.",
            ) from err
        finally:
            EXCLUSIVE.release()
            _AT_WORK.release()
        return result


def _runner(asked: Any) -> FreshRunner:
    """Return the runner of a run.

    Raises:
        ConfigError: Another one is asked for.
    """
    if isinstance(asked, FreshRunner):
        return asked
    if asked is None or (type(asked) is SequentialRunner and not asked._is_async):
        return FreshRunner()
    name = f"{type(asked).__name__}{', asynchronous' if getattr(asked, '_is_async', False) else ''}"
    raise ConfigError(
        "this project runs its nodes one after another: other runners keep neither the order of random numbers nor "
        "the record of a run",
        found=name,
        remedy="leave out --runner and --async. Different variants may run at the same time, each with its own "
        "command: `kedro run --pipelines=encoder_text`.",
    )


def _wrong_settings(error: ParameterValidationError, parameters: Mapping[str, Any]) -> ConfigError:
    """Return what Kedro found wrong as one error that names each wrong setting once, not once a variant."""
    models = sections()
    models |= dict.fromkeys(ALL_VARIANTS, models["encoder"])
    wrong: dict[tuple[str, str], list[str]] = {}
    for section in _NAMED.findall(str(error)):
        try:
            models[section].model_validate(parameters.get(section))
        except ValidationError as reason:
            for place, message in _reasons(reason, models[section]).items():
                wrong.setdefault((place, message), []).append(section)
        except KeyError:  # a plain value, whose type says what it must be
            pass
    reasons = [f"`{'`, `'.join(_names(found, place))}`: {message}" for (place, message), found in wrong.items()]
    return ConfigError(
        "; ".join(reasons) or " ".join(str(error).split()),
        remedy="`vixml settings` prints the settings in force and where each one comes from.",
    )


def _reasons(error: ValidationError, model: type[Params]) -> dict[str, str]:
    """Return what is wrong with each setting of a section; of a setting that may be several things, all of them."""
    told: dict[str, str] = {}
    for one in error.errors(include_url=False):
        place, at = [], model
        for part in one["loc"]:
            if isinstance(part, str) and part not in at.model_fields:
                break  # not a setting but one of the things that it may be
            place.append(str(part))
            at = (model_of(at.model_fields[part]) if isinstance(part, str) else None) or at
        name, message = ".".join(place), one["msg"].removeprefix("Value error, ")
        found = f" (found {one['input']!r})" if place and not isinstance(one["input"], Mapping) else ""
        before = told[name].removesuffix(found) + " or " if name in told else ""
        told[name] = before + (message.removeprefix("Input should be ") if before else message) + found
    return told


def _names(found: list[str], place: str) -> list[str]:
    """Return what a setting is called: by its family where all variants of that are concerned."""
    families = {family: [name for name, of in VARIANTS.items() if of == family] for family in VARIANTS.values()}
    whole = [family for family, variants in families.items() if set(variants) <= set(found)]
    rest = [section for section in found if ALL_VARIANTS.get(section) not in whole]
    return [f"{section}.{place}" if place else section for section in [*whole, *rest]]


def show_errors_briefly(log_file: Path) -> None:
    """Let an error that the user can cause end the process with its sentence alone, and exit code 1.

    The traceback goes to `log_file`; any other error keeps its traceback on the terminal. Neither shows a secret. What
    Kedro logs of wrong settings, once a variant, is in the sentence.
    """
    logging.getLogger("kedro.validation.parameter_validator").setLevel(logging.CRITICAL)
    other = getattr(sys.excepthook, "other", sys.excepthook)

    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        shown = user_error(error, ParameterValidationError)
        whole = "".join(traceback.format_exception(kind, error, trace))
        clean = redact(whole)
        if shown is None:
            if clean == whole:
                other(kind, error, trace)
            else:
                click.echo(clean, err=True)
            return
        click.secho(redact(f"Error: {shown}"), err=True, fg="red")
        try:
            log_file.parent.mkdir(parents=True, exist_ok=True)
            log_file.write_text(clean, encoding="utf-8", errors="backslashreplace")
            click.echo(f"(traceback: {log_file})", err=True)
        except OSError:  # the disk is full, for one, or the folder is another user's
            pass

    show.other = other  # type: ignore[attr-defined]
    sys.excepthook = show
