"""What the fork server of `commands.py` imports once."""

import faiss  # noqa: F401
import kedro.framework.cli.cli
import kedro_mlflow.framework.cli.cli
import mlflow.cli
import open_clip
import plotly.io
import sklearn.feature_extraction.text
import torch
import transformers

import vixml.commands
import vixml.pipeline_registry  # noqa: F401

torch.set_num_threads(1)
