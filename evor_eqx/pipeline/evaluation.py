"""Phase 3: rollouts of an agent. Episodes that a run folder holds are not run again."""

import contextlib
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from evor_eqx.agent.agent import Agent, models_digest
from evor_eqx.agent.saving import check_made_by
from evor_eqx.agent.selection import SelectionRule, candidate_weights
from evor_eqx.config import EvaluationConfig, InferenceConfig
from evor_eqx.data.custom import CustomTask
from evor_eqx.envs.tasks import OgbenchTask, Task
from evor_eqx.envs.vector import ParallelEnvs, open_envs
from evor_eqx.errors import check_kinds
from evor_eqx.evaluation.episodes import Episode
from evor_eqx.evaluation.fitting import check_fits
from evor_eqx.evaluation.rollout import run_episodes
from evor_eqx.evaluation.statistics import Interval, bootstrap_interval, wilson_interval
from evor_eqx.runs.run import Run
from evor_eqx.system.code_identity import code_digest
from evor_eqx.system.files import check_writable, short_hash
from evor_eqx.system.json_records import read_lines, write_lines
from evor_eqx.system.locks import lock


@dataclass(frozen=True)
class Evaluation:
    """The episodes of one setting: success and return with 95 % intervals over episodes.

    With fewer than about ten episodes, the interval of the return says little: it re-draws the returns that were seen.

    - `inference`: the inference settings.
    - `episodes`: a record for each episode, in the order of their seeds. It has `seed`, `ret` (the undiscounted
      return), `success` (True, False or None if the environment did not say) and `length` in steps.
    - `reference_returns`: returns of an episode with the scores 0 and 100; None if the task has none.
    """

    inference: InferenceConfig
    episodes: list[Episode]
    reference_returns: tuple[float, float] | None = None

    @property
    def outcomes(self) -> Float[np.ndarray, " episodes"]:
        """1 where an episode succeeded, else 0, an array [episodes] in their order. All are nan if none said.

        Two evaluations on the same seeds can be compared in pairs.
        """
        unsaid = np.nan if all(episode.success is None for episode in self.episodes) else 0.0
        return np.array([unsaid if each.success is None else each.success for each in self.episodes], float)

    @cached_property
    def success(self) -> Interval | None:
        """Success rate, 0 to 1, with Wilson's interval; None if no step's info had `success` or `is_success`.

        It has the fields `estimate`, `low` and `high`, as `returns` does.
        """
        said = self.outcomes[np.isfinite(self.outcomes)]
        return wilson_interval(int(said.sum()), len(said)) if len(said) else None

    @cached_property
    def returns(self) -> Interval:
        """Mean undiscounted return of an episode, with a percentile bootstrap."""
        return bootstrap_interval(np.array([episode.ret for episode in self.episodes]), seed=0)

    @property
    def score(self) -> float | None:
        """The mean return, normalised to 0 to 100 by the task's reference returns; None if it has none."""
        if self.reference_returns is None:
            return None
        low, high = self.reference_returns
        return 100 * (self.returns.estimate - low) / (high - low)

    def __str__(self) -> str:
        """One line: success if it is known, return and the setting."""
        success, returns, setting = self.success, self.returns, self.inference
        known = f"success {success.estimate:.0%} ({success.low:.0%} to {success.high:.0%}), " if success else ""
        return (
            f"{known}return {returns.estimate:.1f} ({returns.low:.1f} to {returns.high:.1f}) in "
            f"{len(self.episodes)} episodes with N_pi {setting.num_candidates}, N {setting.num_returns}, tau_R "
            f"{setting.tau_r:g}, tau_Q {setting.tau_q:g}"
        )


def evaluate(agent: Agent, task: Task, *, num_episodes: int = 50, seed: int = 10_000, num_envs: int = 8) -> Evaluation:
    """Run episodes of an agent on a task, in parallel processes.

    **Arguments:**

    - `agent`, `task`: who acts, and on what.
    - `num_episodes`: the number of episodes; 50 for a reported number. (The command `evor evaluate` takes the preset's
      number, which is 2 at `smoke`.)
    - `seed`: seed of the first episode; the others follow. The same seed gives the same starts.
    - `num_envs`: environments that run at the same time.

    **Returns:**

    An `Evaluation`. Episodes of an agent that comes from a run folder are kept there, and not run again.

    **Raises:**

    UserError if the agent's observations or actions are not those of the task, for a task without an environment, for
    an environment that fails, and if `num_episodes` or `num_envs` is below 1.
    """
    check_kinds(agent=(agent, Agent), task=(task, Task))
    check_fits(agent, task, agent.obs_size, agent.act_size)  # the bounds; the sizes once there is an environment
    return evaluate_settings(agent, task, EvaluationConfig(num_episodes, seed, num_envs), [agent.inference])[0]


