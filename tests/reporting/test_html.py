"""The report in a real browser: from disk, without a network, with filters, pictures and a thousand queries."""

from __future__ import annotations

import io
import itertools
import json
import re
import shutil
import time

import pytest
from PIL import Image

from vixml.params.comparison import ComparisonParams
from vixml.reporting.gallery import build_gallery
from vixml.reporting.html import differing_settings, learning_series, render
from vixml.reporting.selection import compared_runs
from vixml.reporting.table import comparison_table

from .conftest import NASTY, Study, make_test_set

DATA_REPORT = {
    "sides": {
        "test": {"items": 5, "words": {"mean": 3.0, "p95": 5.0}, "with_image_share": 0.5, "unique_image_files": 2}
    },
    "labels_per_point": {"test": {"mean": 2.0}},
    "points_without_labels": {"test": 0},
    "head_and_tail": {
        "tail_points": 5,
        "tail_share_of_labels": 0.5,
        "top_10_percent_share_of_pairs": 0.3,
        "labels_without_training_point": 1,
    },
    "repairs": {NASTY: 2},
    "ledger": {
        "files": [
            {
                "file": "links.csv",
                "unit": "rows",
                "held": 206,
                "taken": 202,
                "left_out": {NASTY: 4},
                "columns": ["product"],
                "columns_not_used": ["note"],
                "notes": ["a note"],
                "guesses": [{"what": "delimiter", "value": "','", "example": NASTY, "option": "--delimiter"}],
            }
        ],
        "files_not_used": ["LICENSE.txt"],
    },
}


@pytest.fixture(scope="module")
def big(tmp_path_factory):
    """A report on 1,000 queries, with hostile texts in items, a run's name and the data report."""
    folder = tmp_path_factory.mktemp("study")
    study = Study(folder, make_test_set(folder / "raw", 1000, 120))
    for variant, quality in zip(study.archives, (0.3, 0.7, 0.1, 0.4), strict=True):
        study.add(variant, quality)
    study.add("encoder_text", 0.5, seed=5, name=NASTY)
    report = study.compare(f"latest+{study.archives['encoder_text'][1].id}")
    return write_report(study, report, folder)


def write_report(study, report, folder):
    """Write `report.html`; return it with its gallery and the report."""
    chosen = compared_runs(study.archives, report)
    params = ComparisonParams(gallery_queries=1000)
    gallery = build_gallery(chosen, study.data, params, root=folder / "raw", seed=0)
    table = comparison_table(report["variants"], report["baselines"], report["intervals"])
    file = folder / "report.html"
    file.write_text(render(report, table, DATA_REPORT, gallery), encoding="utf-8")
    return file, gallery, report


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra `dev`)")
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=found, args=["--no-sandbox"], timeout=300_000)
        yield running
        running.close()


@pytest.fixture
def page(browser, big):
    """The report, opened from disk; console messages, errors and requests end the test."""
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    opened.set_default_timeout(300_000)
    noise = []
    opened.on("console", lambda message: noise.append(message.text))
    opened.on("pageerror", lambda error: noise.append(str(error)))
    opened.on(
        "request", lambda request: noise.append(request.url) if not request.url.startswith(("file:", "data:")) else None
    )
    opened.goto(big[0].as_uri())
    yield opened
    opened.close()
    assert noise == []


def shown(page):
    return page.locator("#cards > li").count()


def wait_for(reached, seconds=600):
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, "not reached in time"


def gains(gallery, variants):
    """Mean hits of runs with images minus those without, of every query."""
    found = []
    for query in gallery["queries"]:
        hits = [sum(hit for _, hit in top) for top in query["tops"]]
        if not query["pictures"]:
            found.append((float("nan"), max(hits)))
            continue
        image = [value for value, variant in zip(hits, variants, strict=True) if variant.endswith("vision")]
        text = [value for value, variant in zip(hits, variants, strict=True) if variant.endswith("text")]
        found.append((sum(image) / len(image) - sum(text) / len(text), max(hits)))
    return found


