"""The live view: panels against arrays, sentences against cases, a thread that stops and goes on bit for bit."""

import os
import shutil
import statistics
import time
from dataclasses import replace
from types import SimpleNamespace as Some

import ipywidgets
import jax.numpy as jnp
import numpy as np
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager
from matplotlib.figure import Figure

from evor_eqx import plotting
from evor_eqx.config import TrainConfig
from evor_eqx.data import loading
from evor_eqx.data.censoring import CensoredReturns
from evor_eqx.distributions import ReturnDistribution
from evor_eqx.envs.return_bounds import ReturnBounds
from evor_eqx.envs.tasks import parse_task
from evor_eqx.errors import UserError
from evor_eqx.evaluation.held_out import Probes
from evor_eqx.pipeline import identity, stages
from evor_eqx.presets import preset
from evor_eqx.runs.run import Run
from evor_eqx.system.locks import lock
from evor_eqx.widgets.training.panels import DistributionPanel, loss_curves, training_figure
from evor_eqx.widgets.training.view import DRAW_EVERY, TrainingView
from evor_eqx.widgets.training.words import describe

TASK = parse_task("pointmaze-medium-navigate-task1")
SMOKE = preset("smoke")
SHORT = TrainConfig(num_updates=40, batch_size=16, log_every=10, checkpoint_every=20)
LONG = replace(SMOKE.critic.train, num_updates=30_000, log_every=100, checkpoint_every=30_000)


def with_train(policy, critic):
    return replace(
        SMOKE,
        data=replace(SMOKE.data, num_episodes=1),
        policy=replace(SMOKE.policy, train=policy),
        critic=replace(SMOKE.critic, train=critic),
    )


def said(view):
    """The line's text."""
    return view.line.value.partition(">")[2].rpartition("<")[0]


