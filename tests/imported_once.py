"""What the fork server of `processes.py` imports once."""

# ruff: noqa: F401
import tests.without_ibis  # isort: skip
import faiss
import kedro.framework.cli.cli
import kedro_mlflow.framework.cli.cli
import mlflow.cli
import open_clip
import plotly.io
import sklearn.feature_extraction.text
import torch
import transformers

import vixml.commands
from vixml.pipeline_registry import register_pipelines

torch.set_num_threads(1)
register_pipelines()
