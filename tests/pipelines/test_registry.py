import subprocess
import sys

from vixml.configuration.compose import VARIANTS
from vixml.pipeline_registry import producer_of, register_pipelines

STAGES = {
    "fabrication",
    "image_download",
    "ingestion",
    "image_embedding",
    "training",
    "hard_negative_refresh",
    "evaluation",
    "comparison",
    "ablation",
    "index_report",
    "label_audit",
    "teaching",
    "distillation",
    "label_update",
    "prediction",
    "sync_tracking",
}


def test_names():
    assert set(register_pipelines()) == {*STAGES, *VARIANTS, "study", "__default__"}


def test_study_is_the_default_without_the_demo_data():
    pipelines = register_pipelines()
    fabricated = set(pipelines["__default__"].nodes) - set(pipelines["study"].nodes)
    assert fabricated == set(pipelines["fabrication"].nodes)


def test_the_stages_together_are_the_variants():
    pipelines = register_pipelines()
    stages = {n.name for name in ("training", "evaluation") for n in pipelines[name].nodes}
    assert stages == {node.name for name in VARIANTS for node in pipelines[name].nodes}


def test_training_needs_nothing_that_comes_later():
    pipelines = register_pipelines()
    earlier = {o for name in ("fabrication", "ingestion", "image_embedding") for o in pipelines[name].all_outputs()}
    needed = {name for name in pipelines["training"].inputs() if not name.startswith("params:")}
    assert needed - earlier == set()


def test_the_producer_is_the_smallest_pipeline():
    assert producer_of("dataset") == "ingestion"
    assert producer_of("image_bank") == "image_embedding"
    assert producer_of("encoder_text.tokens") == "encoder_text"
    assert producer_of("nothing") is None


def test_the_registry_loads_no_heavy_library():
    heavy = ("torch", "transformers", "open_clip", "timm", "peft", "faiss", "sklearn", "mlflow")
    code = (
        "import sys; from vixml.pipeline_registry import producer_of, register_pipelines; register_pipelines(); "
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"


def test_kedro_registry_list_loads_neither_torch_nor_transformers(repository):
    code = (
        "import sys; from kedro.framework.cli.cli import main\n"
        "sys.argv = ['kedro', 'registry', 'list']\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "print('LOADED', [name for name in ('torch', 'transformers', 'open_clip') if name in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=repository)
    assert "LOADED []" in ended.stdout, ended.stdout + ended.stderr
    assert "encoder_vision" in ended.stdout
