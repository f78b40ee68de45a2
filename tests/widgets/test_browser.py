"""The explorer as people meet it: JupyterLab, a browser, the keyboard; screenshots stay in `.cache/screenshots`."""

import shutil
import subprocess
import time
from pathlib import Path

import pytest
from browser import CHROMIUM, HOW_TO, browser_page, error_outputs, jupyter_lab, run_notebook, settle

from evor_eqx.system import paths

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason=HOW_TO)]
SCREENSHOTS = Path(__file__).parents[2] / ".cache" / "screenshots"
SLIDERS = ("tau-r", "tau-q", "num-candidates", "num-returns", "num-flow-steps", "state")
KEYS = {"state": "ArrowRight", "tau-q": "End"}  # a smaller tau_Q changes nothing where the choice is almost certain
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


PICTURES = ("values", "distributions", "selection")
CHANGED = """([name, names, before]) => {
    const pictures = names.map((each) => document.querySelector(`.evor-${each} svg`).innerHTML);
    return document.querySelector(`.evor-${name} output`).innerText !== before[0] && pictures.join('') !== before[1];
}"""


def shown(page, name):
    pictures = [page.inner_html(f".evor-{picture} svg") for picture in PICTURES]
    return [page.inner_text(f".evor-{name} output"), "".join(pictures)]


@pytest.mark.parametrize("width", WIDTHS)
def test_sliders_move_by_keyboard_and_pictures_follow_on_one_screen(lab, width):
    with browser_page(width, 800) as page:
        started = time.perf_counter()
        run_notebook(page, *lab, f"explorer-{width}.ipynb")
        page.wait_for_selector(".evor-ranks circle", state="attached", timeout=180_000)
        print(f"first picture after {time.perf_counter() - started:.1f} s")  # a number to read, not to test: pytest -s
        settle(page)
        assert page.inner_text(".evor-tau-r output") == "3"  # as the agent has it, not the next grid point
        for name in SLIDERS:
            before = shown(page, name)
            page.locator(f".evor-{name} input").focus()
            for _ in range(4):
                page.keyboard.press(KEYS.get(name, "ArrowLeft"))
            page.wait_for_function(CHANGED, arg=[name, PICTURES, before])
            settle(page)
        page.locator("button.evor-reset").focus()
        page.keyboard.press("Enter")
        settle(page)
        page.wait_for_selector(".evor-maze path.evor-track[d^='M']", state="attached")
        page.locator(".evor-explorer").scroll_into_view_if_needed()
        page.locator(".evor-where").evaluate("(first) => first.scrollIntoView({block: 'start'})")
        boxes = [each.bounding_box() for each in page.locator(".evor-settings, .evor-plot").all()]
        assert len(boxes) == 7 and all(box["x"] >= 0 and box["x"] + box["width"] <= width for box in boxes)
        if width == 1280:
            assert all(box["y"] >= 0 and box["y"] + box["height"] <= 800 for box in boxes)
        assert error_outputs(page) == []
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SCREENSHOTS / f"explorer-{width}.png")
        if width == 1280:
            the_maze_and_the_button_reach_the_kernel(page)
        follows_the_theme(page)
        without_a_kernel_sliders_still_work(page)


def follows_the_theme(page):
    def paper():
        color = page.locator(".evor-explorer").evaluate("(explorer) => getComputedStyle(explorer).backgroundColor")
        return sum(int(part) for part in color.removeprefix("rgb(").removesuffix(")").split(","))

    assert paper() > 600
    page.evaluate("() => { jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'}); }")
    page.wait_for_selector("body[data-jp-theme-light='false']", state="attached")
    page.wait_for_timeout(300)
    assert paper() < 150
    page.evaluate("() => { jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Light'}); }")
    page.wait_for_selector("body[data-jp-theme-light='true']", state="attached")


def the_maze_and_the_button_reach_the_kernel(page):
    page.locator(".evor-maze .evor-states circle").first.click(force=True)
    page.wait_for_function("() => document.querySelector('.evor-sentence').innerText.includes('At place (')")
    page.locator("button.evor-fresh").click()
    page.wait_for_function("() => document.querySelector('.evor-sentence').innerText.includes('Fresh rollouts')")
    assert page.locator("g.evor-fresh path").last.get_attribute("d")


def without_a_kernel_sliders_still_work(page):
    """The kernel is killed: the page says so once something needs it, and what it computes itself goes on."""
    sentence = page.inner_text(".evor-sentence")
    assert page.locator(".evor-waiting").is_hidden()
    kernel = page.evaluate("() => jupyterapp.shell.currentWidget.sessionContext.session.kernel.id")
    subprocess.run(["pkill", "-KILL", "-f", f"kernel-{kernel}.json"], check=True)
    page.locator(".jp-Dialog button.jp-mod-accept").click()  # "The kernel appears to have died"
    page.locator(".evor-source select, .evor-state input").last.press("ArrowRight")
    page.wait_for_function("() => document.querySelector('.evor-waiting').innerText.includes('kernel does not answer')")
    assert page.inner_text(".evor-sentence") == sentence
    before = shown(page, "tau-r")
    page.locator(".evor-tau-r input").focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    page.wait_for_function(CHANGED, arg=["tau-r", PICTURES, before])
    assert page.inner_text(".evor-sentence") != sentence
    page.screenshot(path=SCREENSHOTS / "explorer-without-kernel.png")
