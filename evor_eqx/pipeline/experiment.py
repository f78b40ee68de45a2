"""From a task to an agent: the three phases as functions that return models.

What is trained lands in a run folder of the home folder. The same call finds it there, or resumes it where it stopped.
Programs that JAX compiles are kept in the home folder for the next process, unless your JAX keeps them elsewhere.
"""

from evor_eqx.agent.agent import Agent
from evor_eqx.config import Config
from evor_eqx.critics.base import AbstractCritic
from evor_eqx.envs.tasks import Task
from evor_eqx.errors import check_kinds
from evor_eqx.pipeline.stages import ensure_agent, ensure_critic, ensure_policy
from evor_eqx.policy import FlowPolicy
from evor_eqx.training.compilation import keep_compiled
from evor_eqx.training.loop import Watch, unwatched


def train_policy(task: Task, config: Config, *, watch: Watch = unwatched) -> FlowPolicy:
    """Phase 1: clone the behaviour of a task's dataset by flow matching.

    **Arguments:**

    - `task`: only its dataset matters; all tasks of a dataset share the base policy.
    - `config`: the experiment; its data and its base policy matter.
    - `watch`: called as watch(updates done, scalars, model) before the first block of updates and after each.

    **Returns:**

    The base policy: the moving average of the weights at the end of training.

    **Raises:**

    UserError for data that cannot be found or made, and if training diverges.
    """
    _prepare(task, config)
    return ensure_policy(task, config, watch=watch).model


def train_critic(task: Task, config: Config, *, watch: Watch = unwatched) -> AbstractCritic:
    """Phase 2: learn the return distribution of the base policy; the base policy is trained if it is missing.

    Arguments and errors are those of `train_policy`; `watch` sees the critic train. Returns the critic.
    """
    _prepare(task, config)
    return ensure_critic(task, config, watch=watch).model


def fit(task: Task, config: Config, *, watch: Watch = unwatched) -> Agent:
    """Data, base policy and critic of a task, as an agent with the configuration's inference settings.

    Arguments and errors are those of `train_policy`; `watch` sees the critic train.
    """
    _prepare(task, config)
    return ensure_agent(task, config, watch=watch)


def _prepare(task: Task, config: Config) -> None:
    check_kinds(task=(task, Task), config=(config, Config))
    keep_compiled()
