"""Kedro's settings of the project."""

import os

from vixml.config import ProjectConfigLoader
from vixml.hooks import ProjectHooks
from vixml.tracking.hooks import TrackingHooks

# Waiting OpenMP threads spin by default: on a machine whose cores are busy a training step then takes 40 times as long.
# Read when torch is loaded, which is later than this.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# The last one registered is called first: a run that the checks refuse must not open an MLflow run.
HOOKS = (TrackingHooks(), ProjectHooks())
DISABLE_HOOKS_FOR_PLUGINS = ("kedro-telemetry",)

CONFIG_LOADER_CLASS = ProjectConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    # Kedro's default drops the siblings of whatever an environment overrides
    "merge_strategy": {"parameters": "soft", "mlflow": "soft", "globals": "soft"},
    "config_patterns": {"mlflow": ["mlflow*", "mlflow*/**"]},
}
