"""The page, driven by a real browser: upload, answer, side by side, a broken image, dark and narrow."""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from pathlib import Path

import pytest

from vixml import Predictor
from vixml.serving.web.app import create_app

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
if CHROMIUM is None:
    pytest.skip("no Chromium is installed", allow_module_level=True)
sync_api = pytest.importorskip("playwright.sync_api")
sync_api.expect.set_options(timeout=300_000)  # a busy machine is no fault of the page


@pytest.fixture(scope="module")
def address(models):
    """The page served on a free port."""
    import uvicorn

    predictors = {name: Predictor.open(models / name) for name in ("encoder_vision", "encoder_text")}
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(create_app(predictors), log_level="warning"))
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    deadline = time.monotonic() + 600
    while not server.started:
        assert time.monotonic() < deadline, "the server did not start"
        thread.join(0.05)
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join(30)


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"], timeout=300_000)
        yield browser
        browser.close()


@pytest.fixture
def page(browser, address):
    page = browser.new_page(viewport={"width": 1000, "height": 900})
    page.set_default_timeout(300_000)
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if "Content Security" in message.text else None)
    page.goto(address)
    sync_api.expect(page.locator("#model option")).to_have_count(2)
    yield page
    assert problems == []
    page.close()


def shoot(page, name):
    """Keep a picture where VIXML_SHOTS names a folder."""
    if folder := os.environ.get("VIXML_SHOTS"):
        page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)


def test_text_and_image_side_by_side(page, root, predictor):
    page.fill("#text", "red vase")
    page.set_input_files("#file", str(root / "images/L1.png"))
    page.fill("#k", "4")
    page.click("#go")
    sync_api.expect(page.locator("#answers")).to_be_visible()
    expected = predictor.predict(["red vase"] * 2, images=[root / "images/L1.png", None], k=4)
    for place, prediction in zip(("#with", "#without"), expected, strict=True):
        ids = page.locator(f"{place} li small").all_inner_texts()
        scores = [float(text) for text in page.locator(f"{place} li .score").all_inner_texts()]
        assert ids == list(prediction.label_ids)
        assert scores == pytest.approx(prediction.scores, abs=1e-4)
    assert page.inner_text("#with h2") == "Text + image"
    assert page.locator("#near li").count() == 5
    for picture in page.locator("#answers img").all():
        sync_api.expect(picture).not_to_have_js_property("naturalWidth", 0)
    shoot(page, "answer")
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    shoot(page, "answer-phone-dark")


DROP = """([bytes, name, type]) => {
  const carried = new DataTransfer();
  carried.items.add(new File([Uint8Array.from(bytes)], name, { type }));
  const zone = document.getElementById("drop");
  const seen = ["dragenter", "dragover", "drop"].map((kind) => {
    const event = new DragEvent(kind, { dataTransfer: carried, bubbles: true, cancelable: true });
    zone.dispatchEvent(event);
    return [event.defaultPrevented, zone.classList.contains("over")];
  });
  return seen;
}"""


def test_an_image_is_dropped(page, root, predictor):
    """The zone lights up, takes the file instead of letting the browser open it, and the image is asked with."""
    content = list((root / "images/L1.png").read_bytes())
    assert page.evaluate(DROP, [content, "L1.png", "image/png"]) == [[True, True], [True, True], [True, False]]
    sync_api.expect(page.locator("#previews img")).to_have_count(1)
    page.fill("#text", "red vase")
    page.fill("#k", "4")
    page.click("#go")
    sync_api.expect(page.locator("#answers")).to_be_visible()
    (expected,) = predictor.predict(["red vase"], images=[root / "images/L1.png"], k=4)
    assert page.locator("#with li small").all_inner_texts() == list(expected.label_ids)
    page.evaluate(DROP, [[1, 2, 3], "notes.txt", "text/plain"])
    sync_api.expect(page.locator("#error")).to_contain_text("notes.txt is not an image")
    assert page.locator("#previews img").count() == 1


