"""The image bank: golden slots, shared and bad images, and a killed run that continues."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.distributed.threads import in_threads

from vixml.core.directories import Built, WorkDirectory
from vixml.core.errors import DataError, StateError
from vixml.images.bank import ImageBank, build_image_bank
from vixml.images.vision import VisionEncoder, load_vision
from vixml.params.data.vision import VisionParams

PARAMS = VisionParams(batch_size=4, shard_size=5, workers=2, tiny_image_size=32)


@pytest.fixture(scope="module")
def encoder() -> VisionEncoder:
    return load_vision(PARAMS, 0)


@pytest.fixture
def work(tmp_path: Path) -> WorkDirectory:
    (tmp_path / "work").mkdir()
    return WorkDirectory(tmp_path / "work")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Twelve different pictures and a copy of the first, under root/images."""
    folder = tmp_path / "raw" / "images"
    folder.mkdir(parents=True)
    for number in range(12):
        Image.new("RGB", (20, 20), (20 * number, 255 - 20 * number, 90)).save(folder / f"{number}.png")
    (folder / "copy.png").write_bytes((folder / "0.png").read_bytes())
    return tmp_path / "raw"


def _items(*lists: list[str]) -> pd.DataFrame:
    return pd.DataFrame({"uid": [str(i) for i in range(len(lists))], "images": list(lists)})


def _catalogue() -> dict[str, pd.DataFrame]:
    names = [f"images/{number}.png" for number in range(12)]
    return {
        "train": _items([names[0], names[1]], [], ["images/copy.png", *names[2:4]], ["images/absent.png", names[8]]),
        "validation": _items(),
        "label": _items([names[9]], ["images/absent.png"], [names[10], names[11], names[0]]),
    }


def test_slots_match_golden(golden_dir: Path, tmp_path: Path) -> None:
    with np.load(golden_dir / "image_bank.npz", allow_pickle=False) as golden:
        np.save(tmp_path / "vectors.npy", golden["image_embeddings"])
        np.save(tmp_path / "test_rows.npy", np.arange(len(golden["image_embeddings"])))
        np.save(tmp_path / "test_offsets.npy", golden["item_offsets"])
        slots, mask = ImageBank.open(tmp_path).slots("test", int(golden["max_images"]))
        np.testing.assert_array_equal(mask, golden["mask"])
        np.testing.assert_array_equal(slots, golden["slots"])


def test_each_different_image_is_encoded_once(root: Path, work: WorkDirectory, encoder: VisionEncoder) -> None:
    built = build_image_bank(root, _catalogue(), PARAMS, 0, work, encoder=encoder)
    bank = ImageBank.open(built.path)
    train, label = bank.images_of("train"), bank.images_of("label")
    assert built.kind == "image-bank"
    assert bank.vectors.dtype == np.float16
    assert bank.vectors.shape == (8, encoder.dim) == (built.meta["num_images"], built.meta["dim"])
    assert [train.row(i).tolist() for i in range(4)] == [[0, 1], [], [0, 2, 3], [4]]
    assert [label.row(i).tolist() for i in range(3)] == [[5], [], [6, 7, 0]]
    assert len(bank.images_of("validation")) == 0
    picture = Image.open(root / "images" / "8.png").convert("RGB")
    np.testing.assert_allclose(bank.vectors[4], encoder.encode([picture])[0], rtol=1e-2, atol=1e-3)
    report = built.meta["report"]
    assert report["images_referenced"] == 10
    assert report["images_unique"] == 8
    assert report["failed_by_reason"] == {"missing": 1}
    assert report["first_failed"] == [{"file": "images/absent.png", "reason": "missing"}]
    assert report["items_without_image"] == {"train": 1, "validation": 0, "label": 1}


def test_bad_images_are_absent_and_reported(root: Path, work: WorkDirectory, encoder: VisionEncoder) -> None:
    (root / "images" / "empty.png").touch()
    (root / "images" / "torn.png").write_bytes((root / "images" / "1.png").read_bytes()[:-40])
    (root / "images" / "torn_too.png").write_bytes((root / "images" / "torn.png").read_bytes())
    Image.new("1", (3000, 3000)).save(root / "images" / "huge.png")
    bad = ["images/empty.png", "images/torn.png", "images/huge.png", "../work", "images/torn_too.png"]
    items = {"test": _items([bad[0], "images/1.png"], *([name] for name in bad))}
    params = PARAMS.model_copy(update={"max_pixels": 1_000_000})
    built = build_image_bank(root, items, params, 0, work, encoder=encoder)
    assert ImageBank.open(built.path).images_of("test").lengths.tolist() == [1, 0, 0, 0, 0, 0]
    expected = {"empty": 1, "corrupt": 2, "too large": 1, "outside root": 1}
    assert built.meta["report"]["failed_by_reason"] == expected