def wait_until(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


# Panels and sentences.


def test_curves_show_the_metrics_and_grow_only_when_they_must():
    curves = loss_curves(Figure().subplots())
    columns = {"step": np.array([10, 20]), "loss": np.array([2.0, 1.0]), "val_loss": np.array([3.0, 1.5])}
    curves.expect(100)
    assert curves.show({}) is False
    assert curves.show(columns) is True
    assert curves.ax.get_xlim() == (0, 100)
    low, high = curves.ax.get_ylim()
    assert 0 <= low < 1.0 and high > 3.0
    inside = {name: np.append(column, column[-1]) for name, column in columns.items()}
    assert curves.show(inside) is False and curves.ax.get_ylim() == (low, high)
    np.testing.assert_array_equal(curves.moving[1].get_ydata(), inside["val_loss"])
    assert curves.show({**inside, "loss": np.array([2.0, 1.0, 9.0])}) is True
    assert curves.ax.get_ylim()[1] > 9.0


def test_distributions_are_drawn_as_distribution_functions_beside_the_recorded_ones():
    panel = DistributionPanel(Figure().subplots(1, 3))
    bounds = ReturnBounds(-10.0, 0.0)
    complete = np.array([-3.0, -1.0, -2.0, -1.0]), np.array([-5.0]), np.empty(0)
    returns = [CensoredReturns(each, np.zeros(len(each)), bounds) for each in complete]
    panel.expect(Probes(np.zeros((3, 2)), np.zeros((3, 1)), returns, (-10.0, 0.0)))
    rng = np.random.default_rng(0)
    atoms, weights = rng.normal(size=(3, 5)), rng.dirichlet(np.ones(5), 3)
    panel.show(ReturnDistribution(jnp.asarray(atoms), jnp.asarray(weights)))
    for ax, z, w in zip(panel._axes, atoms, weights, strict=True):
        x, y = ax.lines[1].get_data()
        for at in np.linspace(-3, 3, 50):
            step = y[np.searchsorted(x, at, side="right") - 1] if at >= x[0] else 0.0
            assert step == pytest.approx(w[z <= at].sum(), abs=1e-5)
    x, y = panel._axes[0].lines[0].get_data()
    np.testing.assert_allclose(x, [-3, -3, -3, -2, -2, -1, -1, -1, -1, -1])
    np.testing.assert_allclose(y, np.repeat([0, 0.25, 0.5, 0.75, 1], 2))
    assert set(panel._axes[1].lines[0].get_data()[0]) == {-5}  # one return: a vertical line
    assert len(panel._axes[2].lines[0].get_data()[0]) == 0


def test_recorded_returns_that_were_cut_off_are_a_band_and_the_legend_says_how_many():
    panel = DistributionPanel(Figure().subplots(1, 3))
    returns = CensoredReturns(np.array([-3.0, -1.0]), np.array([0.5, 0.0]), ReturnBounds(-10.0, 0.0))
    panel.expect(Probes(np.zeros((3, 2)), np.zeros((3, 1)), [returns] * 3, (-10.0, 0.0)))
    for ax, band in zip(panel._axes, panel._bands, strict=True):
        corners = band.get_xy()
        assert (corners[:, 0].min(), corners[:, 0].max()) == (-8, -1)  # -3 - 0.5 * 10, and the complete one
        words = [text.get_text() for text in ax.get_legend().get_texts()]
        assert words == ["recorded near it:\n1 complete, 1 cut off", "critic", plotting.CUT]


@pytest.mark.parametrize(
    ("columns", "rate", "expected"),
    [
        ({}, None, "0 of 600 updates."),
        ({"step": [300], "loss": [0.5]}, None, "300 of 600 updates, loss 0.5."),
        (
            {"step": [100, 300], "loss": [1, 0.51], "held_out_w1": [9, 3.14159]},
            20.0,
            "300 of 600 updates, 20 updates/s, 15 s left, loss 0.51, W₁ 3.14.",
        ),
        (
            {"step": [600], "held_out_w1": [3.14159], "held_out_crps": [2], "held_out_unknown": [0.66]},
            None,
            "600 of 600 updates, W₁ 3.14, CRPS 2, both known up to 0.66, because returns were cut off.",
        ),
        ({"step": [300], "loss": [0.5]}, 1.0, "300 of 600 updates, 1 updates/s, 5 min left, loss 0.5."),
        ({"step": [600], "loss": [0.5]}, 20.0, "600 of 600 updates, loss 0.5."),
    ],
)
def test_a_run_is_described_in_words(columns, rate, expected):
    assert describe({name: np.array(column) for name, column in columns.items()}, 600, rate) == expected


def test_the_rate_after_a_resume_counts_only_what_was_done_since(home, monkeypatch):
    view, run = TrainingView(TASK.name), Run.of("group", "critic", {}).open()
    view._job = Some(run=run, num_updates=10_000, probes=None)
    monkeypatch.setattr(view, "_draw_curves", lambda: None)

    def block(step, seconds):
        monkeypatch.setattr("evor_eqx.runs.run.time", Some(monotonic=lambda: seconds))
        run.log(step, {"loss": 1.0})
        view._watch(step, {}, None)
        return view._state()

    block(100, 0.0), block(200, 1.0)
    assert "100 updates/s, 2 min left" in block(300, 2.0)
    monkeypatch.setattr(view, "_work", lambda: None)
    view.start()  # resumes, on a slower machine
    view.wait()
    assert "updates/s" not in block(400, 1000.0)  # one row has no rate
    assert "10 updates/s, 16 min left" in block(500, 1010.0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"task_name": "pointmaze-medum-navigate-task1"}, "did you mean"),
        ({"task_name": TASK.name, "preset": "lapptop"}, "unknown preset 'lapptop'"),
        ({"task_name": TASK.name, "phase": "actor"}, "phase is 'actor': expected one of critic, policy"),
        ({"task_name": "antmaze-giant-explore-task1"}, "antmaze-giant-explore"),
    ],
)
def test_what_is_wrong_is_said_and_never_raised(home, capfd, arguments, words):
    view = TrainingView(**arguments)
    view.start()
    view.wait(60)
    assert said(view).startswith("Stopped: ") and words in said(view)
    assert view.button.description == "Resume" and not view.button.disabled and not view.running
    assert "Traceback" not in capfd.readouterr().err


