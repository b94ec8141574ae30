"""Cold start: labels added after training, beside the same labels trained (docs/how-to/new_labels.md).

python benchmarks/cold_start.py split --raw RAW --out RAW-cold --fraction 0.1
kedro run --pipeline=study --params "data_root=RAW,..."           # all labels
kedro run --pipeline=study --params "data_root=RAW-cold,..."      # without the held-out ones
python benchmarks/cold_start.py report --full NAME --cold NAME-cold --held-out RAW-cold --variant encoder_vision
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from benchmarks.hold_out import HELD_OUT, hold_out_labels
from vixml.params.evaluation import EvaluationParams
from vixml.params.retrieval import LabelUpdateParams


def main() -> None:
    """Read the command line and do one of the two steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = parser.add_subparsers(dest="step", required=True)
    split = steps.add_parser("split", help="write raw files without a share of the labels")
    split.add_argument("--raw", type=Path, required=True)
    split.add_argument("--out", type=Path, required=True)
    split.add_argument("--fraction", type=float, default=0.1)
    split.add_argument("--seed", type=int, default=0)
    split.add_argument("--with-content", action="store_true", help="text is title and content (data.text_fields)")
    report = steps.add_parser("report", help="compare the two trained models")
    report.add_argument("--project", type=Path, default=Path(), help="project folder with data/")
    report.add_argument("--full", required=True, help="data set of all labels")
    report.add_argument("--cold", required=True, help="data set without the held-out labels")
    report.add_argument("--held-out", type=Path, required=True, help="raw folder that `split` wrote")
    report.add_argument("--variant", default="encoder_vision")
    report.add_argument("--propensity", type=float, nargs=2, default=(0.55, 1.5), metavar=("A", "B"))
    report.add_argument("--json", type=Path, help="also write the rows to this file")
    args = parser.parse_args()
    if args.step == "split":
        print(
            json.dumps(
                hold_out_labels(
                    args.raw, args.out, fraction=args.fraction, seed=args.seed, with_content=args.with_content
                )
            )
        )
    else:
        _report(args)


def _report(args: argparse.Namespace) -> None:
    from benchmarks.held_out_labels import ColdStartData, cold_start_report
    from vixml.data.matrix import read_matrix
    from vixml.serving.bundle import PredictorBundle
    from vixml.serving.labels import LabelChanges

    data = args.project / "data"

    def opened(store: str) -> tuple[PredictorBundle, np.ndarray]:
        bundle = PredictorBundle.open(data / "06_models" / store / args.variant)
        file = data / "07_model_output" / store / args.variant / "embeddings" / "test_queries.npy"
        return bundle, np.load(file, allow_pickle=False)

    names = ("relevance_train", "relevance_test", "filter_test")
    matrices = [read_matrix(data / "03_primary" / args.full / "dataset" / f"{name}.npz") for name in names]
    evaluation = EvaluationParams(propensity_a=args.propensity[0], propensity_b=args.propensity[1])
    held_out = LabelChanges.read(LabelUpdateParams(add=str(args.held_out / HELD_OUT)))
    rows = cold_start_report(*opened(args.full), *opened(args.cold), held_out, ColdStartData(*matrices, evaluation))
    shown = ["cold/R@1", "cold/R@5", "cold/R@10", "cold/R@100", "cold/PSP@5", "trained/R@10", "all/P@1", "all/PSP@5"]
    print("| labels | " + " | ".join(shown) + " |\n|---" + "|---" * len(shown) + "|")
    for row in rows:
        print(f"| {row['labels']} | " + " | ".join(f"{100 * row[name]:.2f}" for name in shown) + " |")
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