def test_every_section_is_there_and_hostile_text_is_only_text(page):
    for name in ("results", "significance", "depth", "slices", "training", "negatives", "settings", "data", "gallery"):
        assert page.locator(f"#{name} h2").is_visible(), name
    page.locator("#ledger summary").click()
    ledger = page.locator("#ledger").inner_text()
    for said in (
        "206 rows held, 202 taken, 4 left out",
        f"4 {NASTY}",
        "columns not used: note",
        "--delimiter",
        "LICENSE.txt",
    ):
        assert said in ledger
    assert page.evaluate("window.broken") is None
    assert NASTY in page.locator("#results").inner_text()
    assert page.locator("svg").count() >= 9
    assert page.locator("#results tbody tr").count() == 6
    assert page.evaluate("new Set([...document.querySelectorAll('[id]')].map((node) => node.id)).size") == (
        page.locator("[id]").count()
    )


def test_probabilities_are_drawn_or_the_report_says_why_there_are_none(page):
    part = page.locator("#probabilities")
    assert part.locator(".note", has_text="No validation.").count() == 3
    assert part.locator("svg").count() == 2
    kept = part.locator("table").last
    assert kept.locator("tbody tr").count() + part.locator(".note", has_text="No threshold keeps").count() == 6
    head = part.locator("table").first.locator("thead th").all_inner_texts()
    assert [name for name in head if "@" in name] == [f"@{depth}, error" for depth in (1, 5, 10)]
    assert part.locator(".legend").count() == part.locator("figure .legend").count() == 1
    legend = [name.strip() for name in part.locator(".legend").last.locator("> *").all_inner_texts()]
    assert legend[:4] == ["all", "head", "torso", "tail"]
    assert {"with image", "without image"} <= set(legend)
    part.get_by_label("tail").check()
    assert "tail labels" in part.locator("figcaption").first.inner_text()


def test_the_matrix_shows_each_difference_in_its_place(page, big):
    report = big[2]
    assert report["order"] != sorted(report["order"]), "an order that the file's keys do not have"
    value = {label: report["variants"][label]["metrics"]["P@1"] for label in report["order"]}
    expected = [[f"{abs(100 * (value[a] - value[b])):.1f}" for b in report["order"] if b != a] for a in report["order"]]
    rows = page.locator(".matrix tbody tr").all()
    found = [[cell.strip("+−") for cell in row.locator("td b").all_inner_texts()] for row in rows]
    assert found == expected
    assert [name.strip() for name in page.locator(".matrix tbody th").all_inner_texts()] == report["order"]


def test_every_slice_says_of_how_many_queries(page):
    """Also where three charts stand side by side."""
    notes = page.locator("#slices svg text.tick").all_text_contents()
    assert sum("\u00a0queries" in note for note in notes) >= 3


def test_only_runs_that_differ_in_nothing_else_show_what_images_do(page):
    asked = """(name) => {
      const [first, second] = D.runs, before = D.settings;
      D.settings = { names: [name], values: { [first.label]: ["1"], [second.label]: ["2"] } };
      const found = twins(first, second);
      D.settings = before;
      return found;
    }"""
    assert page.evaluate(asked, "model.use_images") is True
    assert page.evaluate(asked, "training.epochs") is False


def test_what_images_do_is_said_of_each_pair_by_its_names(page, big):
    said = page.locator(".verdict").inner_text()
    pairs = re.findall(r"Images (?:add|cost) \S+ points of P@1 \([^)]*\) in (\S+), compared with (\S+)", said)
    assert [vision for vision, _ in pairs] == ["encoder_vision", "decoder_vision"]
    assert all(text.startswith(vision.replace("vision", "text")) for vision, text in pairs)


def test_names_of_settings_break_behind_a_dot(page):
    assert page.locator("#settings code wbr").count() > 0


