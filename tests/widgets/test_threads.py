"""What several threads of a kernel do at once: JupyterLab handles the messages of controls in threads of their own."""

from concurrent.futures import ThreadPoolExecutor

import matplotlib
import pytest
from matplotlib.figure import Figure
from tiny import tiny_exhibit, tiny_listed

from evor_eqx.widgets.drawing import house_style
from evor_eqx.widgets.explorer.arrays import DATA, PLACE
from evor_eqx.widgets.explorer.explorer import Explorer
from evor_eqx.widgets.explorer.states import StateFinder
from evor_eqx.widgets.explorer.twin import explorer_figure

NUM_MOVES = 12
pytestmark = pytest.mark.usefixtures("threads_change_often")


def together(*functions):
    """Run functions in threads, and raise what one of them raises."""
    with ThreadPoolExecutor(len(functions)) as pool:
        for each in [pool.submit(function) for function in functions]:
            each.result(300)


def test_controls_of_the_explorer_moved_by_two_threads_end_where_one_thread_ends(monkeypatch):
    explorer, alone = Explorer([tiny_listed()]), Explorer([tiny_listed()])
    wrong = []
    monkeypatch.setattr("threading.excepthook", wrong.append)

    def look_around():
        for index in range(NUM_MOVES):
            explorer.state = index
            explorer.source = (PLACE, DATA)[index % 2]
        explorer.state = 3

    def weigh():
        for index in range(4 * NUM_MOVES):
            explorer.num_candidates = (4, 8, 64)[index % 3]
            explorer.num_flow_steps = (4, 5)[index % 2]
        explorer.num_candidates, explorer.num_flow_steps = 16, 4

    together(look_around, weigh)
    alone.state, alone.num_candidates = 3, 16
    explorer.state = 2  # what is left of many moves: the last ones
    explorer.state = 3
    without_key = [{**each.view, "key": "", "scene": ""} for each in (explorer, alone)]
    assert without_key[0] == without_key[1] and explorer.inference == alone.inference
    assert explorer.message == "" and wrong == []


def test_figures_that_several_threads_draw_leave_the_settings_of_matplotlib_as_they_were():
    settings, finder = dict(matplotlib.rcParams), StateFinder(tiny_exhibit())
    inference = finder.exhibit.agent.inference

    def styled():
        for _ in range(30):
            with house_style({"font.size": 6}):
                assert matplotlib.rcParams["font.size"] == 6
                Figure().subplots()
                assert matplotlib.rcParams["font.size"] == 6

    together(styled, styled, lambda: explorer_figure(finder, finder.at_state(3), inference))
    assert dict(matplotlib.rcParams) == settings
