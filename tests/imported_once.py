"""What the fork server of `processes.py` imports once, and what it works out once for all of its processes.

That is what the same process would find on its own, each time again: tables of parsers, the template of the figures,
the tiny vision model of the tests, which is the same for the same seed (tests/images/test_vision.py).
"""

# ruff: noqa: F401
import tests.shortcuts  # isort: skip
import functools
import gc
import importlib
import pkgutil
from pathlib import Path

import accelerate
import alembic.config
import faiss
import kedro.framework.cli.cli
import kedro_datasets.pandas.csv_dataset
import kedro_datasets.plotly
import kedro_mlflow.framework.cli.cli
import kedro_mlflow.framework.hooks.mlflow_hook
import kedro_telemetry.plugin
import kedro_viz.launchers.cli.main
import mlflow.cli
import mlflow.pyfunc
import mlflow.store.tracking.sqlalchemy_store
import mlflow.tracing.processor.base_mlflow
import open_clip
import peft
import PIL.Image
import pip._internal.commands.show
import plotly.express
import plotly.io
import pyarrow.dataset
import sklearn.feature_extraction.text
import sklearn.svm
import sqlalchemy.dialects.sqlite
import sqlalchemy.orm
import torch
import torch.distributed.checkpoint
import transformers.models.bert.modeling_bert
import transformers.models.distilbert.modeling_distilbert
import transformers.models.qwen2.modeling_qwen2
import transformers.quantizers.auto
from transformers.conversion_mapping import get_checkpoint_conversion_mapping

import vixml
from vixml.config import ProjectConfigLoader
from vixml.images import vision
from vixml.params.data.vision import VisionParams
from vixml.pipeline_registry import register_pipelines
from vixml.reporting.figures import learning_curves
from vixml.settings import CONFIG_LOADER_ARGS

torch.set_num_threads(1)
for module in pkgutil.walk_packages(vixml.__path__, "vixml."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
register_pipelines()
for kind in ("parameters", "catalog"):  # the parser of `${...}`
    ProjectConfigLoader(Path(vixml.__file__).parents[2] / "conf", **CONFIG_LOADER_ARGS)[kind]
learning_curves([{"step": 1, "epoch": 1, "loss": 0.0, "P@1": 0.0}], title="")
vision.load_vision(VisionParams(tiny_image_size=32), 0)
PIL.Image.init()  # imports the readers of all formats
sqlalchemy.orm.configure_mappers()
get_checkpoint_conversion_mapping("bert")  # compiles the patterns of all models
# a collection in a forked process would write to, and so copy, the pages of all that is imported
gc.collect()
gc.freeze()
