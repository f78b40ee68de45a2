"""Environments in parallel processes, stepped together, each through whole chunks of actions.

There is one process per core with a few environments each, because waking a process costs more than a step of a maze.
CPU time per environment step, everything included (8 environments, 2 cores, random actions, medians of 5):

    pointmaze-medium, bare 66 us:    h = 1: 158 us, h = 5: 87 us    (a process per environment: 302 and 124 us)
    cube-single,      bare 0.99 ms:  h = 1: 1.19 ms, h = 5: 1.06 ms (a process per environment: 1.57 and 1.15 ms)
"""

import contextlib
import functools
import multiprocessing
import multiprocessing.connection
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.process import BaseProcess

import gymnasium
import numpy as np
from gymnasium.spaces import flatdim
from gymnasium.vector import AsyncVectorEnv, AutoresetMode
from jaxtyping import Float, Int

from evor_eqx.envs.chunks import EnvPack
from evor_eqx.envs.generator import global_generator_kept
from evor_eqx.errors import UserError
from evor_eqx.system.processes import (
    blank_main,
    claim_temporary_folder,
    how_it_ended,
    num_cores,
    use_claimed_folder,
)
from evor_eqx.system.progress import note

_PATIENCE = 60.0  # seconds that a step may take before a line says so


class ProcessEnded(UserError):
    """A process that simulates has ended, although it was needed."""


class EnvProcess:
    """A few environments in another process. It steps them while this process does something else."""

    def __init__(self, make_pack: Callable[[], EnvPack], num_envs: int):
        # No plain fork, because JAX is multi-threaded. The fork server imports once what every process needs.
        multiprocessing.get_context("forkserver").set_forkserver_preload(["ogbench", __name__])
        with blank_main(), _end_told([]):
            self._env = _started(make_pack)
        self.num_envs = num_envs
        self.obs_size = flatdim(self._env.observation_space) // num_envs
        self.chunk_size = flatdim(self._env.action_space) // num_envs - 1  # beside each chunk, one seed

    def start(self, seeds: Int[np.ndarray, " envs"], chunks: Float[np.ndarray, "envs chunk"]) -> None:
        """Begin a step; `result` returns its outcome.

        **Arguments:**

        - `seeds`: where the seed is not -1, an episode begins with it.
        - `chunks`: executed by the other environments; those without a running episode do nothing.
        """
        with _end_told(self._env.processes):
            self._env.step_async({"seeds": seeds[None], "chunks": chunks[None].astype(np.float32)})

    def result(self) -> dict[str, np.ndarray]:
        """Wait for the step: arrays over environments, `obs`, `ret`, `success`, `num_steps` and `ended`."""
        while not multiprocessing.connection.wait(self._env.parent_pipes, _PATIENCE):
            note(
                f"process {self._env.processes[0].pid}, which simulates, is silent: it is slow, or somebody stopped it"
            )
        with _end_told(self._env.processes):
            obs, _, _, _, info = self._env.step_wait()
        return {name: value[0] for name, value in {"obs": obs, **info}.items() if name[0] != "_"}

    def close(self, terminate: bool) -> None:
        """End the process; with `terminate`, at once, even in the middle of a step."""
        try:
            with contextlib.suppress(EOFError, ConnectionError):  # it is dead already
                self._env.close(terminate=terminate)
        finally:
            self._env.closed = True  # it is not tried again


class ParallelEnvs:
    """Environments in several processes, the `groups`, which take turns; made by `open_envs`."""

    def __init__(self, make_env: Callable[[], gymnasium.Env], horizon: int, num_envs: int, num_processes: int):
        self._each, self._horizon, self._num_processes = num_envs // num_processes, horizon, num_processes
        self._make_pack = functools.partial(_pack, make_env, horizon, self._each)
        self.groups: list[EnvProcess] = []
        self._restarted = False
        try:
            self._open()
        except ProcessEnded as error:
            self.restart(error)

    def _open(self) -> None:
        try:
            self.groups += (EnvProcess(self._make_pack, self._each) for _ in range(self._num_processes))
            for group in self.groups:  # the processes make their environments side by side
                group.start(np.full(self._each, -1), np.zeros((self._each, group.chunk_size)))
            for group in self.groups:
                group.result()
        except BaseException:
            self.close(terminate=True)
            raise

    def restart(self, error: ProcessEnded) -> None:
        """Start all processes anew after one of them ended, and say so. The second time, raise `error`."""
        if self._restarted:
            raise error
        self._restarted = True
        note(f"{error}; starting it again, once")
        self.close(terminate=True)
        self.groups = []
        self._open()

    @property
    def sizes(self) -> tuple[int, int]:
        """The sizes of an observation and of an action."""
        return self.groups[0].obs_size, self.groups[0].chunk_size // self._horizon

    def close(self, terminate: bool = False) -> None:
        """End the processes; with `terminate`, at once, even in the middle of a step or if some are dead already."""
        for group in self.groups:
            with contextlib.suppress(*([Exception] if terminate else [])):
                group.close(terminate)