def test_a_broken_image_says_so_and_the_page_goes_on(page, tmp_path, root):
    broken = tmp_path / "broken.png"
    broken.write_bytes((root / "images/L1.png").read_bytes()[:60])
    page.fill("#text", "red vase")
    page.set_input_files("#file", str(broken))
    page.click("#go")
    sync_api.expect(page.locator("#error")).to_be_visible()
    assert page.inner_text("#error").startswith("The image cannot be read: corrupt. Use a PNG")
    assert page.locator("#answers").is_hidden()
    shoot(page, "broken")
    page.click("#clear")
    page.fill("#text", "red vase")
    page.click("#go")
    sync_api.expect(page.locator("#answers")).to_be_visible()
    assert page.locator("#error").is_hidden()
    assert page.locator("#without").is_hidden()


def test_a_text_model_says_that_it_does_not_look(page, root):
    page.select_option("#model", "encoder_text")
    assert "text only" in page.inner_text("#about")
    page.fill("#text", "<img src=x onerror=alert(1)> red vase")
    page.set_input_files("#file", str(root / "images/L1.png"))
    page.click("#go")
    sync_api.expect(page.locator("#answers")).to_be_visible()
    assert "not looked at" in page.inner_text("#error")


def test_nothing_typed_and_not_an_image(page, tmp_path):
    page.click("#go")
    assert page.inner_text("#error") == "Type a text or add an image."
    (tmp_path / "notes.txt").write_text("no image")
    page.set_input_files("#file", str(tmp_path / "notes.txt"))
    sync_api.expect(page.locator("#error")).to_contain_text("not an image")
    assert page.locator("#previews img").count() == 0


def test_markup_in_labels_stays_text(page):
    """The shop's labels end in <L>: shown as they are, never as an element."""
    page.fill("#text", "red vase")
    page.click("#go")
    sync_api.expect(page.locator("#answers")).to_be_visible()
    assert "<L>" in page.locator("#with li .what").first.inner_text()


def test_it_says_that_it_is_at_work_and_what_a_score_is(page):
    assert page.evaluate("busy(true), [byId('go').textContent, byId('go').disabled]") == ["Looking …", True]
    assert page.evaluate("busy(false), [byId('go').textContent, byId('go').disabled]") == ["Predict", False]
    page.fill("#text", "red vase")
    page.click("#go")
    sync_api.expect(page.locator("#meaning")).to_contain_text("not a probability")
    assert "calibrated" in page.evaluate("meaningOf([{probability: null}, {probability: 0.4}])")


def test_a_label_that_is_its_own_id_is_written_once(page):
    rows = "['red', 'l7'].map((id) => labelRow({row: 0, rank: 1, text: 'red', label_id: id, score: 1}, 0, 1, false))"
    assert page.evaluate(f"{rows}.map((row) => row.querySelector('.what').textContent)") == ["red", "redl7"]


def test_without_a_single_picture_no_place_is_kept_for_one(page):
    entries = "[true, false].map((picture, row) => ({picture, row, rank: 1, text: 't', label_id: 'l', score: 1}))"
    shown = f"""{entries}.map((entry, at, all) => [
        labelRow(entry, 0, 1, true).querySelectorAll('.picture').length,
        labelRow(entry, 0, 1, false).querySelectorAll('.picture').length])"""
    assert page.evaluate(shown) == [[1, 0], [1, 0]]
    assert page.evaluate("blank().title") == "There is no picture."


def test_the_tick_asks_again_where_there_is_an_answer(page):
    asked = []
    page.on("request", lambda request: asked.append(request.url) if request.url.endswith("/api/predict") else None)
    page.check("#why")
    page.uncheck("#why")
    assert asked == []  # nothing was asked yet
    page.fill("#text", "red vase")
    page.click("#go")
    sync_api.expect(page.locator("#answers")).to_be_visible()
    sync_api.expect(page.locator("#with .why")).to_have_count(0)
    page.check("#why")
    sync_api.expect(page.locator("#with .why").first).to_be_visible()
    assert len(asked) == 2
