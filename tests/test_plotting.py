"""Pictures hold the numbers that they were given."""

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pytest
from IPython.core.formatters import DisplayFormatter

from evor_eqx import plotting
from evor_eqx.critics.flow_targets import TARGETS
from evor_eqx.critics.registry import critic_names
from evor_eqx.envs.ogbench import MazeLayout
from evor_eqx.suite.methods import METHODS


@pytest.fixture
def ax():
    figure, axis = plt.subplots()
    yield axis
    plt.close(figure)


def test_every_target_and_critic_has_a_look_of_its_own():
    assert set(TARGETS) | set(critic_names()) - {"flow"} == set(plotting.METHODS)
    looks = list(plotting.METHODS.values())
    for distinct in ({look.label for look in looks}, {look.marker for look in looks}):
        assert len(distinct) == len(looks)
    assert len({(look.color, str(look.linestyle)) for look in looks}) == len(looks)


def test_every_method_of_the_suite_has_a_look():
    assert set(METHODS) <= set(plotting.SUITE_METHODS)


def test_cdf_steps_up_by_the_weights_at_the_sorted_atoms(ax):
    plotting.cdf(ax, np.array([3.0, 1.0, 2.0]), np.array([0.5, 0.2, 0.3]))
    x, y = ax.lines[0].get_data()
    np.testing.assert_allclose(x, [1, 1, 2, 3])
    np.testing.assert_allclose(y, [0, 0.2, 0.5, 1.0])


def test_binned_means_are_the_naive_ones_and_small_bins_are_left_out():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.uniform(0, 1, 100), rng.uniform(2, 3, 50), [10.0]])
    y = 2 * x + rng.normal(size=len(x))
    means, averages = plotting.binned_means(x, y, num_bins=10)
    edges = np.linspace(x.min(), 10.0, 11)
    groups = [np.flatnonzero((x >= a) & (x < b)) for a, b in itertools.pairwise(edges)]
    groups = [group for group in groups if len(group) >= 10]
    np.testing.assert_allclose(means, [x[g].mean() for g in groups])
    np.testing.assert_allclose(averages, [y[g].mean() for g in groups])


def test_success_is_drawn_in_percent_with_its_interval(ax):
    intervals = np.array([[0.1, 0.4], [0.5, 0.9]])
    plotting.success_curve(ax, np.array([1.0, 32.0]), np.array([0.2, 0.8]), intervals, "maze")
    (line,) = [line for line in ax.lines if len(line.get_xdata()) == 2 and line.get_linestyle() != "None"]
    np.testing.assert_allclose(line.get_ydata(), [20, 80])
    segments = ax.collections[0].get_segments()
    np.testing.assert_allclose([[s[0, 1], s[1, 1]] for s in segments], 100 * intervals)


def test_settings_of_zero_and_infinity_lie_at_the_ends_of_a_logarithmic_axis(ax):
    x, rates = np.array([0.0, 0.5, 2.0, np.inf]), np.full(4, 0.5)
    plotting.success_curve(ax, x, rates, np.stack([rates, rates], axis=1), "maze")
    np.testing.assert_allclose(ax.get_xticks(), [0.125, 0.5, 2.0, 8.0])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "0.5", "2", "∞"]


def test_curves_of_several_settings_share_their_ticks(ax):
    ticks, rates = np.array([1.0, 4.0, 8.0, np.inf]), np.full(2, 0.5)
    for x in (ticks[[1, 3]], ticks[[2, 3]]):
        plotting.success_curve(ax, x, rates, np.stack([rates, rates], axis=1), "maze", ticks)
    lines = [list(line.get_xdata()) for line in ax.lines if line.get_linestyle() != "None"]
    assert lines == [[4, 32], [8, 32]]
    np.testing.assert_allclose(ax.get_xticks(), [1, 4, 8, 32])


def test_a_learning_curve_is_the_median_inside_the_range_of_the_seeds(ax):
    plotting.learning_curve(ax, np.array([1, 2]), np.array([[1.0, 2.0, 9.0], [0.0, 4.0, 5.0]]), "some")
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [2.0, 4.0])
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == (0.0, 9.0)


def test_a_maze_shows_each_places_value_in_figures_and_in_colour(ax):
    layout = MazeLayout(np.array([[1, 1, 1], [1, 0, 0], [1, 1, 1]]), 4.0, 4.0, np.array([4.0, 0.0]))
    plotting.maze_values(ax, layout, layout.free_cells, np.array([-50.0, 80.4]), "gap", limit=100)
    assert {text.get_text(): text.xy for text in ax.texts} == {"-50": (0.0, 0.0), "80": (4.0, 0.0)}
    ax.figure.canvas.draw()
    (dots,) = [each for each in ax.collections if each.get_array() is not None]
    (red, _, blue, _), (more_red, _, less_blue, _) = dots.get_facecolors()
    assert blue > red and more_red > less_blue
    assert ax.figure.axes[1].get_ylabel() == "gap"


def test_a_maze_shows_its_teleports(ax):
    walls, entrances = np.array([[1, 1, 1], [1, 0, 0], [1, 1, 1]]), np.array([[0.0, 0.0]])
    plotting.maze(ax, MazeLayout(walls, 4.0, 4.0, np.array([4.0, 0.0]), entrances=entrances))
    (rings,) = [each for each in ax.collections if each.get_label() == "entrance"]
    np.testing.assert_array_equal(rings.get_offsets(), entrances)


def test_a_figure_without_pyplot_shows_itself_as_a_picture():
    figure = plotting.PageFigure(figsize=(1, 1))
    shown = DisplayFormatter().format(figure)[0]
    assert shown["image/png"][:4] == b"\x89PNG"
