"""The rollout viewer: pictures that follow the decision, sentences instead of tracebacks, and its files."""

import dataclasses
import io
from pathlib import Path

import imageio.v3 as imageio
import ipywidgets
import numpy as np
import pytest
from matplotlib import style
from PIL import Image
from tiny import exhibit_without_data

from evor_eqx.envs import rendering
from evor_eqx.envs.tasks import parse_task
from evor_eqx.errors import UserError
from evor_eqx.evaluation.recording import record
from evor_eqx.system import paths
from evor_eqx.widgets.rollouts.film import rollout_figure, save_gif
from evor_eqx.widgets.rollouts.panels import candidate_ends
from evor_eqx.widgets.rollouts.viewer import RolloutViewer, sentence

MAZE, ARM = "pointmaze-medium-navigate-task1", "cube-single-play-task2"


@pytest.fixture(scope="module")
def maze():
    return exhibit_without_data(MAZE, chunk_length=50)


@pytest.fixture(scope="module")
def viewer(maze):
    opened = RolloutViewer(maze)
    opened.button.click()
    assert set(opened.recordings) == {"A", "B"}, opened.text.value
    return opened


def pixels(viewer):
    return np.asarray(Image.open(io.BytesIO(viewer.canvas.image.value)), np.int16)


def test_the_button_records_both_settings_on_one_seed_and_says_what_happened(viewer):
    a, b = viewer.recordings.values()
    assert (a.episode.inference, b.episode.inference) == tuple(viewer.settings().values())
    assert b.episode.inference.num_candidates == 1 and a.episode.seed == b.episode.seed == 0
    np.testing.assert_array_equal(a.path[0], b.path[0])
    assert "A did not reach the goal within 1000 steps; B did not" in viewer.text.value
    assert not viewer.button.disabled and viewer.decision.max == viewer.play.max == 19


def test_what_moves_is_what_a_full_drawing_would_show(viewer):
    viewer.decision.value = 13
    moved = pixels(viewer)
    artists = [artist for side in viewer._sides for panel in side.panels for artist in panel.moving]
    with style.context(paths.style_file()):
        viewer.canvas.redraw(artists)
    np.testing.assert_array_equal(moved, pixels(viewer))
    viewer.decision.value = 2
    assert (moved != pixels(viewer)).any()


def test_artists_follow_the_decision_and_the_shorter_episode_waits_at_its_end(viewer):
    side = viewer._sides[0]
    viewer.decision.value = 4
    _, path, distribution, value = side.panels
    np.testing.assert_allclose(np.ravel(path.now.get_data()), side.recording.path[200])
    returns = side.recording.return_to_go.at(4)
    span = distribution.interval.get_xy()[:, 0]
    assert (span.min(), span.max()) == pytest.approx((float(returns.low), float(returns.high)))
    assert len(distribution.realised.get_xdata()) == (2 if returns.is_complete else 0)
    assert value.dots.get_ydata()[0] == pytest.approx(side.recording.picked_value[4])
    assert len(path.ways.get_segments()) == side.recording.episode.inference.num_candidates
    viewer._move(10**6)
    np.testing.assert_allclose(np.ravel(path.now.get_data()), side.recording.path[950])


def test_an_ants_choice_leads_where_the_episode_went():
    exhibit = exhibit_without_data("antmaze-medium-navigate-task1")
    recording = record(exhibit.agent, exhibit.task, 0, frames=False)
    drawn = candidate_ends(recording)[np.arange(len(recording.step)), recording.index]
    places = recording.path[[*recording.step, len(recording.reward)], :2]
    went = np.diff(places, axis=0)
    assert np.linalg.norm(went, axis=1).max() > 0.05
    np.testing.assert_allclose(drawn, 10 * went, atol=1e-3)  # ten times as long, to be seen


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_bad_seed_is_a_sentence_and_the_controls_stay_usable(viewer, seed):
    before = viewer.recordings
    viewer.seed.value = seed
    viewer.button.click()
    assert f"seeds: got [{seed}]" in viewer.text.value and viewer.recordings is before and not viewer.button.disabled
    viewer.seed.value = 0


