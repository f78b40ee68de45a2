"""Training in a run folder: the snapshots that it keeps, against what a watcher saw."""

import jax
import numpy as np
import pytest
from training.examples import CONFIG, KEY, make_model

from evor_eqx.errors import UserError
from evor_eqx.runs.run import Run
from evor_eqx.system.signals import Stopped
from evor_eqx.training import loop
from evor_eqx.training.fit import fit_in_run, moving_average
from evor_eqx.training.update import init_state


def fit(windows, run, watch=loop.unwatched):
    fit_in_run(run, make_model(), (windows, windows), CONFIG, {}, key=KEY, watch=watch)


def like():
    return init_state(make_model(), CONFIG)


def test_snapshots_are_the_moving_average_at_their_step_also_of_a_run_that_was_stopped(windows, home):
    seen = {}
    run, stopped = Run.of("toy", "slope", {"n": 1}).open(), Run.of("toy", "slope", {"n": 2}).open()
    fit(windows, run, lambda step, scalars, model: seen.update({step: np.asarray(model.slope)}))

    def stop(step, scalars, model):
        if step == 50:
            raise Stopped

    with pytest.raises(Stopped):
        fit(windows, stopped, stop)
    fit(windows, stopped)
    assert CONFIG.snapshot_steps == (10, 20, 30, 40, 50) and CONFIG.late_steps == (40, 50)
    for step in (40, 50, None):
        for kept in (moving_average(run, like, step), moving_average(stopped, like, step)):
            np.testing.assert_array_equal(kept.slope, seen[60 if step is None else step])
            assert jax.tree.structure(kept) == jax.tree.structure(make_model())


def test_a_run_from_before_there_were_snapshots_is_named(windows, home):
    run = Run.of("toy", "slope", {}).open()
    fit(windows, run)
    (run.path / "snapshot-40.eqx").unlink()
    with pytest.raises(UserError, match=f"no snapshot after 40 updates in .*{run.path.name}.*delete the folder"):
        moving_average(run, like, 40)
    assert float(moving_average(run, like).slope) != 0
