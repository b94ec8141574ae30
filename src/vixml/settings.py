"""Kedro's settings of the project."""

import logging
import os

from vixml.config import ProjectConfigLoader
from vixml.context import ProjectContext
from vixml.freshness.hooks import FreshnessHooks
from vixml.hooks import ProjectHooks, WorkHooks
from vixml.preflight import PreflightHooks
from vixml.session import EXCLUSIVE, ProjectSession
from vixml.status import StatusHooks
from vixml.terminal.hooks import TerminalHooks
from vixml.tracking.hooks import TrackingHooks

# A waiting OpenMP thread spins for long by default: where other processes want the cores, a training step then takes up
# to 40 times as long; one that sleeps at once (OMP_WAIT_POLICY=PASSIVE) doubles it on a quiet machine. A short spin
# does neither. Read when torch is loaded, which is later than this.
os.environ.setdefault("GOMP_SPINCOUNT", "20000")

# comments of third parties on each other's code: conf/logging.yml silences what goes through logging
logging.captureWarnings(True)
# MLflow announces its database and every start and end of a system monitor on the terminal, in a format of its own
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")

# The last one registered is called first: a run that the checks refuse must not open an MLflow run, and the terminal's
# last lines come after everything else.
HOOKS = (
    TerminalHooks(),
    TrackingHooks(),
    StatusHooks(),
    FreshnessHooks(),
    PreflightHooks(),
    ProjectHooks(),
    WorkHooks(),
    EXCLUSIVE,
)
SESSION_CLASS = ProjectSession
CONTEXT_CLASS = ProjectContext
# kedro-mlflow asks the server at every start, so a dead one would end it; vixml.tracking reads its settings instead
DISABLE_HOOKS_FOR_PLUGINS = ("kedro-telemetry", "kedro_mlflow")

CONFIG_LOADER_CLASS = ProjectConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    # Kedro's default drops the siblings of whatever an environment overrides
    "merge_strategy": {"parameters": "soft", "mlflow": "soft", "globals": "soft"},
    "config_patterns": {"mlflow": ["mlflow*", "mlflow*/**"]},
}