class LocalEnvs:
    """Environments in this process, as one group: no process has to be started, and the caller can look inside them.

    NumPy's global generator, which OGBench draws from, is restored after each step.
    """

    def __init__(self, make_env: Callable[[], gymnasium.Env], horizon: int, num_envs: int):
        with global_generator_kept():
            self._pack = EnvPack(make_env, horizon, num_envs)
        self.groups, self.num_envs = [self], num_envs
        self.chunk_size = flatdim(self._pack.action_space) // num_envs - 1
        self._outcome: dict[str, np.ndarray] = {}
        self.start(np.full(num_envs, -1), np.zeros((num_envs, self.chunk_size)))

    def start(self, seeds: Int[np.ndarray, " envs"], chunks: Float[np.ndarray, "envs chunk"]) -> None:
        """Do a whole step. The arguments are those of `EnvProcess.start`."""
        with global_generator_kept():
            obs, _, _, _, info = self._pack.step({"seeds": seeds, "chunks": chunks.astype(np.float32)})
        self._outcome = {"obs": obs, **info}

    def result(self) -> dict[str, np.ndarray]:
        """The outcome of the step, as in `EnvProcess.result`."""
        return self._outcome

    def close(self) -> None:
        """Close the environments."""
        self._pack.close()


@contextlib.contextmanager
def open_envs(
    make_env: Callable[[], gymnasium.Env],
    *,
    horizon: int,
    num_envs: int | None = None,
    num_processes: int | None = None,
) -> Iterator[ParallelEnvs]:
    """Environments in parallel processes, closed on leaving. Open them once and use them for many rollouts.

    **Arguments:**

    - `make_env`: makes an environment; it travels to the processes, e.g. `Task.make_env`.
    - `horizon`: h, the actions in a chunk.
    - `num_envs`: default: four per process. It is rounded up to a multiple of the number of processes.
    - `num_processes`: default: one per core.

    **Raises:** UserError for counts below one.
    """
    num_processes = num_cores() if num_processes is None else num_processes
    num_envs = 4 * num_processes if num_envs is None else num_envs
    for name, count in (("horizon", horizon), ("num_envs", num_envs), ("num_processes", num_processes)):
        _check_count(name, count)
    num_processes = min(num_processes, num_envs)
    envs = ParallelEnvs(make_env, horizon, -(-num_envs // num_processes) * num_processes, num_processes)
    try:
        yield envs
    except BaseException:
        envs.close(terminate=True)
        raise
    envs.close()


def _pack(make_env: Callable[[], gymnasium.Env], horizon: int, num_envs: int) -> EnvPack:
    use_claimed_folder()
    return EnvPack(make_env, horizon, num_envs)


def _started(make_pack: Callable[[], EnvPack]) -> AsyncVectorEnv:
    """A new process, by the fork server or, if there can be no socket for it or somebody removed it, without."""
    start = functools.partial(AsyncVectorEnv, [make_pack], autoreset_mode=AutoresetMode.DISABLED)
    claim_temporary_folder()
    try:
        env = start(context="forkserver")
    except OSError as error:
        if not isinstance(error, FileNotFoundError) and "AF_UNIX" not in str(error):  # a folder of too long a path
            raise
        env = start(context="spawn")
    claim_temporary_folder()  # again: now there are semaphores
    return env


@contextlib.contextmanager
def _end_told(processes: Sequence[BaseProcess]) -> Iterator[None]:
    """Say how a process ended, and what that may mean."""
    try:
        yield
    except (EOFError, ConnectionError) as error:
        raise ProcessEnded(
            f"a process that simulates ended ({how_it_ended(processes)}), expected it to go on; close other programs "
            "if memory is short, look at what the process printed, and see that make_env makes all that it needs in a "
            "new process, such as what it registers with gymnasium"
        ) from error


def _check_count(name: str, count: int) -> None:
    if count < 1:
        raise UserError(f"{name}: got {count}, expected at least 1; give a positive count")
