"""The command `vixml`: `run`, `init-data` and so on, each a thin shell over a library function.

(Not `vixml/cli.py`: a module of that name extends Kedro's own command line.)
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from vixml.core.errors import ConfigError, user_error
from vixml.core.redact import HIDDEN, is_secret, redact
from vixml.serving.web.logs import LogFormat
from vixml.terminal.once import refuse_repeated

if TYPE_CHECKING:
    from vixml.configuration.origins import Setting
    from vixml.params.data.mapping import MappingParams

app = typer.Typer(
    name="vixml", help="ViXML: multimodal extreme classification.", no_args_is_help=True, add_completion=False
)

# Every option of `run` belongs to Kedro, `--help` too.
_PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


@app.callback()
def _commands() -> None:
    """Keep the name of the command in the command line even where there is only one."""


@app.command(context_settings=_PASS_ON)
def run(context: typer.Context) -> None:
    """Run pipelines: the same as `kedro run`, with the same options (`vixml run --help`)."""
    from kedro.framework.cli.utils import find_run_command
    from kedro.framework.project import configure_project
    from kedro.framework.startup import bootstrap_project

    if any(word.startswith("--conf-source") for word in context.args) and find_project() is None:
        configure_project("vixml")  # an installed package; results go below the current folder
    else:
        bootstrap_project(project_folder())
    with clear_errors():
        find_run_command("vixml")(args=list(context.args), prog_name="vixml run")


class Once(TyperCommand):
    """A command whose options of one value are given once."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words of the command line, after a look at what is given twice."""
        _, _, given = self.make_parser(ctx).parse_args(list(args))
        refuse_repeated(ctx, given)
        return super().parse_args(ctx, args)


One = str | None
Many = list[str] | None


@app.command("init-data", cls=Once)
def init_data(  # the names of the options are those of `vixml.ingestion.tables.infer.CHOICES`
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="Folder of your CSV, TSV, Parquet or JSON lines tables.")],
    name: Annotated[str, typer.Option(help="Name of the environment: conf/NAME, and data/*/NAME.")] = "mine",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an environment of this name.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the proposal, write nothing.")] = False,
    queries: Annotated[One, typer.Option(metavar="FILE", help="Queries, or training queries.")] = None,
    test_queries: Annotated[One, typer.Option(metavar="FILE", help="Test queries.")] = None,
    validation_queries: Annotated[One, typer.Option(metavar="FILE", help="Validation queries.")] = None,
    labels: Annotated[One, typer.Option(metavar="FILE", help="Labels with their texts.")] = None,
    pairs: Annotated[One, typer.Option(metavar="FILE", help="Pairs of query and label.")] = None,
    test_pairs: Annotated[One, typer.Option(metavar="FILE", help="Pairs of the test queries.")] = None,
    validation_pairs: Annotated[One, typer.Option(metavar="FILE", help="Pairs of the validation queries.")] = None,
    query_id: Annotated[One, typer.Option(metavar="COLUMN", help="Id of a query.")] = None,
    query_text: Annotated[Many, typer.Option(metavar="COLUMN", help="Text of a query.")] = None,
    query_images: Annotated[Many, typer.Option(metavar="COLUMN", help="Paths or URLs of a query's pictures.")] = None,
    query_labels: Annotated[Many, typer.Option(metavar="COLUMN", help="Labels of a query.")] = None,
    label_separators: Annotated[
        Many, typer.Option(metavar="SIGNS", help="Signs between labels of a cell; '' for one label.")
    ] = None,
    label_id: Annotated[One, typer.Option(metavar="COLUMN", help="Id of a label.")] = None,
    label_text: Annotated[Many, typer.Option(metavar="COLUMN", help="Text of a label.")] = None,
    label_images: Annotated[Many, typer.Option(metavar="COLUMN", help="Paths or URLs of a label's pictures.")] = None,
    pair_query: Annotated[One, typer.Option(metavar="COLUMN", help="Query of a pair.")] = None,
    pair_label: Annotated[One, typer.Option(metavar="COLUMN", help="Label of a pair.")] = None,
    pair_weight: Annotated[One, typer.Option(metavar="COLUMN", help="How much a pair counts.")] = None,
    split_by: Annotated[One, typer.Option(metavar="hash|last|column", help="How test queries are set aside.")] = None,
    split_column: Annotated[One, typer.Option(metavar="COLUMN", help="Says train, validation or test.")] = None,
    test_fraction: Annotated[float | None, typer.Option(min=0.0, max=1.0, help="Share of test queries.")] = None,
    max_lost: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of a file's rows that may be lost.")] = 0.01,
    delimiter: Annotated[str | None, typer.Option(metavar="SIGN", help="Between two cells of every CSV.")] = None,
    encoding: Annotated[str | None, typer.Option(help="Of every CSV, for instance cp1252.")] = None,
    quoting: Annotated[str | None, typer.Option(metavar="csv|none|single", help="Meaning of quote marks.")] = None,
    corrections: Annotated[Path | None, typer.Option(help="Table of a label audit, with your marks.")] = None,
) -> None:
    """Read your own tables, propose a role for each column, check them, and write an environment.

    An option overrides a guess; those of texts, images and `--query-labels` may be repeated, `--label-separators` with
    the latter. Queries are what gets labels: products, documents. Example: `init-data /data/my-tables --query-labels
    tags`. A published benchmark is recognised by its files, unless an option names a file or column.
    """
    from vixml.ingestion.benchmark.recognise import awaits_images, is_benchmark
    from vixml.ingestion.tables.environment import check_name, write_environment
    from vixml.ingestion.tables.infer import CHOICES, propose

    with clear_errors():
        project = project_folder()
        target = check_name(project / "conf", name, overwrite=overwrite or dry_run)
        chosen = {choice: context.params[choice] for choice in CHOICES}
        is_published = not any(value or value == "" for value in chosen.values()) and is_benchmark(folder)
        mapping = None if is_published else propose(folder, chosen)
        ticked = None if corrections is None else corrections.resolve().as_posix()
        report = _read_as_proposed(folder, mapping, ticked, max_lost)
        if dry_run:
            return
        root, base = folder.resolve(), project.resolve()
        place = root.relative_to(base) if root.is_relative_to(base) else root
        write_environment(target, place.as_posix(), mapping, report, max_lost=max_lost, corrections=ticked)
        awaits = report["repairs"].get("image_urls_not_downloaded") or (mapping is None and awaits_images(folder))
        _say_what_to_run(name, *(["image_download", "study"] if awaits else ["study"]))