def test_damaged_metrics_are_said_and_the_button_goes_on_working(home, monkeypatch):
    view = TrainingView(TASK.name)

    def damaged():
        raise UserError("damaged file metrics.jsonl")

    monkeypatch.setattr(view, "_train", damaged)
    monkeypatch.setattr(view, "_draw_curves", damaged)
    view.start()
    view.wait(60)
    assert said(view).startswith("Stopped: damaged file metrics.jsonl")
    assert view.button.description == "Resume" and not view.running


def test_a_bug_in_the_thread_is_said_too(home, monkeypatch):
    monkeypatch.setattr(identity, "ensure_source", lambda *_: 1 / 0)
    view = TrainingView(TASK.name)
    view.start()
    view.wait(60)
    assert said(view) == "Stopped by an error, ZeroDivisionError: division by zero"


def test_controls_have_names_and_tooltips():
    view = TrainingView(TASK.name)
    assert isinstance(view.box, ipywidgets.VBox) and view.button.description == "Start"
    assert "evor-training" in view.button._dom_classes and view.button.tooltip
    assert 'aria-live="polite"' in view.line.value
    assert len(view.box.children[-1].children) == 3
    assert len(TrainingView(TASK.name, phase="policy").box.children[-1].children) == 1


# Threads.


@pytest.mark.slow
def test_stopped_and_resumed_by_its_button_it_trains_what_an_undisturbed_command_trains(module_home, monkeypatch):
    config = with_train(SHORT, replace(LONG, num_updates=3000, checkpoint_every=3000))
    view = TrainingView(TASK.name, config=config)
    empty = [image.value for image in view.box.children[-1].children]
    view.button.click()  # makes the data and the base policy too
    assert view.button.description == "Stop"
    wait_until(lambda: view._job is not None and len(view._job.run.metrics().get("step", ())) > 4)
    view.button.click()
    view.wait()
    run, steps = view._job.run, view._job.run.metrics()["step"]
    assert 200 < steps[-1] < 3000 and (run.path / "checkpoint.eqx").exists() and not run.complete
    assert f"Stopped, and saved: {steps[-1]:,} of 3,000 updates" in said(view)
    assert all(image.value != before for image, before in zip(view.box.children[-1].children, empty, strict=True))

    view.button.click()
    wait_until(lambda: not view.running)
    view.wait()
    assert view.button.description == "Done" and said(view).startswith("Done: 3,000 of 3,000 updates, loss ")
    assert run.complete and run.metrics()["step"].tolist() == list(range(100, 3001, 100))  # LONG.log_every
    np.testing.assert_array_equal(view._curves[0][1].moving[0].get_xdata(), run.metrics()["step"])

    other = module_home / "other"
    shutil.copytree(module_home / "data", other / "data")
    monkeypatch.setenv("EVOR_HOME", str(other))
    undisturbed = stages.ensure_critic(TASK, config).run
    assert undisturbed.path != run.path and undisturbed.name == run.name
    assert (run.path / "checkpoint.eqx").read_bytes() == (undisturbed.path / "checkpoint.eqx").read_bytes()


@pytest.mark.slow
def test_a_run_that_another_holds_is_waited_for_in_words_and_the_wait_can_be_stopped(module_home):
    config = with_train(SHORT, SHORT)
    view = TrainingView(TASK.name, config=config, phase="policy")
    run = identity.policy_run(identity.ensure_source(TASK, config), replace(config))
    stages.ensure_policy(TASK, config)
    (run.path / "manifest.json").unlink()  # trained, but not known to be
    with lock(run.path):
        view.start()
        wait_until(lambda: "is being made by process" in said(view))
        assert f"process {os.getpid()} on " in said(view)
        view.stop()
        view.wait()
        assert said(view).startswith("Stopped") and view.button.description == "Resume"
    view.start()
    view.wait()
    assert said(view).startswith("Done: 40 of 40 updates")


@pytest.mark.slow
def test_stopped_while_its_data_are_made_it_says_so_and_goes_on_later(home):
    config = replace(with_train(SHORT, SHORT), data=replace(SMOKE.data, num_episodes=100))
    view = TrainingView(TASK.name, config=config, phase="policy")
    view.start()
    wait_until(lambda: "First pointmaze" in said(view))
    view.stop()
    view.wait()
    assert said(view) == "Stopped; what was made is kept."
    view.start()
    view.wait()
    assert said(view).startswith("Done: 40 of 40 updates")