class _Killed(BaseException):
    """Stands for a signal."""


class _DyingModel:
    """Passes images to the real model until its lives are used up."""

    def __init__(self, model: object, lives: float) -> None:
        self.model, self.lives, self.encoded = model, lives, 0

    def encode_image(self, batch: object, normalize: bool) -> object:
        if self.lives <= 0:
            raise _Killed
        self.lives -= 1
        self.encoded += len(batch)
        return self.model.encode_image(batch, normalize=normalize)


def test_a_killed_run_continues_at_its_shard(
    root: Path, work: WorkDirectory, encoder: VisionEncoder, tmp_path: Path
) -> None:
    whole = build_image_bank(root, _catalogue(), PARAMS, 0, work, encoder=encoder)
    again = WorkDirectory(tmp_path / "again")
    dying, fresh = _DyingModel(encoder.model, 1), _DyingModel(encoder.model, np.inf)
    with pytest.raises(_Killed):
        build_image_bank(root, _catalogue(), PARAMS, 0, again, encoder=replace(encoder, model=dying))
    built = build_image_bank(root, _catalogue(), PARAMS, 0, again, encoder=replace(encoder, model=fresh))
    assert dying.encoded == 4  # the first shard: five files, two of them equal
    assert fresh.encoded == 4 == built.meta["report"]["images_encoded_now"]
    for name in ("vectors", "train_rows", "train_offsets", "label_rows", "label_offsets"):
        np.testing.assert_array_equal(np.load(built.path / f"{name}.npy"), np.load(whole.path / f"{name}.npy"))


def test_an_unchanged_run_encodes_nothing_and_a_changed_file_is_seen(
    root: Path, work: WorkDirectory, encoder: VisionEncoder
) -> None:
    build_image_bank(root, _catalogue(), PARAMS, 0, work, encoder=encoder)
    built = build_image_bank(root, _catalogue(), PARAMS, 0, work, encoder=encoder)
    assert built.meta["report"]["images_encoded_now"] == 0
    before = np.load(built.path / "vectors.npy")
    shards = sorted((work.path / "shards").iterdir())
    shards[0].write_bytes(shards[0].read_bytes()[:100])  # a torn shard is made again
    Image.new("RGB", (20, 20), "black").save(root / "images" / "11.png")
    built = build_image_bank(root, _catalogue(), PARAMS, 0, work, encoder=encoder)
    after = np.load(built.path / "vectors.npy")
    np.testing.assert_array_equal(before[:7], after[:7])
    assert not np.array_equal(before[7], after[7])
    assert len(list((work.path / "shards").iterdir())) == 2  # stale shards are gone


def test_a_catalogue_without_images_needs_no_model(tmp_path: Path, work: WorkDirectory) -> None:
    params = VisionParams(model="local-dir:nowhere")
    built = build_image_bank(tmp_path, {"train": _items([], []), "label": _items()}, params, 0, work)
    bank = ImageBank.open(built.path)
    assert bank.vectors.shape == (0, 0)
    assert bank.images_of("train").lengths.tolist() == [0, 0]


def test_only_bad_images_and_missing_parts_are_errors(root: Path, work: WorkDirectory, encoder: VisionEncoder) -> None:
    with pytest.raises(DataError, match="2 missing"):
        build_image_bank(root, {"test": _items(["a.png", "b.png"])}, PARAMS, 0, work, encoder=encoder)
    with pytest.raises(StateError, match="image_embedding"):
        ImageBank.open(root)


def test_ranks_encode_a_share_of_the_shards_each(
    root: Path, work: WorkDirectory, encoder: VisionEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bank of one process; an image of several shards is encoded once, finished shards are not encoded again."""
    items = _catalogue() | {"test": _items(["images/copy.png", "images/5.png"], ["images/9.png", "images/absent.png"])}
    params = PARAMS.model_copy(update={"shard_size": 2})
    whole = build_image_bank(root, items, params, 0, work, encoder=encoder)
    together = WorkDirectory(tmp_path / "together")

    def bank() -> Built:
        return build_image_bank(root, items, params, 0, together, encoder=encoder)

    for encoded in (whole.meta["num_images"], 0):
        built = in_threads(monkeypatch, 2, bank)[0]
        assert built.meta["report"]["images_encoded_now"] == encoded
        assert {**built.meta, "report": None} == {**whole.meta, "report": None}
        for file in sorted(whole.path.glob("*.npy")):
            np.testing.assert_array_equal(np.load(built.path / file.name), np.load(file))
    assert len(list((together.path / "shards").iterdir())) == len(list((work.path / "shards").iterdir())) > 4
