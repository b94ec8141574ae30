"""`vixml serve`: opens models, listens, and ends in order."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from vixml.serving.web.app import create_app
from vixml.serving.web.limits import Admission, timed_protocol
from vixml.serving.web.logs import LogFormat, server_logs

LOOPBACK = ("127.0.0.1", "localhost", "::1")
GRACE_SECONDS = 25
_log = logging.getLogger(__name__)


def serve(
    folders: Sequence[Path],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    device: str = "auto",
    image_roots: Sequence[Path] = (),
    follow: bool = True,
    at_work: int | None = None,
    waiting: int | None = None,
    megabytes: int | None = None,
    grace: int = GRACE_SECONDS,
    logs: LogFormat = LogFormat.TEXT,
    say: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve predictors until interrupted: then accept nothing new, and end what was begun.

    Args:
        folders: Published predictors or variants' folders of models.
        host: Address to listen on. On any but the own machine's everybody in the network can ask.
        port: Port to listen on.
        device: Where the models run.
        image_roots: See `create_app`.
        follow: Whether a newer model takes the place of one whose folder is replaced.
        at_work: Questions answered side by side; see `Admission`.
        waiting: See `Admission`.
        megabytes: MiB of all questions let in; see `Admission`.
        grace: Seconds that are left, when asked to end, for what was begun.
        logs: See `server_logs`.
        say: Told the address, once all models are open.

    Raises:
        StateError: A folder holds no complete predictor.
    """
    import uvicorn

    from vixml.serving.predictor import Predictor

    def open_one(folder: Path) -> Predictor:
        return Predictor.open(folder, device=device)

    with server_logs(logs):
        admission = Admission(at_work, waiting, None if megabytes is None else megabytes << 20)
        predictors: dict[str, Predictor] = {}
        for folder in folders:
            predictor = open_one(folder)
            settings = predictor.bundle.settings
            name = settings.variant if settings.variant not in predictors else f"{settings.dataset}/{settings.variant}"
            predictors[name if name not in predictors else f"{name} {len(predictors) + 1}"] = predictor
        hosts = (*LOOPBACK, "[::1]") if host in LOOPBACK else ("*",)
        reopen = open_one if follow else None
        app = create_app(predictors, hosts=hosts, image_roots=image_roots, reopen=reopen, admission=admission)
        predictors.clear()  # the application holds them: one that is replaced must leave memory
        say(f"ViXML at http://{host}:{port} (stop with Ctrl+C)")
        uvicorn.run(
            app, host=host, port=port, log_config=None, http=timed_protocol(), timeout_graceful_shutdown=max(1, grace)
        )
        _end(admission)


def _end(admission: Admission) -> None:
    """End the process also where a question is still at work after its time: its thread cannot be stopped.

    Only the first process of a container comes here; another one was ended by the signal.
    """
    if admission.at_work:
        _log.error("%d questions were given up: they took too long", admission.at_work)
        sys.stderr.flush()
        os._exit(1)
