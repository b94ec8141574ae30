"""What the fork server of `processes.py` imports once."""

# ruff: noqa: F401
import tests.shortcuts  # isort: skip
import gc
import importlib
import pkgutil

import accelerate
import faiss
import kedro.framework.cli.cli
import kedro_datasets.pandas.csv_dataset
import kedro_datasets.plotly
import kedro_mlflow.framework.cli.cli
import kedro_telemetry.plugin
import kedro_viz.launchers.cli.main
import mlflow.cli
import mlflow.pyfunc
import mlflow.store.tracking.sqlalchemy_store
import open_clip
import peft
import pip._internal.commands.install
import pip._internal.commands.show
import plotly.express
import plotly.io
import pyarrow.dataset
import sklearn.feature_extraction.text
import torch
import torch.distributed.checkpoint
import transformers.models.bert.modeling_bert
import transformers.models.distilbert.modeling_distilbert
import transformers.models.qwen2.modeling_qwen2
import transformers.quantizers.auto
from transformers.conversion_mapping import get_checkpoint_conversion_mapping

import vixml
from vixml.pipeline_registry import register_pipelines

torch.set_num_threads(1)
for module in pkgutil.walk_packages(vixml.__path__, "vixml."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
register_pipelines()
get_checkpoint_conversion_mapping("bert")  # compiles the patterns of all models
# a collection in a forked process would write to, and so copy, the pages of all that is imported
gc.collect()
gc.freeze()