def _say_what_to_run(environment: str, *pipelines: str) -> None:
    typer.echo(f"Wrote conf/{environment}/. Check it, then run:")
    for pipeline in pipelines:
        typer.echo(f"kedro run --env={environment} --pipeline={pipeline}")


def _read_as_proposed(
    folder: Path, mapping: MappingParams | None, corrections: str | None, max_lost: float
) -> dict[str, Any]:
    """Print the proposal, read the data by it, print what was read and what was lost; return the data report.

    Args:
        folder: The data.
        mapping: Which column is what; None for a published benchmark.
        corrections: Ticked table of a label audit.
        max_lost: Share of a file that may be lost.

    Raises:
        DataError: The data cannot be read, or more is lost.
    """
    from vixml.ingestion.benchmark.recognise import describe_benchmark
    from vixml.ingestion.ingest import ingest
    from vixml.ingestion.ledger import check_losses, ledger_rows
    from vixml.ingestion.tables.environment import describe, findings
    from vixml.params.data.ingestion import DataParams

    said = describe_benchmark(folder) if mapping is None else describe(mapping)
    _print_table(f"Proposed for {folder}", ("what", "column or file", "change it with"), said)
    params = DataParams(
        mapping=mapping, text_fields="auto", validation_fraction="auto", max_lost=1.0, corrections=corrections
    )
    report = ingest(folder, params, seed=0).report
    rows = ledger_rows(report["ledger"])
    _print_table("Files: what is taken, and what was guessed", ("file", "what", "change it with"), rows)
    _print_table("Found", ("what", "how many"), findings(report))
    check_losses(report["ledger"], max_lost)
    return report


