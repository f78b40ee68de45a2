"""Run by test_sharding.py in a process with eight CPU devices: the same trainings over 1, 2 and 8 of them, as JSON."""

import json
import re
import sys
from pathlib import Path

import equinox as eqx
import jax
import numpy as np

from evor_eqx.config import FieldConfig, TrainConfig
from evor_eqx.critics.factory import make_critic
from evor_eqx.critics.flow import FlowConfig
from evor_eqx.data.dataset import OfflineDataset
from evor_eqx.data.windows import HostWindows
from evor_eqx.runs.run import Run
from evor_eqx.system.signals import Stopped
from evor_eqx.training import loop
from evor_eqx.training.sharding import over_devices
from evor_eqx.training.update import init_state, init_states

CONFIG = TrainConfig(num_updates=40, batch_size=16, learning_rate=1e-3, log_every=10, checkpoint_every=20)
CRITIC = FlowConfig(target="velocity", network=FieldConfig(width=16, depth=1))
KEY, NUM_SEEDS = jax.random.key(0), 8


def make_windows():
    """Two random episodes."""
    rng, valids = np.random.default_rng(0), np.ones(200)
    valids[[99, 199]] = 0
    arrays = {"observations": rng.normal(size=(200, 3)), "actions": rng.uniform(-1, 1, (200, 2)), "valids": valids}
    arrays |= {"rewards": -rng.uniform(size=200), "masks": np.ones(200)}
    return OfflineDataset.from_compact({k: np.float32(v) for k, v in arrays.items()}).windows(gamma=0.9)


def make(key):
    """A small flow critic."""
    return make_critic(CRITIC, 3, 2, key=key)


def train_over(num_devices, model, sampler, key, run, **options):
    """Losses and last weights of a training over so many devices."""
    sizes = {"num_seeds": len(key)} if key.ndim else {"batch_size": CONFIG.batch_size}
    with over_devices(num_devices, **sizes):
        trained = loop.fit(model, sampler, sampler, CONFIG, run, key=key, **options)
    return {
        "losses": run.metrics()["loss"].tolist(),
        "weights": [float(np.linalg.norm(leaf)) for leaf in jax.tree.leaves(eqx.filter(trained.field, eqx.is_array))],
        "devices": len({shard.device for shard in jax.tree.leaves(trained)[0].addressable_shards}),
    }


def collectives(num_devices, model, sampler, keys):
    """What the compiled block sends between devices."""
    with over_devices(num_devices):
        states = (init_states if keys.ndim else init_state)(model, CONFIG)
        batch = sampler.sample(CONFIG.batch_size, key=KEY)
        lowered = loop.run_block.lower((sampler, batch, keys, KEY), states, CONFIG, 10)
        text = lowered.compile().compiled.as_text()
    return sorted(set(re.findall(r"all-gather|all-reduce|all-to-all|collective-permute", text)))


def main(path):
    windows = make_windows()
    host = HostWindows(jax.tree.map(np.asarray, windows))
    keys = jax.random.split(KEY, NUM_SEEDS)
    models = eqx.filter_vmap(make)(keys)
    cases = {"batch": (make(KEY), windows, KEY), "host": (make(KEY), host, KEY), "seeds": (models, windows, keys)}
    numbers = {"batch": (1, 2, 8), "host": (1, 8), "seeds": (1, 8)}
    found = {
        case: {n: train_over(n, *inputs, Run.of("toy", case, {"n": n}).open()) for n in numbers[case]}
        for case, inputs in cases.items()
    }
    found["collectives"] = {case: collectives(8, *cases[case]) for case in ("batch", "seeds")}

    def stop(step, scalars, model):
        if step == 20:
            raise Stopped

    run = Run.of("toy", "stopped", {}).open()
    try:
        train_over(8, *cases["batch"], run, watch=stop)
    except Stopped:
        found["resumed"] = train_over(8, *cases["batch"], run)
    Path(path).write_text(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
