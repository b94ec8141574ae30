"""New, changed and removed labels of a trained model, without training.

A label's prototype combines its embedding with a free vector and a centroid of training queries (PRIME), a free vector
(DEXA) or nothing (NGAME, softmax family). The network embeds any text with images, so only the others are unknown for a
label that training never saw. They are taken from the trained labels nearest to it (docs/how-to/new_labels.md
has the ways to do that). A label whose text or images change keeps the vectors that it was trained with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from vixml.calibration.calibration import save_calibration
from vixml.core.directories import Built, WorkDirectory, link
from vixml.core.errors import ConfigError, DataError, StateError
from vixml.data.array_writer import ArrayWriter
from vixml.data.ids import IdIndex, canonical_id
from vixml.data.items import clean_text
from vixml.images.decode import read_bytes
from vixml.images.names import find_image
from vixml.ingestion.ledger import Ledger
from vixml.params.retrieval import LabelUpdateParams
from vixml.ranking.evidence import with_labels
from vixml.ranking.store import open_evidence, save_evidence
from vixml.retrieval.augmentation import QUERIES, softmax
from vixml.retrieval.exact import shorten, top_k, unit_rows
from vixml.retrieval.index import build_index
from vixml.serving.bundle import EVIDENCE, TRAIN_FILES, BundleSettings, PredictorBundle, finish_bundle, link_tree
from vixml.serving.query_files import query_blocks, read_ids

if TYPE_CHECKING:
    import pandas as pd

    from vixml.models.dual import DualModel
    from vixml.serving.encoder import ItemEncoder

TEXTS, PROTOTYPES = "label_texts.npy", "label_prototypes.npy"
_BLOCK = 8192
_ID_COLUMNS = ("id", "uid", "label_id")


@dataclass
class LabelChanges:
    """Labels to add, to change and to remove.

    Args:
        added: Label id -> (text, image files).
        updated: Label id -> (text, image files) that replace the old ones.
        removed: Label ids.
        image_root: Folder that image files are relative to and must be inside.
        ledger: The ledger of the files.
    """

    added: dict[str, tuple[str, list[str]]] = field(default_factory=dict)
    updated: dict[str, tuple[str, list[str]]] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    image_root: Path = Path()
    ledger: Ledger = field(default_factory=Ledger)

    @classmethod
    def read(cls, params: LabelUpdateParams) -> LabelChanges:
        """Read the files that the settings name.

        Raises:
            ConfigError: They name none.
            DataError: A file is missing or malformed, or names a label twice.
        """
        files = [Path(file) for file in (params.add, params.update, params.remove) if file]
        if not files:
            raise ConfigError("there is nothing to change", expected="label_update.add, .update or .remove: a file")
        ledger = Ledger()
        removed = [] if params.remove is None else _read_ids(Path(params.remove), ledger)
        root = Path(params.image_root) if params.image_root else files[0].parent
        root = root.resolve()
        added, updated = (_read_labels(file, root, ledger) for file in (params.add, params.update))
        changes = cls(added, updated, removed, root, ledger)
        ledger.balance()
        return changes

    def spelled(self, present: Sequence[str]) -> LabelChanges:
        """Return the changes with the ids as the labels that are there have them: `7.0` may mean `7`."""
        index = IdIndex({uid: row for row, uid in enumerate(present)})

        def own(uid: str) -> str:
            row = index.find(uid)
            return uid if row is None else present[row]

        changes = [{own(uid): given for uid, given in labels.items()} for labels in (self.added, self.updated)]
        return replace(self, added=changes[0], updated=changes[1], removed=list(map(own, self.removed)))

    def check(self, present: Sequence[str]) -> None:
        """Make sure that the changes fit the existing labels.

        Raises:
            DataError: A label exists already, does not exist, changes twice, or none would be left.
        """
        known = set(present)
        existing = [uid for uid in self.added if uid in known]
        _refuse(existing, "a label to add exists already", "use label_update.update.")
        missing = [uid for uid in (*self.updated, *self.removed) if uid not in known]
        _refuse(missing, "a label to update or remove does not exist", "check its id.")
        twice = sorted(set(self.updated) & set(self.removed))
        _refuse(twice, "a label is both updated and removed", "take it out of one file.")
        if len(self.removed) == len(known) and not self.added:
            raise DataError("no label would be left", found=f"{len(self.removed)} labels to remove")


def update_labels(
    bundle: PredictorBundle, changes: LabelChanges, params: LabelUpdateParams, work: WorkDirectory
) -> tuple[Built, dict[str, Any]]:
    """Build a bundle with other labels; the given one is not changed.

    Args:
        bundle: A trained model with its labels.
        changes: What changes.
        params: How a new label gets its free vector and centroid.
        work: Work directory.

    Returns:
        The bundle, with kept labels first in their order and then the added ones, and a report of counts.

    Raises:
        DataError: The changes do not fit the labels, or an image cannot be read.
    """
    old = bundle.labels
    changes = changes.spelled(old["uid"].tolist())
    changes.check(old["uid"].tolist())
    kept = np.flatnonzero(~old["uid"].isin(changes.removed))
    labels, changed = _new_table(old.iloc[kept], changes)
    folder = work.fresh("updated")
    texts = prototypes = np.empty((0, bundle.label_texts.shape[1]), dtype=np.float32)  # of those that change
    if len(changed):
        encoder, given = bundle.encoder(), {**changes.updated, **changes.added}
        pooled = pool_labels(encoder, {uid: given[uid] for uid in labels["uid"].iloc[changed]}, changes.image_root)
        texts = shorten(unit_rows(pooled), encoder.short_dim)
        rows = labels["trained_row"].to_numpy()
        is_known = rows >= 0
        is_known[changed] = False
        known = folder / "known_texts.npy"
        _write_vectors(known, bundle.label_texts, kept[np.flatnonzero(is_known)])
        found = label_prototypes_for(encoder.model, pooled, rows[changed], _mapped(known), rows[is_known], params)
        known.unlink()
        prototypes = shorten(found, encoder.short_dim)
    added = len(changes.added)
    _write_vectors(folder / TEXTS, bundle.label_texts, kept, added, changed, texts)
    _write_vectors(folder / PROTOTYPES, bundle.label_prototypes, kept, added, changed, prototypes)
    _write(bundle, folder, labels, kept)
    if bundle.replaced:
        remedy = "run it again, on the new one."
        raise StateError("the predictor was replaced meanwhile", file=bundle.folder, remedy=remedy)
    report = {
        "added": len(changes.added),
        "updated": len(changes.updated),
        "removed": len(changes.removed),
        "labels_before": len(old),
        "labels": len(labels),
    }
    facts: dict[str, Any] = {"model": str(bundle.sealed.meta["model"]), "update": report}
    return finish_bundle(folder, _settings(bundle, changes), num_labels=len(labels), **facts), {
        **report,
        "ledger": changes.ledger.report(),
    }


def _settings(bundle: PredictorBundle, changes: LabelChanges) -> BundleSettings:
    """Return the settings of the new bundle, which knows the folder of the new images.

    It is made here: folders that a bundle from elsewhere names are left out, for they would count as ours.
    """
    first, *known = map(_text, bundle.picture_roots)
    settings = bundle.settings.model_copy(update={"image_root": first, "added_roots": tuple(filter(None, known))})
    if not any(names for _, names in (*changes.added.values(), *changes.updated.values())):
        return settings
    roots = dict.fromkeys((*settings.added_roots, str(changes.image_root)))
    return settings.model_copy(update={"added_roots": tuple(roots)})


def _text(root: Path | None) -> str | None:
    return None if root is None else str(root)


def label_prototypes_for(
    model: DualModel,
    pooled: NDArray[np.float32],
    trained_rows: NDArray[np.int64],
    known_texts: NDArray[np.float32],
    known_rows: NDArray[np.int64],
    params: LabelUpdateParams,
) -> NDArray[np.float32]:
    """Return prototypes float32 [m, d] of labels with a new embedding.

    Args:
        model: The trained network.
        pooled: Their embeddings float32 [m, d] as pooled, at the model's own width.
        trained_rows: Their rows in the model's label table int64 [m]; -1 for labels unseen in training.
        known_texts: Embeddings of the trained labels to search for neighbours, float32 [K, d or fewer].
        known_rows: Their rows in the model's label table int64 [K].
        params: How an unseen label gets its free vector and centroid.
    """
    import torch

    side = model.label_side
    if not side.vector_names:
        return unit_rows(pooled)
    prototypes = np.empty_like(pooled)
    with torch.inference_mode():
        for begin in range(0, len(pooled), _BLOCK):
            part = slice(begin, begin + _BLOCK)
            vectors = _borrowed(model, unit_rows(pooled[part]), known_texts, known_rows, params)
            trained = torch.from_numpy(np.flatnonzero(trained_rows[part] >= 0))
            own = torch.from_numpy(trained_rows[part])[trained].to(model.device)
            for name, value in side.vectors(own).items():
                vectors[name][trained] = value
            text = torch.from_numpy(pooled[part]).to(model.device)
            prototypes[part] = side.combine(text, vectors).cpu().numpy()
    return prototypes


def _borrowed(
    model: DualModel,
    texts: NDArray[np.float32],
    known_texts: NDArray[np.float32],
    known_rows: NDArray[np.int64],
    params: LabelUpdateParams,
) -> dict[str, Any]:
    """Return free vectors, centroids and offsets [m, d], as far as the model has them, from the nearest trained labels.

    Zeros where there is no label to ask.
    """
    import torch

    asked = shorten(texts, known_texts.shape[1])
    scores, found = top_k(asked, known_texts, params.neighbours, device=model.device)
    weight = torch.from_numpy(softmax(scores, params.temperature)).to(model.device)
    rows = torch.from_numpy(known_rows[found] if len(known_rows) else np.zeros_like(found)).to(model.device)
    some = bool(len(known_rows))

    def choose(vectors: torch.Tensor, how: str) -> torch.Tensor:
        if how == "zero" or not some:
            return torch.zeros_like(vectors[:, 0])
        return vectors[:, 0].clone() if how == "nearest" else (weight[..., None] * vectors).sum(dim=1)

    ways = {"free": params.free, "centroid": params.centroid, "offset": params.free}
    return {name: choose(vectors, ways[name]) for name, vectors in model.label_side.vectors(rows).items()}


def _new_table(kept: pd.DataFrame, changes: LabelChanges) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """Return the labels after the changes, and the rows whose embedding changes."""
    import pandas as pd

    def files(names: list[str]) -> list[str]:
        return [str(changes.image_root / name) for name in names]

    kept = kept.reset_index(drop=True)
    rows = np.flatnonzero(kept["uid"].isin(changes.updated))
    texts, images = kept["text"].tolist(), kept["images"].tolist()
    for row in rows:
        text, names = changes.updated[kept["uid"][row]]
        texts[row], images[row] = text, files(names)
    added = changes.added
    table = pd.DataFrame(
        {
            "uid": [*kept["uid"], *added],
            "text": [*texts, *(text for text, _ in added.values())],
            "images": [*images, *(files(names) for _, names in added.values())],
            "trained_row": np.append(kept["trained_row"].to_numpy(), np.full(len(added), -1)).astype(np.int64),
            "frequency": np.append(kept["frequency"].to_numpy(), np.zeros(len(added), np.int64)),
        }
    )
    return table, np.append(rows, np.arange(len(kept), len(table)))


def pool_labels(
    encoder: ItemEncoder, labels: Mapping[str, tuple[str, list[str]]], image_root: Path
) -> NDArray[np.float32]:
    """Return the pooled embeddings float32 [m, d], at the model's own width, of labels: id -> (text, image files).

    Raises:
        DataError: An image is outside its root or cannot be read.
    """
    images = [[partial(read_bytes, image_root, name) for name in names] for _, names in labels.values()]
    return encoder.embed([text for text, _ in labels.values()], images, pooled=True)


def _write(
    bundle: PredictorBundle,
    folder: Path,
    labels: pd.DataFrame,
    kept: NDArray[np.int64],
) -> None:
    """Write the files of the new bundle beside its vectors; what does not change is linked."""
    link_tree(bundle.folder / "model", folder / "model", bundle.sealed)
    labels.to_parquet(folder / "labels.parquet", index=False)
    texts, prototypes = (_mapped(folder / name) for name in (TEXTS, PROTOTYPES))
    retrieval = bundle.settings.retrieval
    build_index(prototypes, retrieval).save(folder / "index")
    if (bundle.folder / "index" / QUERIES).is_dir():
        build_index(texts, retrieval).save(folder / "index" / "texts")
        link_tree(bundle.folder / "index" / QUERIES, folder / "index" / QUERIES, bundle.sealed)
    if (bundle.folder / EVIDENCE).is_dir():
        (folder / EVIDENCE).mkdir()
        save_calibration(bundle.calibration, folder / EVIDENCE)
    if retrieval.augmentation.mode == "evidence":
        save_evidence(
            with_labels(open_evidence(bundle.folder / EVIDENCE), kept, labels["text"].tolist()), folder / EVIDENCE
        )
    if bundle.has_train_queries:
        relevance = bundle.train_relevance[:, kept]
        unseen = sp.csr_matrix((relevance.shape[0], len(labels) - len(kept)), dtype=relevance.dtype)
        sp.save_npz(folder / TRAIN_FILES[2], sp.csr_matrix(sp.hstack([relevance, unseen])), compressed=False)
        for name in TRAIN_FILES[:2]:
            link(bundle.folder / name, folder / name)


def _write_vectors(
    file: Path,
    old: NDArray[np.float32],
    kept: NDArray[np.int64],
    added: int = 0,
    changed: NDArray[np.int64] | None = None,
    vectors: NDArray[np.float32] | None = None,
) -> None:
    """Write vectors of labels block by block: all of them need not fit into main memory.

    Args:
        file: The `.npy` file.
        old: Vectors of the labels before [L, d].
        kept: Which of them come first.
        added: How many labels follow.
        changed: Rows of the file that are replaced, ascending, with all that follow.
        vectors: What replaces them.
    """
    count = len(kept) + added
    with ArrayWriter(file, (count, old.shape[1]), np.float32) as writer:
        for start in range(0, count, _BLOCK):
            some = kept[start : start + _BLOCK]
            block = np.zeros((min(_BLOCK, count - start), old.shape[1]), dtype=np.float32)
            block[: len(some)] = old[some]
            if changed is not None and vectors is not None:
                first, last = np.searchsorted(changed, [start, start + len(block)])
                block[changed[first:last] - start] = vectors[first:last]
            writer.append(block)


def _mapped(file: Path) -> NDArray[np.float32]:
    vectors: NDArray[np.float32] = np.load(file, mmap_mode="r", allow_pickle=False)
    return vectors


def _read_labels(file: str | None, root: Path, ledger: Ledger) -> dict[str, tuple[str, list[str]]]:
    if file is None:
        return {}
    blocks = list(query_blocks(Path(file), _BLOCK, entry=ledger.entry(Path(file))))
    _unique(Path(file), [uid for block in blocks for uid in block.ids])
    return {
        uid: (clean_text(text), [find_image(root, name) or name for name in images])
        for block in blocks
        for uid, text, images in zip(block.ids, block.texts, block.images, strict=True)
    }


def _read_ids(file: Path, ledger: Ledger) -> list[str]:
    return _unique(file, read_ids(file, _ID_COLUMNS, ledger.entry(file)))


def _unique(file: Path, ids: list[str]) -> list[str]:
    meaning = list(map(canonical_id, ids))
    count = Counter(meaning)
    repeated = [uid for uid, meant in zip(ids, meaning, strict=True) if count[meant] > 1]
    if repeated:
        raise DataError("a label occurs twice in the file", file=file, found=", ".join(repeated[:5]))
    return ids


def _refuse(ids: list[str], what: str, remedy: str) -> None:
    if ids:
        raise DataError(what, found=", ".join(ids[:5]) + (" ..." if len(ids) > 5 else ""), remedy=remedy)
