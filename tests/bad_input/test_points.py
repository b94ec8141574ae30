"""Points and labels that are not as they should be (docs/reference/bad_input.md)."""

from __future__ import annotations

import gzip

from tests.bad_input.files import LABELS, POINTS, lines, repairs, second, write_raw
from tests.bad_input.rows import error, repair, works

from vixml.ingestion.ingest import ingest
from vixml.params.data.ingestion import DataParams


@error("gzip-broken")
def test_gzip_broken(at):
    write_raw(at.path)
    (at.path / "trn.json.gz").write_bytes(gzip.compress(lines(POINTS).encode())[:-10])
    repairs(at.path)


@error("json-broken")
def test_json_broken(at):
    repairs(write_raw(at.path, trn=[POINTS[0], '{"uid": "a", ', POINTS[2]]))


@error("field-missing")
def test_field_missing(at):
    repairs(write_raw(at.path, trn=second(title=...)))


@error("field-type")
def test_field_type(at):
    repairs(write_raw(at.path, trn=second(target_ind="1")))


@error("lengths-differ")
def test_lengths_differ(at):
    repairs(write_raw(at.path, trn=second(target_rel=[])))


@error("label-out-of-range")
def test_label_out_of_range(at):
    repairs(write_raw(at.path, trn=second(target_ind=[3])))


@error("label-negative")
def test_label_negative(at):
    repairs(write_raw(at.path, trn=second(target_ind=[-1])))


@error("uid-duplicate")
def test_uid_duplicate(at):
    repairs(write_raw(at.path, trn=[POINTS[0], POINTS[1], POINTS[0]]))


@repair("target-duplicate")
def test_target_duplicate(at):
    return repairs(write_raw(at.path, trn=second(target_ind=[1, 1], target_rel=[1.0, 2.0])))


@repair("relevance-zero")
def test_relevance_zero(at):
    return repairs(write_raw(at.path, trn=second(target_rel=[0])))


@error("relevance-nan")
def test_relevance_nan(at):
    repairs(write_raw(at.path, trn=second(target_rel=[float("nan")])))


@repair("text-empty")
def test_text_empty(at):
    return repairs(write_raw(at.path, trn=second(title=" ")))


@repair("label-without-text")
def test_label_without_text(at):
    return repairs(write_raw(at.path, lbl=[LABELS[0], {"uid": "l1", "title": None}, LABELS[2]]))


@repair("text-huge")
def test_text_huge(at):
    found = ingest(write_raw(at.path, trn=second(title="word " * 100_000)), DataParams(), 0)
    assert found.items_train["text"].str.len().max() <= 20_000
    return found.report["repairs"]


@repair("surrogates")
def test_surrogates(at):
    return repairs(write_raw(at.path, trn=second(title="a\ud800b")))


@error("not-utf8")
def test_not_utf8(at):
    write_raw(at.path)
    (at.path / "trn.json").write_bytes(lines(POINTS[:1]).encode() + '{"uid": "é"}\n'.encode("latin-1"))
    repairs(at.path)


@works("byte-order-mark")
def test_byte_order_mark(at):
    write_raw(at.path)
    (at.path / "lbl.json").write_text("\ufeff" + lines(['{"uid": 1, "title": "a"}', "", *LABELS[1:]]), "utf-8")
    assert ingest(at.path, DataParams(), 0).items_label["uid"].tolist() == ["1", "l1", "l2"]


@repair("point-without-label")
def test_point_without_label(at):
    return ingest(write_raw(at.path, trn=second(target_ind=[], target_rel=[])), DataParams(), 0).report


@error("file-empty")
def test_file_empty(at):
    write_raw(at.path)
    (at.path / "lbl.json").write_text("\n")
    repairs(at.path)


@error("file-missing")
def test_file_missing(at):
    (write_raw(at.path) / "tst.json").unlink()
    repairs(at.path)


@error("folder-missing")
def test_folder_missing(at):
    at.fixture("kedro_run")("ingestion", params={"data_root": str(at.path / "nowhere")})


@error("content-nowhere")
def test_content_nowhere(at):
    bare = [{key: value for key, value in item.items() if key != "content"} for item in POINTS]
    labels = [{"uid": "l", "title": "t"}] * 1
    points = [{**item, "target_ind": [0]} for item in bare]
    repairs(write_raw(at.path, trn=points, tst=points, lbl=labels), text_fields="title+content")