def test_the_metric_can_be_switched(page):
    before = page.locator(".matrix").inner_text()
    assert "P@1 by picture of the query" in page.locator("#slices").inner_text()
    page.get_by_label("PSP@5").check()
    assert "PSP@5 by picture of the query" in page.locator("#slices").inner_text()
    assert page.locator(".matrix").inner_text() != before
    assert "at PSP@5" in page.locator(".verdict").inner_text()


@pytest.mark.parametrize(
    ("label", "test"),
    [
        ("Image helped", lambda gain, best: gain > 0),
        ("Image hurt", lambda gain, best: gain < 0),
        ("All wrong", lambda gain, best: best == 0),
    ],
)
def test_filters_show_the_right_queries(page, big, label, test):
    _, gallery, report = big
    variants = [report["runs"][label]["variant"] for label in report["order"]]
    expected = sum(test(*found) for found in gains(gallery, variants))
    assert 0 < expected < 1000
    page.get_by_label(re.compile(label)).check()
    assert page.locator("#shown").inner_text() == f"{expected:,} of 1,000 queries"


def test_one_run_alone_says_nothing_of_what_images_do(browser, tmp_path):
    study = Study(tmp_path, make_test_set(tmp_path / "raw", 20, 12))
    study.add("encoder_vision", 0.5)
    page = browser.new_page()
    page.goto(write_report(study, study.compare(), tmp_path)[0].as_uri())
    said = page.locator("#gallery").inner_text()
    assert "All (20)" in said
    assert "helped" not in said
    page.close()


def test_search_finds_text_and_id(page):
    page.locator("#search").fill("QUERY number 777")
    assert shown(page) == 1
    assert page.locator("#cards h3").text_content() == "query number 777 ünïcode"
    page.locator("#search").fill("nothing is called so")
    assert shown(page) == 0


def test_pictures_are_drawn(page):
    page.locator("#gallery").scroll_into_view_if_needed()
    seen = """[...document.querySelectorAll("#cards > li:nth-child(3) img")]
        .map((picture) => [picture.naturalWidth, picture.naturalHeight])"""
    page.locator("#cards > li:nth-child(3)").scroll_into_view_if_needed()
    wait_for(lambda: all(map(all, page.evaluate(seen))))
    sizes = page.evaluate(seen)
    assert len(sizes) > 5
    assert sizes == [[96, 72]] * len(sizes)


def test_a_thousand_queries_scroll(page):
    assert shown(page) < 100, "cards are made as they come into reach"
    page.set_viewport_size({"width": 400, "height": 300})  # less to draw on the way

    def scrolled():
        page.mouse.wheel(0, 20_000)
        return shown(page) == 1000

    wait_for(scrolled)
    assert page.locator("#cards > li:last-child h3").text_content() == "query number 999 ünïcode"


