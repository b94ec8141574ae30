"""Settings of tracking, read from conf/*/mlflow.yml: kedro-mlflow's own sections, and ours under the key `vixml`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.config import MissingConfigException
from pydantic import Field, ValidationError

from vixml.core.errors import ConfigError, invalid_settings
from vixml.params.base import Params
from vixml.tracking.store import Store

if TYPE_CHECKING:
    from kedro.framework.context import KedroContext


class TrackingParams(Params):
    """What the project adds to kedro-mlflow's settings."""

    enabled: bool = True
    """Whether runs are tracked at all."""
    system_metrics: bool = True
    """Whether MLflow samples processor, memory, disk, network and GPU every 10 seconds of a run."""
    timeout_seconds: float = Field(default=10.0, gt=0)
    """Longest HTTP request, in seconds; the environment variable MLFLOW_HTTP_REQUEST_TIMEOUT wins."""
    wait_seconds: float = Field(default=20.0, ge=0)
    """How long the end of a run waits for records that are still on their way, in seconds."""


def read_settings(context: KedroContext) -> tuple[TrackingParams, Store, list[str]] | None:
    """Read the configuration, make the store known to this process and to `kedro mlflow ui`, and open nothing.

    kedro-mlflow's own hook would ask the server at every start, which a dead one would end; so it is switched off
    (settings.py), and its configuration is read here.

    Returns:
        Settings, store, and the pipelines that are not tracked; None without a configuration.

    Raises:
        ConfigError: A key or value that mlflow.yml must not hold.
    """
    try:
        conf: dict[str, Any] = dict(context.config_loader["mlflow"])
    except MissingConfigException:
        return None
    import mlflow
    from kedro_mlflow.config.kedro_mlflow_config import KedroMlflowConfig

    try:
        params = TrackingParams.model_validate(conf.pop("vixml", None) or {})
        config = KedroMlflowConfig.model_validate(conf)
    except ValidationError as err:
        raise invalid_settings(err, "mlflow.yml", remedy="see conf/base/mlflow.yml.") from err
    server, experiment = config.server, config.tracking.experiment
    default = f"sqlite:///{Path(context.project_path).as_posix()}/mlflow.db"
    server.mlflow_tracking_uri = server.mlflow_tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or default
    artifacts = experiment.create_experiment_kwargs.artifact_location
    if params.enabled:
        _check_addresses(Path(context.project_path), server.mlflow_tracking_uri, artifacts)
    _export_credentials(context, server.credentials)
    config._register_request_header_provider(context)  # for tokens that expire; makes no request
    mlflow.set_tracking_uri(server.mlflow_tracking_uri)
    mlflow.set_registry_uri(server.mlflow_registry_uri)
    context.__setattr__("mlflow", config)  # what `kedro mlflow ui` reads
    store = Store(server.mlflow_tracking_uri, experiment.name, artifacts, timeout=params.timeout_seconds)
    return params, store, list(config.tracking.disable_tracking.pipelines)


def _check_addresses(project: Path, *addresses: str | None) -> None:
    """Make sure that addresses of places inside the project lead there: some characters mean something else in them.

    Raises:
        ConfigError: MLflow would write beside the project.
    """
    folder = project.as_posix()
    odd = next((sign for sign in "?%" if sign in folder), None)
    if odd is not None and any(folder in (address or "") for address in addresses):
        raise ConfigError(
            f"MLflow cannot keep its database inside this project: `{odd}` has a special meaning in its addresses",
            file=folder,
            remedy="rename the folder, or set other locations in conf/local/mlflow.yml: server.mlflow_tracking_uri "
            "and tracking.experiment.create_experiment_kwargs.artifact_location.",
        )


def _export_credentials(context: KedroContext, name: str | None) -> None:
    """Put the named entry of conf/local/credentials.yml into the environment, where MLflow looks for it.

    Raises:
        ConfigError: There is no such entry.
    """
    if name is None:
        return
    try:
        credentials = context.config_loader["credentials"]
    except MissingConfigException:
        credentials = {}
    entry = credentials.get(name)
    if not isinstance(entry, Mapping):
        raise ConfigError(
            f"mlflow.yml names the credentials `{name}`, which do not exist",
            expected=f"an entry `{name}` in conf/local/credentials.yml, for instance MLFLOW_TRACKING_TOKEN",
        )
    os.environ.update({str(key): str(value) for key, value in entry.items()})