def test_an_agent_that_does_not_fit_is_a_sentence(maze):
    wrong = dataclasses.replace(maze, task=parse_task(ARM))
    opened = RolloutViewer([wrong])
    opened.button.click()
    assert "give an agent of cube-single-play-v0" in opened.text.value and not opened.recordings


def test_no_agents_are_a_user_error():
    with pytest.raises(UserError, match="no agents"):
        RolloutViewer([])


def test_new_recordings_begin_with_the_first_decision_and_no_later_one_is_sent_to_the_page(maze):
    opened = RolloutViewer(maze)
    opened.button.click()
    opened.decision.max = opened.play.max = 500  # as after longer episodes
    opened.decision.value = opened.play.value = 450
    opened.play.playing = True
    sent = []
    for control in (opened.decision, opened.play):
        control.observe(lambda change: sent.append(change["new"]), "value")
    opened.button.click()
    assert sent == [0, 0] and not opened.play.playing
    assert opened.decision.max == max(len(each.step) for each in opened.recordings.values()) - 1 < 450
    assert opened._sides[0].panels[3].dots.get_xdata()[0] == 0


def test_without_a_backend_it_says_so_and_shows_the_rest(maze, monkeypatch):
    monkeypatch.setattr(rendering, "prepare", lambda: "No pictures: install one.")
    opened = RolloutViewer(maze)
    opened.button.click()
    assert opened.recordings["A"].frames is None and "No pictures: install one." in opened.text.value
    assert pixels(opened).std() > 0


def test_another_agent_brings_its_setting_and_an_arm_is_seen_from_above(maze):
    arm = exhibit_without_data(ARM, chunk_length=40)
    arm = dataclasses.replace(arm, agent=arm.agent.replace(num_candidates=5, tau_r=30.0, tau_q=0.0, num_returns=16))
    opened = RolloutViewer([maze, arm])
    opened.exhibit.value = arm
    a, b = opened.settings().values()
    assert (a.num_candidates, a.tau_r, b.num_candidates) == (5, 30, 1)
    opened.button.click()
    assert "A did not solve the task within 200 steps" in opened.text.value
    assert opened._sides[0].panels[1].ways.get_segments()


def test_every_control_has_a_label_a_tooltip_and_a_class(viewer):
    def leaves(widget):
        children = getattr(widget, "children", ())
        return [leaf for child in children for leaf in leaves(child)] or ([] if children else [widget])

    controls = [leaf for leaf in leaves(viewer.box) if not isinstance(leaf, ipywidgets.HTML | ipywidgets.Image)]
    assert len(controls) == 11
    for leaf in controls:
        assert leaf.description and leaf.tooltip and "evor-control" in leaf._dom_classes
    assert len({leaf._dom_classes[1] for leaf in controls}) == len(controls)


def test_the_sentence_names_who_reached_the_goal(viewer):
    a = viewer.recordings["A"]
    solved = dataclasses.replace(a, episode=dataclasses.replace(a.episode, success=True, length=143))
    assert sentence({"A": solved, "B": a}).startswith("A reached the goal after 143 steps; B did not reach the goal")


def test_the_static_twin_shows_three_decisions_of_each(viewer, tmp_path):
    for recordings in ([viewer.recordings["A"]], list(viewer.recordings.values())):
        figure = rollout_figure(recordings)
        assert len(figure.axes) == 8 * len(recordings)
        figure.savefig(tmp_path / "twin.png")
    with pytest.raises(UserError, match="expected one or two"):
        rollout_figure([])


def test_a_gif_has_the_decisions_and_no_more_bytes_than_allowed(viewer, tmp_path: Path):
    recordings = list(viewer.recordings.values())
    path = save_gif(recordings, tmp_path / "folder" / "both.gif", num_frames=7)
    film = imageio.imread(path)
    assert film.shape[0] == 7 and (film[0] != film[-1]).any() and path.stat().st_size < 2_000_000
    small = save_gif(recordings, path, max_bytes=path.stat().st_size // 2)
    assert imageio.imread(small).shape[0] < 20
    assert [file.name for file in path.parent.iterdir()] == ["both.gif"]
