"""Training to watch: a thread of the kernel trains in a run folder, and a button stops and resumes it.

The folder is the one that `evor train` uses. A training that was stopped here resumes there, or in another notebook,
with the same numbers. While the thread trains, the other cells of the notebook run.
"""

import atexit
import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import ipywidgets
from IPython.display import display

from evor_eqx.config import Config
from evor_eqx.data import loading
from evor_eqx.envs.tasks import Task, parse_task
from evor_eqx.errors import UserError
from evor_eqx.evaluation.held_out import Probes
from evor_eqx.pipeline import identity, stages
from evor_eqx.presets import preset as named_preset
from evor_eqx.runs.run import Run
from evor_eqx.system import progress
from evor_eqx.system.signals import Stopped
from evor_eqx.training.fit import Trained
from evor_eqx.widgets.canvas import Canvas
from evor_eqx.widgets.controls import control, for_the_page, say, spoken
from evor_eqx.widgets.drawing import house_style
from evor_eqx.widgets.training.panels import DistributionPanel, held_out_curves, loss_curves
from evor_eqx.widgets.training.words import describe

DRAW_EVERY = 0.5  # seconds
SAY_EVERY = 3.0  # seconds: a screen reader has to finish a sentence before the next
PHASES = ("critic", "policy")
_TOOLTIPS = {
    "Start": "Train what is missing, or go on where an earlier training of the same settings stopped",
    "Stop": "Stop at the end of this block of updates; nothing is lost",
    "Resume": "Go on from the last checkpoint; the numbers are those of a training that never stopped",
    "Done": "All updates are done",
}


@dataclass(frozen=True)
class _Job:
    """A training: where it is recorded, how long it is, what to look at, and what makes it."""

    run: Run
    num_updates: int
    probes: Probes | None
    ensure: Callable[..., Trained]


