"""What the fork server of `commands.py` imports once."""

# ruff: noqa: F401
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
import vixml.pipeline_registry

torch.set_num_threads(1)
