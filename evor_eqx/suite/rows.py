"""A row of the suite's results: what was evaluated, and what came of it."""

from dataclasses import dataclass
from functools import cached_property

from evor_eqx.config import EvaluationConfig
from evor_eqx.envs.tasks import OgbenchTask, is_task, ogbench_task

REPORTED_SEED = EvaluationConfig().seed
TUNING_SEED = 20_000
SETTINGS = ("num_candidates", "tau_r", "tau_q", "num_returns")  # the inference settings in which cases may differ


@dataclass(frozen=True)
class Case:
    """What was evaluated: all columns of a row except its outcome."""

    task: str
    method: str
    seed: int  # of the base policy's and the critic's training
    num_candidates: int
    tau_r: float
    tau_q: float
    num_returns: int
    step: int  # updates of the critic or, without one, of the base policy
    reported: int  # 1: a method's value is the mean over these rows, one for each checkpoint; 0: a point of a curve
    episodes: int
    evaluation_seed: int  # of the first episode
    dataset_fingerprint: str
    dataset_origin: str
    reward_timing: str
    ogbench: str
    run: str
    own_task: str = ""  # a digest of a task of your own: discount, environment, reference returns; empty for OGBench's

    @property
    def environment(self) -> str:
        """The environment of its task, such as cube-single or scene-sparse; the name of a task of your own."""
        return self._ogbench.environment if self._ogbench else self.task

    @property
    def dataset(self) -> str:
        """The name of its task's data."""
        return self._ogbench.dataset if self._ogbench else self.task

    @cached_property
    def _ogbench(self) -> OgbenchTask | None:
        return ogbench_task(self.task) if not self.own_task and is_task(self.task) else None

    @property
    def job(self) -> tuple[str, str, int]:
        """(task, method, seed), which names a job of the suite."""
        return self.task, self.method, self.seed

    @property
    def key(self) -> tuple[str | int | float, ...]:
        """The sort key, which is unique in a file of results."""
        return (*self.job, self.num_candidates, self.tau_r, self.tau_q, self.step)


@dataclass(frozen=True)
class Row:
    """One evaluation and its outcome."""

    case: Case
    success: float | None  # share of the episodes, 0 to 1; None if the environment does not say
    low: float | None  # Wilson's 95 % interval
    high: float | None
    # Seconds of training up to the step, at the run's median speed, without evaluation, bank and pauses. If several
    # seeds were trained side by side, one seed's share.
    wall_s: float
    command: str
    ret: float | None = None  # mean undiscounted return of an episode; None in rows from before it was noted
    ret_low: float | None = None  # 95 % bootstrap interval
    ret_high: float | None = None
    score: float | None = None  # the return, normalised to 0 to 100 by the task's reference returns, if it has any
