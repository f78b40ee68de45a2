"""The explorer as people meet it: JupyterLab, a browser, the keyboard; screenshots stay in `.cache/screenshots`."""

import io
import shutil
import statistics
import time
from pathlib import Path

import numpy as np
import pytest
from browser import CHROMIUM, HOW_TO, browser_page, error_outputs, jupyter_lab, run_notebook, settle
from PIL import Image

from evor_eqx.system import paths

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason=HOW_TO)]
SCREENSHOTS = Path(__file__).parents[2] / ".cache" / "screenshots"
SLIDERS = ("tau-r", "tau-q", "num-candidates", "num-returns", "num-flow-steps", "state")
PICTURES = ("candidates", "distributions", "values", "selection")
NUM_PRESSES = 20
WIDTHS = (1280, 800)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """JupyterLab with nothing but copies of the explorer's notebook: what it shows is what the package ships."""
    folder, root = tmp_path_factory.mktemp("jupyter"), tmp_path_factory.mktemp("notebooks")
    for width in WIDTHS:  # a notebook, hence a kernel, for each
        shutil.copy(paths.notebooks_dir() / "explorer.ipynb", root / f"explorer-{width}.ipynb")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVOR_HOME", str(tmp_path_factory.mktemp("home")))
        with jupyter_lab(folder, root) as address_and_token:
            yield address_and_token


CHANGED = """([name, pictures, readout, before, text]) =>
    document.querySelector(`.evor-${name} .widget-readout`).innerText !== readout &&
    (document.querySelector('.evor-sentence').innerText !== text || !['tau-r', 'state'].includes(name)) &&
    pictures.some((picture, i) => document.querySelector(`img.evor-${picture}`).src !== before[i])
"""


def sources(page):
    return [page.get_attribute(f"img.evor-{name}", "src") for name in PICTURES]


def sentence(page):
    return page.inner_text(".evor-sentence")


@pytest.mark.parametrize("width", WIDTHS)
def test_sliders_move_by_keyboard_and_pictures_and_sentence_follow(lab, width):
    with browser_page(width) as page:
        run_notebook(page, *lab, f"explorer-{width}.ipynb")
        page.wait_for_selector("img.evor-selection", timeout=180_000)
        page.wait_for_function("() => document.querySelector('.evor-sentence').innerText.includes('candidates')")
        page.locator(".evor-explorer").scroll_into_view_if_needed()
        assert page.inner_text(".evor-tau-r .widget-readout") == "3"  # as the agent has it, not the next grid point
        for name in SLIDERS:
            handle = page.locator(f".evor-{name} .noUi-handle[aria-label]")  # it comes a moment after the slider
            assert len(handle.get_attribute("aria-label")) > 4  # what a screen reader says
            settle(page)
            readout, before, text = page.inner_text(f".evor-{name} .widget-readout"), sources(page), sentence(page)
            handle.focus()
            for _ in range(4):
                page.keyboard.press("ArrowLeft" if name in ("num-flow-steps",) else "ArrowRight")
            page.wait_for_function(CHANGED, arg=[name, PICTURES, readout, before, text])
        page.locator("button.evor-reset").focus()
        page.keyboard.press("Enter")
        settle(page)
        for locator in page.locator(".evor-explorer img").all():
            box = locator.bounding_box()
            assert box["x"] >= 0 and box["x"] + box["width"] <= width  # nothing hangs over the edge
        assert error_outputs(page) == []
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        page.locator(".evor-explorer").screenshot(path=SCREENSHOTS / f"explorer-{width}.png")
        pictures_are_dark_in_a_dark_theme(page)
        if width == 1280:
            print(f"key to picture: {describe(key_to_picture(page))}")  # a number to read, not to test: pytest -s


def pictures_are_dark_in_a_dark_theme(page):
    """As they are shown: what a style of the page does to a picture is not in its bytes."""

    def lightness(name):
        shown = Image.open(io.BytesIO(page.locator(f"img.evor-{name}").screenshot())).convert("L")
        return np.median(np.asarray(shown))

    assert all(lightness(name) > 240 for name in PICTURES)
    page.evaluate("() => { jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'}); }")
    page.wait_for_selector("body[data-jp-theme-light='false']", state="attached")
    assert all(lightness(name) < 40 for name in PICTURES)
    page.evaluate("() => { jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Light'}); }")
    page.wait_for_selector("body[data-jp-theme-light='true']", state="attached")


def key_to_picture(page):
    """Seconds from a key press to a changed picture, once the last one's work is done: two at once could cancel out.

    On a busy machine a press was seen to get no answer, once in hundreds. Up to two may.
    """
    from playwright.sync_api import TimeoutError as TooLate

    page.locator(".evor-tau-r .noUi-handle").focus()
    seconds, unanswered = [], 0
    for press in range(NUM_PRESSES):
        settle(page)
        before = sources(page)[2]
        start = time.perf_counter()
        page.keyboard.press("ArrowRight" if press % 2 else "ArrowLeft")
        try:
            page.wait_for_function(
                "(before) => { const image = document.querySelector('img.evor-values');"
                " return image.src !== before && image.complete; }",
                arg=before,
                polling="raf",
                timeout=20_000,
            )
            seconds.append(time.perf_counter() - start)
        except TooLate:
            unanswered += 1
    assert unanswered <= 2
    return seconds


def describe(seconds):
    p95 = statistics.quantiles(seconds, n=20)[-1]
    return f"median {1000 * statistics.median(seconds):.0f} ms, p95 {1000 * p95:.0f} ms of {len(seconds)}"