@app.command("settings", cls=Once)
def show_settings(
    variant: Annotated[str | None, typer.Argument(help="A variant, or another section; all by default.")] = None,
    env: Annotated[str | None, typer.Option(help="Environment, as in `kedro run`.")] = None,
    params: Annotated[str, typer.Option(help="Settings, as in `kedro run`.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print every setting in force, and where it comes from: default, recipe, file or command line."""
    import json
    import logging

    def shown(setting: Setting) -> Any:
        return HIDDEN if setting.value is not None and is_secret(setting.name) else setting.value

    logging.disable(logging.INFO)  # Kedro announces its logging on the terminal, and JSON must be all that is there
    try:
        with clear_errors():
            found = _settings_in_force(project_folder(), section=variant, env=env, params=params)
    finally:
        logging.disable(logging.NOTSET)
    if as_json:
        typer.echo(
            json.dumps([{**vars(setting), "value": shown(setting)} for setting in found], indent=1, ensure_ascii=False)
        )
    else:
        rows = [(setting.name, json.dumps(shown(setting), ensure_ascii=False), setting.origin) for setting in found]
        _print_table(
            "Settings in force", ("setting", "value", "from"), rows, width=None if sys.stdout.isatty() else 160
        )


def _settings_in_force(
    project: Path, *, section: str | None = None, env: str | None = None, params: str = ""
) -> list[Setting]:
    """Return the settings that a run would have.

    Args:
        project: The project's folder.
        section: Only the settings of this variant or other section; None for all but the ablation's and the families',
            which are their variants' own.
        env: Environment.
        params: What `kedro run --params` would be given.

    Raises:
        ConfigError: There is no such section, or a setting is wrong; the nearest is named.
    """
    import click

    from vixml.cli import read_params
    from vixml.config import ProjectConfigLoader
    from vixml.configuration.compose import ABLATION, check_keys
    from vixml.configuration.recipes import FAMILIES
    from vixml.configuration.sections import check_names
    from vixml.settings import CONFIG_LOADER_ARGS

    try:
        runtime = read_params(params)
    except click.UsageError as err:
        raise ConfigError("`--params` cannot be read", found=params, expected=err.message) from err
    loader = ProjectConfigLoader(project / "conf", env=env, runtime_params=runtime, **CONFIG_LOADER_ARGS)
    check_keys(loader["parameters"])
    found = loader.settings()
    if section is None:
        return [setting for setting in found if setting.name.partition(".")[0] not in (*FAMILIES, *ABLATION)]
    check_names([section], dict.fromkeys(setting.name.partition(".")[0] for setting in found), prefix="")
    return [setting for setting in found if setting.name.partition(".")[0] == section]


def _print_table(title: str, header: tuple[str, ...], rows: list[Any], *, width: int | None = None) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*header, title=title, title_justify="left", box=box.SIMPLE)
    for row in rows:
        table.add_row(*map(Text, row))  # a column's name is no markup
    Console(width=width).print(table)


def project_folder() -> Path:
    """Return the folder of the Kedro project that the current directory belongs to.

    Raises:
        SystemExit: It belongs to none.
    """
    project = find_project()
    if project is None:
        sys.exit(
            "vixml: run this inside the project's folder (the one with pyproject.toml and conf/), or name its "
            "configuration: `vixml run --conf-source=FOLDER`."
        )
    return project


def find_project() -> Path | None:
    """Return the folder of the Kedro project that the current directory belongs to, None where it belongs to none.

    Raises:
        SystemExit: The current directory was removed.
    """
    from kedro.utils import find_kedro_project

    from vixml.core.files import current_folder

    project = find_kedro_project(current_folder())
    return None if project is None else Path(project)


@app.command(cls=Once)
def serve(
    model: Annotated[list[Path], typer.Option(help="Model folder of a variant; repeat it for several.")],
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 opens it to the whole network.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = 8000,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    images: Annotated[
        list[Path] | None, typer.Option(help="Picture folder of a model from another machine; repeatable.")
    ] = None,
    follow: Annotated[bool, typer.Option(help="Answer with a newer model once its folder is replaced.")] = True,
    at_work: Annotated[int, typer.Option(help="Questions answered side by side.", min=1)] = 4,
    waiting: Annotated[int, typer.Option(help="Questions that may wait; more get 503.", min=0)] = 32,
    queue_mib: Annotated[int, typer.Option(help="MiB of all these questions together.", min=50)] = 512,
    grace: Annotated[int, typer.Option(help="Seconds for what was begun, when asked to end.", min=1)] = 25,
    logs: Annotated[LogFormat, typer.Option(help="json: one object a line, requests too.")] = LogFormat.TEXT,
) -> None:
    """Serve trained models on a small web page: type a text, drop an image, see the labels."""
    from vixml.serving.web.server import serve as serve_models

    with clear_errors():
        typer.echo(f"Opening {', '.join(map(str, model))} ...")
        serve_models(
            model,
            host=host,
            port=port,
            device=device,
            image_roots=images or [],
            follow=follow,
            at_work=at_work,
            waiting=waiting,
            megabytes=queue_mib,
            grace=grace,
            logs=logs,
            say=typer.echo,
        )


@app.command(cls=Once)
def join(
    rendezvous: Annotated[str, typer.Argument(help="Address of the run, HOST:PORT: its training.rendezvous.")],
    machines: Annotated[int, typer.Option(help="training.machines of the run.", min=2)] = 2,
    processes: Annotated[int, typer.Option(help="Processes on this machine; 0: one per GPU.", min=0)] = 0,
    patience: Annotated[float, typer.Option(help="End after this many minutes without work.", min=0.1)] = 30,
) -> None:
    """Help a run on another machine to train; type it in the same project folder, on a shared disk."""
    from vixml.distributed.launch import Machines
    from vixml.distributed.machines import num_gpus
    from vixml.training.ranks.job import join as take_part

    with clear_errors(), TemporaryDirectory(prefix="vixml-join-") as folder:
        typer.echo(f"Waiting for a run at {rendezvous} ...")
        place = Machines(processes or num_gpus(), machines, rendezvous, patience=60 * patience)
        done = take_part(place, Path(folder), say=typer.echo)
        typer.echo(f"No work for {patience:g} minutes. Took part in {done} stages.")


@app.command(cls=Once)
def export_mlflow(
    model: Annotated[Path, typer.Option(help="Model folder of a variant.")],
    to: Annotated[Path, typer.Option(help="New folder of the MLflow model.")],
    register: Annotated[str | None, typer.Option(help="Also register it under this name.")] = None,
) -> None:
    """Write a trained model as an MLflow model, for `mlflow models serve -m FOLDER --env-manager local`."""
    from vixml.tracking.export import export_model

    with clear_errors():
        version = export_model(model, to, register=register)
        typer.echo(f"{to}" if version is None else f"{to}, registered as {register} version {version}")


@app.command(cls=Once)
def export(
    model: Annotated[Path, typer.Option(help="Model folder of a variant.")],
    to: Annotated[Path, typer.Option(help="New folder.")],
    encoder: Annotated[bool, typer.Option(help="Write the text encoder for sentence-transformers.")] = True,
    indexes: Annotated[bool, typer.Option(help="Write faiss indexes of the label vectors.")] = True,
    onnx: Annotated[bool, typer.Option(help="Write the text encoder as ONNX too (extra `onnx`).")] = False,
    metrics: Annotated[Path | None, typer.Option(help="The variant's metrics.json, for the model card.")] = None,
) -> None:
    """Export a model to other tools: sentence-transformers, vector databases, ONNX, with a model card."""
    from vixml.export.export import export_predictor

    with clear_errors():
        report = export_predictor(model, to, encoder=encoder, indexes=indexes, onnx=onnx, metrics=metrics)
        rows = [
            (one["form"], f"{one['bytes']:,}", *(f"{100 * value:.2f} %" for name, value in one.items() if "@" in name))
            for one in report["indexes"]
        ]
        if rows:
            names = tuple(name for name in report["indexes"][0] if "@" in name)
            _print_table("What each index keeps of an exact search", ("vectors", "bytes", *names), rows)
        typer.echo(f"{to}")


@contextmanager
def clear_errors() -> Iterator[None]:
    """Turn an error that the user can cause into its message and exit code 1, without a traceback."""
    try:
        yield
    except Exception as err:
        shown = user_error(err)
        if shown is None:
            raise
        typer.echo(redact(f"vixml: {shown}"), err=True)
        raise typer.Exit(1) from None


def main() -> None:
    """Run the command line."""
    app()
