"""`evor evaluate`: the grid of settings, and the table."""

import itertools

import pytest

from evor_eqx.cli.evaluate import table
from evor_eqx.cli.main import COMMANDS
from evor_eqx.cli.parsing import parse
from evor_eqx.config import InferenceConfig
from evor_eqx.evaluation.episodes import Episode
from evor_eqx.pipeline import evaluation, stages
from evor_eqx.pipeline.evaluation import Evaluation

TASK = "pointmaze-medium-navigate-task1"


def made_up(inference, outcomes, returns):
    rows = zip(itertools.count(10_000), outcomes, returns, strict=False)
    return Evaluation(inference, [Episode(inference, seed, ret, won, 100, "pre") for seed, won, ret in rows])


def test_the_grid_has_each_setting_once_and_starts_from_the_inference_settings():
    arguments = ["--num-candidates", "1", "4", "1", "--tau-q", "0", "1", "--inference.tau-r", "2"]
    command = parse(COMMANDS, ["evaluate", TASK, "--preset", "smoke", *arguments])
    grid = [(each.num_candidates, each.tau_r, each.tau_q) for each in command.settings()]
    assert grid == [(1, 2.0, 0.0), (1, 2.0, 1.0), (4, 2.0, 0.0), (4, 2.0, 1.0)]
    assert {each.num_returns for each in command.settings()} == {command.config.inference.num_returns}


def test_the_table_has_success_and_return_with_their_intervals_in_aligned_columns():
    won = made_up(InferenceConfig(num_candidates=4, tau_r=0.5, tau_q=0.0), [True, False], [-10.0, -20.0])
    lost = made_up(InferenceConfig(num_candidates=128, tau_r=float("inf")), [False] * 10, [-1000.0] * 10)
    header, *rows = table([won, lost]).splitlines()
    assert " ".join(header.split()) == "N_pi tau_R tau_Q success 95 % interval return 95 % interval episodes"
    # Wilson's interval of 1 in 2 is 9 to 91 %, of 0 in 10 it is 0 to 28 %; the bootstrap of two values spans them.
    assert " ".join(rows[0].split()) == "4 0.5 0 50% 9% to 91% -15.0 -20.0 to -10.0 2"
    assert " ".join(rows[1].split()) == "128 inf 0.3 0% 0% to 28% -1000.0 -1000.0 to -1000.0 10"
    assert len({len(row) for row in (header, *rows)}) == 1
    end = header.index("return") + len("return")
    assert rows[0][:end].endswith(" -15.0") and rows[1][:end].endswith(" -1000.0")


@pytest.mark.parametrize(("arguments", "stage"), [([], "ensure_agent"), (["--all-tasks"], "ensure_multitask_agent")])
def test_an_agent_is_made_once_and_evaluated_at_every_setting(evor, monkeypatch, arguments, stage):
    asked = []
    monkeypatch.setattr(stages, stage, lambda task, config: asked.append(task.short_name) or "agent")

    def evaluate_settings(agent, task, config, settings):
        assert agent == "agent" and config.num_episodes == 7
        return [made_up(setting, [True], [-5.0]) for setting in settings]

    monkeypatch.setattr(evaluation, "evaluate_settings", evaluate_settings)
    grid = ["--num-candidates", "1", "4", "--evaluation.num-episodes", "7"]
    code, out, _ = evor("evaluate", TASK, "--preset", "smoke", *grid, *arguments)
    assert code == 0 and asked == [TASK]
    header, *rows = out.splitlines()
    assert "return" in header and [row.split()[0] for row in rows] == ["1", "4"]
    assert all("-5.0 to -5.0" in row for row in rows)
