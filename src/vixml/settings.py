"""Kedro's settings of the project."""

from vixml.config import ProjectConfigLoader
from vixml.hooks import ProjectHooks
from vixml.tracking.hooks import TrackingHooks

HOOKS = (ProjectHooks(), TrackingHooks())
DISABLE_HOOKS_FOR_PLUGINS = ("kedro-telemetry",)

CONFIG_LOADER_CLASS = ProjectConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    # Kedro's default drops the siblings of whatever an environment overrides
    "merge_strategy": {"parameters": "soft", "mlflow": "soft", "globals": "soft"},
    "config_patterns": {"mlflow": ["mlflow*", "mlflow*/**"]},
}
