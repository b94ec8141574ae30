"""The models of a server, and the newer one that takes the place of an older one while questions are answered.

A training or `label_update` replaces the folder of a predictor as a whole. Who looks notices, opens the new one beside
the old one, asks it a question, and only then puts it in its place. A question that began with the old one ends with
it; a new one that is broken changes nothing, and the server says so.
"""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vixml.core.errors import ConfigError, StateError, VixmlError
from vixml.core.heap import release_memory
from vixml.serving.web.limits import DECODE_SECONDS
from vixml.serving.web.pictures import Roots, picture_roots

if TYPE_CHECKING:
    from vixml.serving.predictor import Predictor

REPLACED = "This model was trained or changed again after the server opened it. Restart the server to use the new one."
_LOOK_SECONDS = 2.0
_MOST_SECONDS = 60.0  # between two attempts to open a broken one
_log = logging.getLogger(__name__)

Reopen = Callable[[Path], "Predictor"]


@dataclass(frozen=True)
class Served:
    """One model as it answers.

    Args:
        predictor: The model.
        fingerprint: Of everything in its folder: equal content, equal fingerprint.
        roots: Folders of its pictures.
        since: When it began to answer, in seconds since 1970.
    """

    predictor: Predictor
    fingerprint: str
    roots: Roots
    since: float = field(default_factory=time.time)


class Models:
    """Models by name. Threads may ask while another one looks for newer ones.

    Args:
        predictors: The models; the first is the default.
        image_roots: See `create_app`.
        reopen: Opens the folder of a predictor that was replaced; None: nobody looks.

    Raises:
        ConfigError: There is no model.
    """

    def __init__(
        self,
        predictors: Mapping[str, Predictor],
        *,
        image_roots: Sequence[Path] = (),
        reopen: Reopen | None = None,
    ) -> None:
        if not predictors:
            raise ConfigError("there is no model to serve")
        self._image_roots, self._reopen = image_roots, reopen
        self._served = self._with_roots(dict(predictors), {})
        self.problems: dict[str, str] = {}
        """Name -> why the newer model in its folder does not answer."""
        self.outcomes: Counter[tuple[str, str]] = Counter()
        """(Name, `swapped` or `refused`) -> how many newer models."""
        self._again: dict[str, tuple[float, float]] = {}
        self._has_old = False

    @property
    def follows(self) -> bool:
        """Whether newer models take the place of older ones."""
        return self._reopen is not None

    @property
    def names(self) -> list[str]:
        """Names of the models; the first is the default."""
        return list(self._served)

    def get(self, name: str | None) -> Served | None:
        """Return a model as it is now; None where there is none of this name."""
        served = self._served
        return served.get(next(iter(served)) if name is None else name)

    def all(self) -> dict[str, Served]:
        """Return all models as they are now."""
        return self._served

    def notice(self, name: str, served: Served) -> str | None:
        """Return what a client should know of a model, if anything."""
        if self.follows:
            return self.problems.get(name)
        return REPLACED if served.predictor.replaced else None

    def look(self) -> None:
        """Put newer models in the place of older ones."""
        if self._reopen is None:
            return
        if self._has_old:  # which by now has answered all that it was asked
            self._has_old = False
            gc.collect()
            release_memory()
        for name, served in self._served.items():
            if not served.predictor.replaced:
                self.problems.pop(name, None)  # the old one is back
                self._again.pop(name, None)
            elif time.monotonic() >= self._again.get(name, (0.0, 0.0))[0]:
                self._swap(name, served, self._reopen)

    def _swap(self, name: str, old: Served, reopen: Reopen) -> None:
        folder = old.predictor.bundle.folder
        began = time.monotonic()
        try:
            new = reopen(folder)
            check(new)
            fingerprint = new.bundle.sealed.fingerprint
        except Exception as error:  # whatever is wrong with the new one, the old one answers
            self._refuse(name, error)
            return
        predictors = {one: served.predictor for one, served in self._served.items()} | {name: new}
        self._served = self._with_roots(predictors, self._served)  # at once: who asks gets the old one or the new one
        self.problems.pop(name, None)
        self._again.pop(name, None)
        self.outcomes[name, "swapped"] += 1
        self._has_old = True
        facts = {
            "model": name,
            "from": old.fingerprint,
            "to": fingerprint,
            "seconds": round(time.monotonic() - began, 3),
        }
        _log.info("%s: a newer model answers from now on", name, extra={"facts": facts})

    def _refuse(self, name: str, error: Exception) -> None:
        reason = error.plain() if isinstance(error, VixmlError) else f"{type(error).__name__}: {error}"
        text = f"A newer model is there, but cannot be used, and the older one goes on answering. {reason}"
        _, wait = self._again.get(name, (0.0, _LOOK_SECONDS / 2))
        wait = min(2 * wait, _MOST_SECONDS)
        self._again[name] = time.monotonic() + wait, wait  # it may be copied at this moment, or memory be short
        if self.problems.get(name) != text:
            self.problems[name] = text
            self.outcomes[name, "refused"] += 1
            _log.warning("%s: %s", name, text, extra={"facts": {"model": name}})

    def _with_roots(self, predictors: Mapping[str, Predictor], before: Mapping[str, Served]) -> dict[str, Served]:
        roots = picture_roots(predictors, self._image_roots)
        served = {}
        for name, predictor in predictors.items():
            predictor.limit_decoding(DECODE_SECONDS)
            known = before.get(name)
            if known is not None and known.predictor is predictor:
                served[name] = Served(predictor, known.fingerprint, roots[name], known.since)
            else:
                served[name] = Served(predictor, predictor.bundle.sealed.fingerprint, roots[name])
        return served


def check(predictor: Predictor) -> None:
    """Ask a newly opened model, with a picture where it looks at them, so that all of it is loaded before it answers.

    Raises:
        StateError: It ranks nothing, or with scores that are no numbers.
    """
    from PIL import Image

    pictures = [Image.new("RGB", (32, 32), "white")] if predictor.uses_images else None
    (prediction,) = predictor.predict("a question", images=pictures, k=1)
    if not len(prediction) or not np.isfinite(prediction.scores).all():
        raise StateError(
            "the model does not answer",
            file=predictor.bundle.folder,
            found=f"{len(prediction)} labels, scores {prediction.scores}",
            expected="a label with a finite score",
            remedy="train it again.",
        )


class Watch:
    """Looks for newer models in a thread of its own.

    Args:
        models: The models.
        seconds: From one look to the next.
    """

    def __init__(self, models: Models, seconds: float = _LOOK_SECONDS) -> None:
        self._models, self._seconds = models, seconds
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="newer models", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more; an opening that is under way is not waited for."""
        self._end.set()

    def _run(self) -> None:
        while not self._end.wait(self._seconds):
            self._models.look()
