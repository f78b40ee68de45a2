"""The documentation's pages: no warning, no broken link, nothing from a server, usable on a phone and by everybody."""

import importlib.util
import sys
from pathlib import Path

import pytest
from browser import CHROMIUM, HOW_TO, browser_page

from evor_eqx.reports.course import lessons
from evor_eqx.reports.notebooks import find_notebook
from evor_eqx.reports.site import build, synchronise

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow
KINDS = {
    "the start": "index.html",
    "a lesson": "notebooks/course/00_flow_matching.html",
    "a guide": "docs/guides/own_data.html",
    "the API": "docs/api/critics.html",
    "the gallery": "docs/gallery.html",
}


def load(name):
    """A module of the folder docs, which is no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def links():
    return load("links")


@pytest.fixture(scope="module")
def pages(links, tmp_path_factory):
    """The whole site, from notebooks as they are committed: without outputs."""
    folder = tmp_path_factory.mktemp("site")
    docs = load("build")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(docs, "executed_copy", lambda name, parameters: find_notebook(name))
        synchronise(docs.sources([*lessons(), *docs.LIVE], "smoke"), folder / "source")
    assert build(folder / "source", folder / "pages") == 0
    return folder / "pages"


def test_links_lead_somewhere_and_nothing_is_loaded_from_a_server(pages, links):
    assert list(links.faults(pages)) == []


def test_the_checker_finds_what_is_broken(tmp_path, links):
    (tmp_path / "a.html").write_text(
        '<h1 id="here"></h1><a href="#here"></a><a href="b.html#there"></a><a href="c.html"></a><a href="b.html"></a>'
        '<script src="https://example.org/a.js"></script><img src="data:image/png;base64,"><a href="https://a.b"></a>'
    )
    (tmp_path / "b.html").write_text("<p>text</p>")
    (tmp_path / "c.css").write_text('@import "https://a.b/c.css"; a { src: url(//a.b/d.woff), url("e.woff") }')
    assert list(links.faults(tmp_path)) == [
        "a.html: b.html#there is not there",
        "a.html: c.html is not there",
        "a.html: script loads https://example.org/a.js",
        "c.css: style loads https://a.b/c.css",
        "c.css: style loads //a.b/d.woff",
    ]


def test_every_lesson_command_and_figure_has_its_place(pages):
    commands = (pages / "docs" / "command_line.html").read_text()
    gallery = (pages / "docs" / "gallery.html").read_text()
    assert all(f"evor {name}" in commands for name in ("data", "train", "explore", "doctor"))
    for path in (ROOT / "figures").glob("*.png"):
        assert f"{path.name}" in gallery, path
    for name in lessons():
        assert (pages / "notebooks" / "course" / f"{name}.html").is_file()


def test_the_course_leads_on_from_its_contents_and_from_its_last_lessons(pages):
    for name in ("index", "09_results", "bring_your_own"):
        page = pages / "notebooks" / "course" / f"{name}.html"
        assert 'href="../../docs/next_steps.html"' in page.read_text(), name


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason=HOW_TO)
@pytest.mark.parametrize("kind", KINDS)
def test_pages_fit_a_phone_and_keep_the_rules_of_accessibility(pages, kind):
    from axe_playwright_python.sync_playwright import Axe

    with browser_page(390) as page:
        page.goto((pages / KINDS[kind]).as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        found = Axe().run(page).response["violations"]
        shown = [(each["id"], [node["html"][:200] for node in each["nodes"]][:3]) for each in found]
        assert shown == []


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason=HOW_TO)
def test_the_search_works_from_files(pages):
    with browser_page(1280) as page:
        page.goto((pages / "search.html").as_uri() + "?q=expectile")
        page.wait_for_selector("ul.search li a")
