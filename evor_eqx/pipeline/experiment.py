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

    A finished run is read, and an interrupted one is resumed.

    **Arguments:**

    - `task`: only its dataset matters; all tasks of a dataset share the base policy.
    - `config`: the experiment; `config.data` and `config.policy` matter.
    - `watch`: called as watch(updates done, scalars, model) before the first block of updates and after each. It may
      raise `Stopped` of `evor_eqx.system.signals`: the state is saved. It is not called if the run is finished.

    **Returns:**

    The base policy: the moving average of the weights at the end of training.

    **Raises:**

    UserError for data that cannot be found or made, for episodes too short for the chunks, and if training diverges.
    """
    _prepare(task, config)
    return ensure_policy(task, config, watch=watch).model


def train_critic(task: Task, config: Config, *, watch: Watch = unwatched) -> AbstractCritic:
    """Phase 2: learn the return distribution of the base policy.

    The base policy is trained first if it is missing. A finished run is read, and an interrupted one is resumed.

    **Arguments:**

    - `task`: gives the data, with rewards, and the discount.
    - `config`: the experiment; `config.data`, `config.policy` and `config.critic` matter.
    - `watch`: as in `train_policy`, while the critic trains. It is not called while the base policy trains, nor if
      the critic's run is finished.

    **Returns:**

    The critic: the moving average of the weights at the end of training. An ensemble counts as one critic.

    **Raises:**

    UserError as `train_policy` does, for recorded returns that do not suit the critic, and for a critic or flow target
    of your own that does not run.
    """
    _prepare(task, config)
    return ensure_critic(task, config, watch=watch).model


def fit(task: Task, config: Config, *, watch: Watch = unwatched) -> Agent:
    """Make the agent of a task: find or generate its data, train the base policy, then the critic.

    Finished runs are read, and interrupted ones are resumed, so a second call only reads.

    **Arguments:**

    - `task`: what the agent is for.
    - `config`: the experiment. `config.data`, `config.policy` and `config.critic` say what is trained, and
      `config.inference` how the agent chooses. `config.evaluation` is not used.
    - `watch`: as in `train_policy`, while the critic trains. It is not called while the base policy trains, nor if
      the critic's run is finished.

    **Returns:**

    The agent, with base policy, critic, the inference settings of `config`, and EVOR's selection rule.

    **Raises:**

    UserError as `train_critic` does.
    """
    _prepare(task, config)
    return ensure_agent(task, config, watch=watch)


def _prepare(task: Task, config: Config) -> None:
    check_kinds(task=(task, Task), config=(config, Config))
    keep_compiled()
