"""The tests mirror the tree: `tests/ROOM/test_MODULE.py` tests `src/vixml/ROOM/MODULE.py`, or here is why not."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

ELSEWHERE = {
    "__main__.py": ("test_commands.py", "starts the commands"),
    "settings.py": ("test_config.py", "what Kedro reads of the project"),
    "pipeline_registry.py": ("pipelines/test_registry.py", "names the pipelines"),
    "classifier/features.py": ("classifier/test_ridge.py", "the inputs of the classifier, made and used in one go"),
    "configuration/reference.py": ("test_docs.py", "writes docs/reference/configuration.md, which is compared with it"),
    "evaluation/archive.py": ("datasets/test_run_archive.py", "archives, written and read back"),
    "evaluation/stages.py": ("evaluation/test_evaluate.py", "every test goes through the stages"),
    "freshness/origin.py": ("freshness/test_runner.py", "origins, seen by what runs"),
    "images/in_flight.py": ("images/test_decode.py", "limits on what is decoded"),
    "core/guards/regular.py": ("images/test_decode.py", "image files that are none"),
    "images/shards.py": ("images/test_bank.py", "a bank is built of shards; killed, it continues at its shard"),
    "ingestion/source.py": ("ingestion/test_ingest.py", "what readers hand to ingestion, without code of its own"),
    "ingestion/benchmark/text_lines.py": ("ingestion/benchmark/test_layouts.py", "text lines stand beside matrices"),
    "ingestion/tables/environment.py": ("ingestion/tables/test_infer.py", "what was inferred, written and read back"),
    "ingestion/tables/files.py": ("ingestion/tables/test_read.py", "a step of reading tables"),
    "ingestion/tables/items.py": ("ingestion/tables/test_read.py", "a step of reading tables"),
    "ingestion/tables/pairs.py": ("ingestion/tables/test_read.py", "a step of reading tables"),
    "ingestion/tables/profile.py": ("ingestion/tables/test_infer.py", "what inference knows of a column"),
    "losses/decoupled_softmax.py": (
        "losses/test_objective.py",
        "an objective: against a loop over pairs",
    ),
    "losses/dexa.py": ("losses/test_objective.py", "an objective"),
    "losses/ngame.py": ("losses/test_objective.py", "an objective"),
    "models/dual.py": ("models/test_build.py", "an embedder and a label side, built and reopened"),
    "models/item_batch.py": ("models/test_sequence.py", "batches of items become sequences"),
    "models/text/compatibility.py": ("models/test_architectures.py", "each architecture is made to fit"),
    "models/text/dropout.py": ("models/text/test_attention.py", "the dropout of attention"),
    "ranking/fitting.py": ("ranking/test_blend.py", "the weights of the blend"),
    "ranking/lexical.py": ("ranking/test_features.py", "a feature of the ranking"),
    "ranking/similarity.py": ("ranking/test_features.py", "a feature of the ranking"),
    "ranking/whitening.py": ("ranking/test_features.py", "a feature of the ranking"),
    "serving/bundle.py": ("serving/test_predictor.py", "what a predictor opens"),
    "serving/bundle_parts.py": ("serving/test_predictor.py", "makes what a predictor opens"),
    "models/saved.py": ("serving/test_malformed.py", "models from elsewhere"),
    "serving/contents.py": ("serving/test_malformed.py", "folders from elsewhere, malformed in every way"),
    "core/guards/untrusted.py": ("serving/test_malformed.py", "files of such folders"),
    "core/guards/seal.py": ("serving/test_malformed.py", "seals of such folders"),
    "serving/encoder.py": ("serving/test_predictor.py", "how a predictor embeds"),
    "serving/restricted.py": ("serving/test_filters.py", "searches some labels only"),
    "serving/web/pictures.py": ("serving/web/test_app.py", "pictures of questions and of the page"),
    "serving/web/question.py": ("serving/web/test_app.py", "questions and their answers"),
    "tracking/pyfunc_model.py": (
        "serving/test_same_everywhere.py",
        "what every other way says",
    ),
    "tracking/record.py": ("tracking/test_dead_store.py", "what waits for a store"),
    "tracking/runs.py": ("tracking/test_hooks.py", "runs as the hooks write them"),
    "tracking/store.py": ("tracking/test_dead_store.py", "a store that is down"),
    "training/peak_memory.py": ("training/test_stages.py", "a fact of a trained model"),
    "configuration/origins.py": ("test_commands.py", "`vixml settings` shows them"),
    "configuration/sections.py": ("configuration/test_layers.py", "which settings stand where"),
    "core/accelerator.py": ("configuration/test_choice.py", "what a recipe is chosen by"),
    "ranking/fit_evidence.py": ("ranking/test_evidence.py", "evidence and its weights"),
    "ranking/store.py": ("ranking/test_evidence.py", "a ranking, saved and opened"),
    "training/state.py": ("training/test_checkpoint.py", "what a checkpoint holds"),
    "training/training_data.py": ("training/test_loop.py", "a bundle without code"),
}
"""Module -> the test file that tests it, and why it has none of its own name."""

ROOMS = {
    "params": ("params/test_params.py", "settings without code of their own: one contract for all of them"),
    "pipelines": ("pipelines/test_contract.py", "thin nodes and their wiring: contracts over all pipelines"),
}
"""Rooms whose modules share a test file."""


def without_a_test_of_their_name() -> set[str]:
    source = ROOT / "src" / "vixml"
    modules = (file.relative_to(source) for file in source.rglob("*.py") if file.name != "__init__.py")
    return {
        module.as_posix() for module in modules if not (ROOT / "tests" / module.parent / f"test_{module.name}").exists()
    }


def test_every_module_has_a_test_of_its_name_or_a_reason():
    missing = {name for name in without_a_test_of_their_name() if name.split("/")[0] not in ROOMS}
    assert missing - set(ELSEWHERE) == set(), "write tests of these names, or list where they are tested and why"
    assert set(ELSEWHERE) - missing == set(), "these have a test of their own now, or are gone"


def test_what_is_tested_elsewhere_is_tested_there():
    for file, _ in [*ELSEWHERE.values(), *ROOMS.values()]:
        assert (ROOT / "tests" / file).is_file(), file