def test_it_fits_on_a_phone_and_has_a_dark_side(browser, big):
    context = browser.new_context(viewport={"width": 360, "height": 740}, color_scheme="dark")
    page = context.new_page()
    page.goto(big[0].as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.locator("#theme").click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != dark
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("#search").is_visible()
    context.close()


def shadow(page, side):
    """How far the colour at one side of the table of results, below the names of its columns, is from the card's."""
    box = page.locator("#results .scroll").bounding_box()
    first = page.locator("#results thead th").first.bounding_box()
    at = first["x"] + first["width"] + 2 - box["x"] if side == "left" else box["width"] - 4
    below = first["y"] + first["height"] - 3 - box["y"]
    picture = Image.open(io.BytesIO(page.locator("#results .scroll").screenshot())).convert("L")
    return abs(picture.getpixel((round(at), round(below))) - picture.getpixel((4, round(below))))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_wide_table_shows_at_which_side_it_goes_on(browser, big, scheme):
    context = browser.new_context(viewport={"width": 390, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    page.goto(big[0].as_uri())
    assert (shadow(page, "left"), shadow(page, "right") > 15) == (0, True)
    page.evaluate("document.querySelector('#results .scroll').scrollLeft = 1e6")
    assert (shadow(page, "left") > 15, shadow(page, "right")) == (True, 0)
    page.set_viewport_size({"width": 1280, "height": 800})
    assert (shadow(page, "left"), shadow(page, "right")) == (0, 0)
    context.close()


def test_on_a_phone_names_leave_room_for_numbers(browser, big):
    context = browser.new_context(viewport={"width": 390, "height": 800})
    page = context.new_page()
    page.goto(big[0].as_uri())
    widths = page.evaluate("[...document.querySelectorAll('tbody th')].map((node) => node.offsetWidth)")
    assert len(widths) > 30
    assert max(widths) < 195
    context.close()


@pytest.mark.parametrize("width", [390, 1280])
def test_names_in_the_chart_of_intervals_are_whole(browser, big, width):
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.goto(big[0].as_uri())
    names = page.evaluate(
        """() => [...document.querySelectorAll("#significance svg text.axis")].map((node) => {
        const { x, y, height } = node.getBBox();
        return [node.textContent, x, y, y + height]; })"""
    )
    page.close()
    assert {"".join(text.split()) for text, *_ in names} >= {"".join(label.split()) for label in big[2]["order"]}
    assert min(left for _, left, *_ in names) >= 0
    assert all(bottom <= top for (*_, bottom), (_, _, top, _) in itertools.pairwise(names))


def test_every_column_has_a_name(page):
    """Except for the corner of the matrix."""
    heads = page.locator("table:not(.matrix) thead th").all_text_contents()
    assert len(heads) > 30
    assert all(heads)


def test_everything_can_be_reached_by_keyboard_and_has_a_name(page):
    page.locator("#search").focus()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("ArrowRight")
    assert page.locator("#gallery input:checked").get_attribute("value") == "helped"
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("svg[role=img], button, input, select, img, [role=region]")]
        .filter((node) => !(node.getAttribute("aria-label") || node.textContent.trim() || node.labels?.length
            || node.hasAttribute("alt"))).length"""
    )
    assert unnamed == 0


def test_the_file_is_small_and_its_data_cannot_end_the_script(big):
    text = big[0].read_text(encoding="utf-8")
    assert len(text) < 2_000_000
    data = re.search(r'<script type="application/json" id="payload">(.*?)</script>', text, re.DOTALL).group(1)
    assert "<" not in data
    assert json.loads(data)["gallery"]["queries"][1]["text"] == NASTY
    assert "http" not in text.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")


def test_the_ledger_is_in_the_page_where_the_data_report_has_one(big):
    text = big[0].read_text(encoding="utf-8")
    payload = json.loads(re.search(r'<script[^>]*id="payload"[^>]*>(.*?)</script>', text, re.DOTALL)[1])
    assert ["links.csv", "206 rows held, 202 taken, 4 left out", ""] in payload["ledger"]
    assert ["LICENSE.txt", "NOT USED", ""] in payload["ledger"]


def test_only_differing_settings_are_shown():
    settings = {
        "a": {"optim": {"lr": 1, "name": "x"}, "lora": None},
        "b": {"optim": {"lr": 2, "name": "x"}, "lora": {"rank": 8}},
    }
    found = differing_settings(settings)
    assert found["names"] == ["optim.lr", "lora", "lora.rank"]
    assert found["values"] == {"a": ["1", "null", None], "b": ["2", None, "8"]}
    assert found["same"] == 1


def test_learning_curves_are_thinned_by_series():
    records = [{"step": step, "epoch": 1, "loss": 0.5} for step in range(1, 2001)] + [
        {"step": 2000, "validation/P@1": 0.25}
    ]
    series = learning_series(records)
    assert len(series["loss"]) == 400
    assert series["validation/P@1"] == [[2000, 0.25]]
