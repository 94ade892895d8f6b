"""The page in a real browser: files, errors, a clip, the keyboard, and what axe-core finds. Skipped where no Chromium is."""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_api import clip, picture

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
SECONDS = 30_000  # ms that a test waits for a score at most


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """The page, which must not ask any other server, nor say an error."""
    context = browser.new_context(viewport={"width": 1200, "height": 850})
    page, wrong = context.new_page(), list[str]()
    page.set_default_timeout(SECONDS)
    page.on(
        "request",
        lambda sent: None if sent.url.startswith((address, "blob:", "data:")) else wrong.append(sent.url),
    )
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(address)
    page.wait_for_selector("#models select")
    yield page
    context.close()
    assert wrong == []


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("files")
    for i in range(4):
        (root / f"{i}.png").write_bytes(picture(seed=i))
    (root / "clip.webm").write_bytes(clip(20))
    (root / "text.png").write_text("no picture")
    return root


def choose(page: Any, *paths: Path) -> None:
    page.set_input_files("#files", [str(path) for path in paths])


def scored(page: Any) -> None:
    from playwright.sync_api import expect  # waits, and needs no script that the page's policy forbids

    expect(page.locator("#score")).to_have_text(re.compile(r"^0\.\d{3}$"), timeout=SECONDS)


def have(page: Any, count: int) -> None:
    """Waits until so many files of the table have scores."""
    from playwright.sync_api import expect

    expect(page.locator("#rows .ruler b")).to_have_count(count, timeout=SECONDS)


def violations(page: Any) -> list[str]:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    found = axe.Axe().run(page).response["violations"]
    return [f"{one['id']}: {node['html'][:90]}" for one in found for node in one["nodes"]]


def test_a_picture(page: Any, files: Path) -> None:
    assert violations(page) == []
    choose(page, files / "0.png")
    scored(page)
    assert "confidence" in page.inner_text("#interval")
    assert "More memorable than" in page.inner_text("#place") or "any of the pictures" in page.inner_text(
        "#place"
    )
    assert page.locator("#distribution svg[role=img]").get_attribute("aria-label").startswith("Score 0.")
    page.click("#show-map")
    page.wait_for_selector("#mix:not([hidden])")
    page.fill("#opacity", "40")
    assert page.eval_on_selector("#frame canvas", "canvas => canvas.style.opacity") == "0.4"
    assert violations(page) == []


def test_many_files_are_a_table_that_can_be_sorted_and_saved(page: Any, files: Path) -> None:
    choose(page, *(files / f"{i}.png" for i in range(4)), files / "text.png")
    have(page, 4)
    page.wait_for_selector(".state.bad")
    page.click("th button[data-key=score]")
    assert page.locator("th[aria-sort=descending]").inner_text().strip().lower() == "score"
    values = [float(text) for text in page.locator("#rows tr td:nth-child(2)").all_inner_texts()[:4]]
    assert values == sorted(values, reverse=True)
    assert page.locator("#rows tr").last.inner_text().startswith("text.png")
    with page.expect_download() as saved:
        page.click("#csv")
    rows = list(csv.DictReader(Path(saved.value.path()).read_text().splitlines()))
    assert len(rows) == 5
    assert [round(float(row["score"]), 3) for row in rows[:4]] == values
    assert "not a picture" in rows[4]["note"]
    assert violations(page) == []


def test_an_error_is_said_in_words(page: Any, files: Path) -> None:
    choose(page, files / "text.png")
    page.wait_for_selector("#note.bad")
    assert "not a picture in any format" in page.inner_text("#note").lower()
    assert page.inner_text("#score") == "Not scored"
    assert "refused" in page.inner_text("#live")


def test_a_clip_has_a_line_of_its_frames(page: Any, files: Path) -> None:
    choose(page, files / "clip.webm")
    page.wait_for_selector("#trace svg")
    assert "by frame, from" in page.get_attribute("#trace svg", "aria-label")
    assert "mean of its frames" in page.inner_text("#note").lower()
    assert page.is_hidden("#layer")
    assert violations(page) == []


def test_by_the_keyboard_alone(page: Any, files: Path) -> None:
    choose(page, files / "0.png", files / "1.png")
    have(page, 2)
    reached = set()
    for _ in range(30):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
    assert {"files", "show-map", "csv", "clear", "1.png"} <= reached
    page.locator("#rows button", has_text="1.png").focus()
    page.keyboard.press("Enter")
    assert page.inner_text("#name") == "1.png"
    page.locator("#clear").focus()
    page.keyboard.press("Enter")
    assert page.is_hidden("#reading")
    assert page.evaluate("document.activeElement.id") == "files"


def test_a_picture_that_was_copied_can_be_pasted(page: Any) -> None:
    """Through the browser's own clipboard, by the keys that a user presses."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate(
        """async (bytes) => {
            const copied = new Blob([new Uint8Array(bytes)], { type: "image/png" });
            await navigator.clipboard.write([new ClipboardItem({ "image/png": copied })]);
        }""",
        list(picture(seed=7)),
    )
    page.keyboard.press("Control+V")
    scored(page)
    assert page.inner_text("#name").endswith(".png")
    page.evaluate("navigator.clipboard.writeText('no picture')")
    page.keyboard.press("Control+V")
    assert page.is_hidden("#all")


def test_files_that_are_pasted_are_scored_in_their_order(page: Any) -> None:
    """Files copied in a file manager, which headless browsers have none of: the event that they make."""
    page.evaluate(
        """(files) => {
            const given = new DataTransfer();
            for (const [i, bytes] of files.entries()) {
                given.items.add(new File([new Uint8Array(bytes)], `copied ${i}.png`, { type: "image/png" }));
            }
            document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData: given, bubbles: true }));
        }""",
        [list(picture(seed=i)) for i in range(2)],
    )
    have(page, 2)
    assert [text.split()[1] for text in page.locator("#rows tr").all_inner_texts()] == ["0.png", "1.png"]


def test_a_phones_camera_is_asked_for_a_picture(browser: Any, address: str, files: Path) -> None:
    """The page leaves the camera to the phone, by its input: what comes back is a file like any other."""
    context = browser.new_context(viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True)
    page = context.new_page()
    page.set_default_timeout(SECONDS)
    page.goto(address)
    page.wait_for_selector("#models select")
    assert page.get_attribute("#camera", "capture") == "environment"
    assert page.get_attribute("#camera", "accept") == "image/*"
    for taken in ("0.png", "1.png"):  # twice, as one does
        with page.expect_file_chooser() as asked:
            page.tap("#camera-button")
        assert not asked.value.is_multiple()
        asked.value.set_files(files / taken)
        scored(page)
        assert page.inner_text("#name") == taken
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone(browser: Any, address: str, files: Path, scheme: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=scheme, is_mobile=True)
    page = context.new_page()
    page.set_default_timeout(SECONDS)
    page.goto(address)
    page.wait_for_selector("#models select")
    choose(page, files / "0.png", files / "1.png")
    have(page, 2)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert violations(page) == []
    context.close()