@pytest.mark.slow
def test_the_static_twin_draws_what_the_run_folder_holds(module_home):
    config = with_train(SHORT, SHORT)
    critic = stages.ensure_critic(TASK, config)
    held_out = loading.load_dataset(identity.ensure_source(TASK, config), TASK, "val")
    probes = Probes.of(held_out, TASK.gamma, config.policy.chunk_length)
    loss, distance, *distributions = training_figure(critic.run, probes).axes
    np.testing.assert_array_equal(loss.lines[1].get_ydata(), critic.run.metrics()["val_loss"])
    np.testing.assert_array_equal(distance.lines[0].get_ydata(), critic.run.metrics()["held_out_w1"])
    atoms = np.sort(np.asarray(probes.distributions(critic.model).atoms))
    for ax, expected in zip(distributions, atoms, strict=True):
        np.testing.assert_allclose(ax.lines[1].get_xdata()[1:], expected)
    (alone,) = training_figure(stages.ensure_policy(TASK, config).run).axes
    assert len(alone.lines[0].get_xdata()) == 4


# A real kernel.

CELLS = f"""
from dataclasses import replace
from evor_eqx.config import TrainConfig
from evor_eqx.presets import preset
from evor_eqx.widgets.training.view import TrainingView
smoke = preset("smoke")
config = replace(
    smoke,
    data=replace(smoke.data, num_episodes=1),
    policy=replace(smoke.policy, train=TrainConfig(**{vars(SHORT)})),
    critic=replace(smoke.critic, train=TrainConfig(**{vars(LONG)})),
)
view = TrainingView("{TASK.name}", config=config)
view
"""


@pytest.fixture
def kernel(tmp_path):
    """A kernel of this interpreter in a home of its own."""
    manager = KernelManager(kernel_spec_manager=KernelSpecManager(kernel_dirs=[]))
    manager.start_kernel(env={**os.environ, "EVOR_HOME": str(tmp_path / "kernel")})
    client = manager.blocking_client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def run_cell(kernel, code, seconds=120):
    """What the cell printed, all messages to the page until its end (those of threads too), and the time it took."""
    start, messages = time.monotonic(), []
    asked = kernel.execute(code)
    while not messages or messages[-1]["content"].get("execution_state") != "idle":
        message = kernel.get_iopub_msg(timeout=seconds)
        if message["parent_header"].get("msg_id") == asked or message["msg_type"] == "comm_msg":
            messages.append(message)
    assert not [m["content"]["evalue"] for m in messages if m["msg_type"] == "error"]
    printed = "".join(m["content"]["text"] for m in messages if m["msg_type"] == "stream")
    return printed, messages, time.monotonic() - start


@pytest.mark.slow
def test_in_a_kernel_other_cells_answer_while_the_thread_trains_and_draws(kernel):
    _, shown, _ = run_cell(kernel, CELLS)
    assert any("application/vnd.jupyter.widget-view+json" in m["content"].get("data", {}) for m in shown)
    run_cell(kernel, "view.start()")
    wait_until(lambda: "Training: " in run_cell(kernel, "print(view.line.value)")[0])

    def pictures_come_while_a_cell_runs():
        _, messages, seconds = run_cell(kernel, "import time; time.sleep(3)")
        pictures = [m for m in messages if ["value"] in m["content"].get("data", {}).get("buffer_paths", [])]
        assert len(pictures) <= 3 * (seconds / DRAW_EVERY + 2)  # three canvases; one drawing may wait, one be under way
        return len(pictures) >= 3

    wait_until(pictures_come_while_a_cell_runs)
    seconds = [run_cell(kernel, "print(sum(range(1000)))")[2] for _ in range(9)]
    assert statistics.median(seconds) < 1.0 and max(seconds) < 5.0
    assert run_cell(kernel, "print(view.running)")[0] == "True\n"
    stopped, _, _ = run_cell(kernel, "view.stop(); view.wait(); print(view.line.value)")
    assert "Stopped, and saved: " in stopped and "30,000 of 30,000" not in stopped
