"""The page of recorded episodes: it holds the recordings, plays them, and is usable by everybody."""

import base64
import json
import re

import numpy as np
import pytest
from browser import CHROMIUM, HOW_TO
from tiny import exhibit_without_data
from widgets.test_front import opened

from evor_eqx.errors import UserError
from evor_eqx.evaluation.recording import record
from evor_eqx.widgets.rollouts.export import rollout_page

with_browser = pytest.mark.skipif(CHROMIUM is None, reason=HOW_TO)
ARRAYS = ("path", "atoms", "weights", "value", "mean", "best", "probability", "low", "high")
DRAWN = ".evor-course path.evor-best[d]"


@pytest.fixture(scope="module", params=["pointmaze-medium-navigate-task1", "cube-single-play-task2"])
def recordings(request):
    """Episodes of an untrained agent; B draws one candidate and has no pictures."""
    exhibit = exhibit_without_data(request.param, chunk_length=50)
    one = exhibit.agent.replace(num_candidates=1)
    return [record(exhibit.agent, exhibit.task, 0), record(one, exhibit.task, 0, frames=False)]


@pytest.fixture(scope="module")
def saved(recordings, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "rollout.html"
    path.write_text(rollout_page(recordings), encoding="utf-8")
    return path


def test_the_page_holds_the_recordings(recordings, saved):
    (held,) = re.findall(r'id="evor-data">(.*?)</script>', saved.read_text(encoding="utf-8"))
    for recording, side in zip(recordings, json.loads(held)["sides"], strict=True):
        arrays = {name: np.frombuffer(base64.b64decode(side[name]), np.float32) for name in ARRAYS}
        returns = recording.return_to_go
        np.testing.assert_allclose(arrays["path"].reshape(-1, 2), recording.path[:, :2], rtol=1e-6)
        np.testing.assert_allclose(arrays["atoms"], recording.atoms.ravel(), rtol=1e-6)
        np.testing.assert_allclose(arrays["low"], returns.low, rtol=1e-6)
        np.testing.assert_allclose(arrays["high"], returns.high, rtol=1e-5, atol=1e-5)
        for i, picked in enumerate(recording.index):
            assert arrays["value"][i] == np.float32(recording.value[i, picked]) <= arrays["best"][i]
            assert arrays["probability"][i] == np.float32(recording.weights[i, picked])
        assert side["step"] == recording.step.tolist() and side["index"] == recording.index.tolist()
        assert (side["frames"] is None) == (recording.frames is None)


def test_a_page_has_one_or_two_recordings(recordings):
    with pytest.raises(UserError, match="0 recordings: expected one or two"):
        rollout_page([])
    with pytest.raises(UserError, match="3 recordings: expected one or two"):
        rollout_page(recordings[:1] * 3)


@with_browser
@pytest.mark.slow
def test_it_says_the_best_of_a_choice_only_if_none_has_a_higher_value(recordings, saved):
    recording = recordings[0]
    with opened(saved, shows=DRAWN) as page:
        for i, picked in enumerate(recording.index[:40]):
            page.locator(".evor-bar input").evaluate(
                "(slider, i) => { slider.value = i; slider.dispatchEvent(new Event('input')); }", i
            )
            said = page.locator(".evor-side .evor-sentence").first.inner_text()
            assert (", the best. " in said) == bool(recording.value[i, picked] == recording.value[i].max())


def decision(page):
    return int(page.inner_text(".evor-bar output").split()[0])


@with_browser
@pytest.mark.slow
def test_it_plays_and_pictures_follow(saved):
    with opened(saved, shows=DRAWN) as page:
        pictures = ".evor-path svg", ".evor-expected svg", ".evor-course svg"
        before = [page.inner_html(name) for name in pictures]
        assert decision(page) == 1
        page.locator("#evor-decision").focus()
        page.keyboard.press("ArrowRight")
        assert decision(page) == 2
        assert all(page.inner_html(name) != html for name, html in zip(pictures, before, strict=True))
        said = page.locator(".evor-side .evor-sentence").all_inner_texts()
        assert said[0].startswith("A, step 50: ") and said[1].startswith("B, step 50: the base policy's one draw")
        page.locator(".evor-play").press("Enter")
        page.wait_for_function("() => Number.parseInt(document.querySelector('.evor-bar output').innerText) > 3")
        page.locator("#evor-decision").press("End")
        page.wait_for_function("() => document.querySelector('.evor-play').innerText === 'Play'")
        box = page.locator(".evor-course svg").first.bounding_box()
        page.mouse.click(box["x"] + 54, box["y"] + box["height"] / 2)  # where the axis begins
        assert decision(page) == 1


@with_browser
@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_axe_finds_no_barrier_and_nothing_is_wider_than_the_screen(saved, width, scheme):
    from axe_playwright_python.sync_playwright import Axe

    with opened(saved, width, 844, shows=DRAWN, color_scheme=scheme) as page:
        found = Axe().run(page).response["violations"]
        assert [(each["id"], [node["html"][:90] for node in each["nodes"]][:3]) for each in found] == []
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width