def evaluate_settings(
    agent: Agent, task: Task, config: EvaluationConfig, settings: Sequence[InferenceConfig]
) -> list[Evaluation]:
    """`evaluate` at several inference settings, on the same episodes: one `Evaluation` per setting, in their order."""
    run = _run_of(agent)
    path = None if run is None else results_path(run, task, agent.facts.get("step"), agent.selection)
    with Evaluator(task, config, agent.chunk_length) as evaluator:
        return evaluator.evaluate(agent, settings, path)


def _run_of(agent: Agent) -> Run | None:
    """The run of this home that an agent comes from; None if there is none, or if its models are not those of the run.

    Raises UserError if the critic's code is not what the run was made by.
    """
    if agent.facts.get("models") != models_digest(agent.policy, agent.critic):
        return None
    run = Run.named(agent.facts["run"])
    if not run.complete or agent.facts.get("checkpoints", {}).get(run.name) != run.digest():
        return None  # of another home
    if agent.critic_config is not None:
        check_made_by(agent.critic_config, run.config["critic"])
    return run


def results_path(run: Run, task: Task, step: int | None = None, selection: SelectionRule = candidate_weights) -> Path:
    """The file of a run folder that keeps the episodes of its agent.

    **Arguments:**

    - `run`: the agent's run.
    - `task`: the task. The name, the discount and the environment of an own task count.
    - `step`: updates of the agent, if it is a snapshot.
    - `selection`: its selection rule. The code of a rule of your own counts.
    """
    model = "" if step is None else f"-after{step}"
    own: dict[str, Any] = {}
    if isinstance(task, CustomTask):
        own |= {"environment": task.env_identity, "gamma": task.gamma}
    if selection is not candidate_weights:
        own |= {"selection": code_digest(selection, f"selection rule {getattr(selection, '__name__', selection)}")}
    makers = f"{task.reward_timing}-ogbench{version('ogbench')}" if isinstance(task, OgbenchTask) else "own"
    mine = f"-{short_hash(own)}" if own else ""
    return run.path / "results" / f"{task.name}-{makers}{mine}{model}.jsonl"


class Evaluator(contextlib.ExitStack):
    """Runs the episodes of one task. A context manager: its environments open when an episode is missing."""

    def __init__(self, task: Task, config: EvaluationConfig, chunk_length: int):
        """Episodes of `task` with chunks of `chunk_length` actions; seeds and environments as `config` says."""
        super().__init__()
        self.task, self.config, self.chunk_length = task, config, chunk_length

    def evaluate(self, agent: Agent, settings: Sequence[InferenceConfig], path: Path | None = None) -> list[Evaluation]:
        """Run the episodes of an agent at several settings, on the same seeds.

        **Arguments:**

        - `agent`: who acts; its own inference settings do not matter.
        - `settings`: the inference settings to evaluate.
        - `path`: a file that keeps episodes. Those in it are not run again; new ones join it after every N_pi.

        **Returns:**

        One `Evaluation` per setting, in their order.
        """
        seeds = range(self.config.seed, self.config.seed + self.config.num_episodes)
        models = agent.facts.get("models", "")
        episodes = _read(path, models)
        if _missing(settings, seeds, episodes):
            if path is not None:
                check_writable(path, "episodes")
            with contextlib.nullcontext() if path is None else lock(path):
                episodes = _read(path, models)
                check_fits(agent, self.task, *self._envs.sizes)
                missing = sorted(_missing(settings, seeds, episodes), key=lambda each: each.counts)
                for _, group in itertools.groupby(missing, key=lambda each: each.counts):
                    alike = list(group)
                    left = [seed for seed in seeds if any((each, seed) not in episodes for each in alike)]
                    rollout = run_episodes(self._envs, agent, alike, left, reward_timing=self.task.reward_timing)
                    episodes |= {(episode.inference, episode.seed): episode for episode in rollout.episodes}
                    if path is not None:
                        rows = [{**episode.to_row(), "models": models} for episode in episodes.values()]
                        write_lines(path, rows, _of(path))
        reference = self.task.reference_returns
        return [Evaluation(each, [episodes[each, seed] for seed in seeds], reference) for each in settings]

    @cached_property
    def _envs(self) -> ParallelEnvs:
        envs = open_envs(self.task.make_env, horizon=self.chunk_length, num_envs=self.config.num_envs)
        return self.enter_context(envs)


def _read(path: Path | None, models: str) -> dict[tuple[InferenceConfig, int], Episode]:
    """The episodes of an agent in a file. Those of other weights do not count; older files do not note them."""
    rows = [] if path is None else list(read_lines(path, _of(path)))
    episodes = [Episode.from_row(row) for row in rows if row.pop("models", models) == models]
    return {(episode.inference, episode.seed): episode for episode in episodes}


def _of(path: Path) -> str:
    """What the episodes in a file are of: a run, and a task and so on by the file's name."""
    return f"{path.stem} of {'/'.join(path.parent.parent.parts[-2:])}"


def _missing(settings: Sequence[InferenceConfig], seeds: Iterable[int], episodes: Any) -> list[InferenceConfig]:
    return [setting for setting in settings if any((setting, seed) not in episodes for seed in seeds)]
