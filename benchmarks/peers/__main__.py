"""Peers on a data set that `ingestion` has read: PECOS' XR-Linear, and a fine-tuned sentence-transformers model.

    kedro run --pipeline=ingestion --params data_root=/data/my-shop
    python -m benchmarks.peers data/03_primary/my-shop/dataset --model=/models/minilm-l6

Each peer gets an environment of its own under `--work`, reads the same texts as ViXML, learns from training and
validation queries, and is measured on the test queries with the same filter and the same metrics.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from benchmarks.peers.environments import NEEDS, run_peer
from benchmarks.peers.exchange import measure, write_inputs
from vixml.core.directories import open_sealed
from vixml.data.dataset import Dataset

METRICS = ("P@1", "P@5", "PSP@5", "R@10")


def main(arguments: list[str] | None = None) -> None:
    """Run the peers, print a Markdown table, write a JSON beside the environments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help="published data set: data/03_primary/NAME/dataset")
    parser.add_argument("--peers", default=",".join(NEEDS), help="which of them, separated by commas")
    parser.add_argument("--work", type=Path, default=Path("data/peers"), help="environments and results")
    parser.add_argument("--model", default="sentence-transformers/all-MiniLM-L6-v2", help="of the bi-encoder")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=float, default=1.0, help="of the bi-encoder, over all pairs")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=2e-5)
    parser.add_argument("--max-length", type=int, default=48, help="tokens of a text")
    settings = vars(parser.parse_args(arguments))
    work, name = settings.pop("work").absolute(), settings["dataset"].absolute()
    dataset, found = Dataset(open_sealed(name, kind="dataset")), {}
    settings["dataset"] = str(name)
    for peer in settings.pop("peers").split(","):
        folder = work / name.parent.name / peer
        write_inputs(dataset, folder, settings)
        run_peer(peer, folder, work / "environments")
        found[peer] = measure(dataset, folder)
        (work / name.parent.name / "peers.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    print(f"| peer | {' | '.join(METRICS)} | training, s | ranking, s |\n|---|{'---|' * (len(METRICS) + 2)}")
    for peer, facts in found.items():
        figures = [f"{100 * facts['metrics'][metric]:.2f}" for metric in METRICS]
        times = [f"{facts[key]:.0f}" for key in ("training_seconds", "ranking_seconds")]
        print(f"| {peer} | {' | '.join(figures + times)} |")


if __name__ == "__main__":
    main()