class TrainingView:
    """A training with its loss, its distance to held-out returns and its return distributions at three states.

    What goes wrong is said in the line below the button, never raised.

    **Arguments:**

    - `task_name`: as for `evor train`.
    - `preset`: smoke, laptop or paper.
    - `phase`: policy trains the base policy of the task's dataset. critic trains it too if it is missing, and shows the
      critic.
    - `config`: the experiment, in place of the preset's.
    """

    def __init__(self, task_name: str, preset: str = "smoke", phase: str = "critic", config: Config | None = None):
        self._find = partial(_find, task_name, preset, phase, config)
        self._job: _Job | None = None
        self._thread, self._stop, self.running = threading.Thread(), threading.Event(), False
        self._drawn = self._said = 0.0
        self._since: int | None = None  # the first step of this sitting: its rate does not count earlier ones
        self.button = control(ipywidgets.Button(), "training", "Start", _TOOLTIPS["Start"])
        self.button.on_click(lambda _: self.stop() if self.running else self.start())
        self.line = spoken("Nothing trains yet.")
        with house_style():
            self._curves = [_shown(Canvas(440, 320, "loss"), loss_curves)]
            self._distributions = None
            if phase != "policy":
                self._curves.append(_shown(Canvas(440, 320, "distance"), held_out_curves))
                self._distributions = _shown(Canvas(890, 300, "distributions"), DistributionPanel, 3)
        panels = [*self._curves, self._distributions] if self._distributions else self._curves
        pictures = ipywidgets.HBox([canvas.image for canvas, _ in panels], layout={"flex_flow": "row wrap"})
        self.box = ipywidgets.VBox([self.button, self.line, pictures])

    def _ipython_display_(self) -> None:
        display(self.box, for_the_page())

    def start(self) -> None:
        """Train in a thread, from the last checkpoint of the run folder if it has one."""
        if self.running:
            return
        self.running = True
        self._stop.clear()
        self._since = None
        self._label("Stop")
        self._say("Looking for the data.")
        self._thread = threading.Thread(target=self._work, daemon=True)
        atexit.register(self._finish)
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to stop at the end of its block; it saves the state first."""
        if self.running:
            self._stop.set()
            self._label("Stop", disabled=True)
            self._say("Stopping at the end of this block of updates.")

    def wait(self, seconds: int | float | None = None) -> None:
        """Wait until the thread has ended, at most this long."""
        if self._thread.ident is not None:
            self._thread.join(seconds)

    def _finish(self) -> None:
        """Stop and save when the kernel ends."""
        self._stop.set()
        self.wait()

    def _work(self) -> None:
        """Train in the thread, and end with a sentence and a label for the button, whatever happens."""
        label = "Resume"
        try:
            with progress.listening(self._hear):
                self._train()
            label, sentence = "Done", f"Done: {self._state()}"
        except Stopped:
            sentence = f"Stopped, and saved: {self._state()}" if self._job else "Stopped; what was made is kept."
        except UserError as error:
            sentence = f"Stopped: {error}"
        except Exception as error:  # a full disk, or a bug: a traceback from a thread would reach nobody
            sentence = f"Stopped by an error, {type(error).__name__}: {error}"
        with contextlib.suppress(UserError, OSError):  # of metrics, which the sentence may tell of already
            self._draw_curves()
        atexit.unregister(self._finish)
        self.running = False
        self._label(label, disabled=label == "Done")
        self._say(sentence)

    def _train(self) -> None:
        self._job = job = self._find()
        for canvas, curves in self._curves:
            curves.expect(job.num_updates)
            curves.show(job.run.metrics())  # of earlier sittings
            _redraw(canvas, curves)
        if self._distributions and job.probes:
            canvas, distributions = self._distributions
            distributions.expect(job.probes)
            _redraw(canvas, distributions)
        self._draw_distributions(job.ensure(watch=self._watch).model)

    def _hear(self, bar: progress.Told) -> None:
        """Stop if that was asked for; else say how far the work before the training is."""
        if self._stop.is_set():
            raise Stopped
        if self._job is None or bar.description != self._job.run.name:
            share = f": {bar.n:,.0f} of {bar.total:,.0f} {bar.unit}s" if bar.total else ""
            self._say(f"First {bar.description}{share}.", every=SAY_EVERY)

    def _watch(self, step: int, scalars: dict[str, Any], model: Any) -> None:
        """Draw and say how far the training is; it is called between two blocks of updates."""
        self._since = step if self._since is None else self._since
        if time.monotonic() - self._drawn >= DRAW_EVERY:
            self._draw_curves()
            self._draw_distributions(model)
            self._drawn = time.monotonic()
        self._say(f"Training: {self._state()}", every=SAY_EVERY)

    def _draw_curves(self) -> None:
        metrics = self._job.run.metrics() if self._job else {}
        for canvas, curves in self._curves:
            if curves.show(metrics):
                _redraw(canvas, curves)
            else:
                canvas.refresh()

    def _draw_distributions(self, model: Any) -> None:
        if self._distributions and self._job and self._job.probes:
            canvas, distributions = self._distributions
            distributions.show(self._job.probes.distributions(model))
            canvas.refresh()

    def _state(self) -> str:
        """The training in words; nothing before it has been found."""
        if self._job is None:
            return ""
        run = self._job.run
        rate = None if self._since is None else run.updates_per_second(num_blocks=20, since=self._since)
        return describe(run.metrics(), self._job.num_updates, rate)

    def _label(self, label: str, disabled: bool = False) -> None:
        control(self.button, "training", label, _TOOLTIPS[label])
        self.button.disabled = disabled

    def _say(self, sentence: str, every: float = 0.0) -> None:
        """Change the line, unless it was changed less than `every` seconds ago."""
        if time.monotonic() - self._said >= every:
            say(self.line, sentence)
            self._said = time.monotonic()


def _shown(canvas: Canvas, panel: Callable[..., Any], num_axes: int = 1) -> tuple[Canvas, Any]:
    """A canvas with a panel on its axes, still empty."""
    made = panel(canvas.figure.subplots(1, num_axes, sharey=True))
    _redraw(canvas, made)
    return canvas, made


def _redraw(canvas: Canvas, panel: Any) -> None:
    """Draw all of a panel anew, with room for its ticks as they are now."""
    canvas.figure.set_layout_engine("constrained")
    canvas.redraw(panel.moving)


def _find(task: str | Task, preset: str, phase: str, config: Config | None) -> _Job:
    """The training that is asked for; makes its data if they are missing. Raises UserError if it does not exist."""
    if phase not in PHASES:
        raise UserError(f"phase is {phase!r}: expected one of {', '.join(PHASES)}")
    task = parse_task(task) if isinstance(task, str) else task
    config = config or named_preset(preset)
    task = task.with_discount(config.gamma)
    source = identity.ensure_source(task, config)
    if phase == "policy":
        ensure = partial(stages.ensure_policy, task, config)
        return _Job(identity.policy_run(source, config), config.policy.train.num_updates, None, ensure)
    validation = loading.load_dataset(source, task, "val")
    probes = Probes.of(validation, task.gamma, config.policy.chunk_length, bounds=task.return_bounds)
    ensure = partial(stages.ensure_critic, task, config)
    return _Job(identity.critic_run(task, source, config), config.critic.train.num_updates, probes, ensure)
