"""The learning curve of the ant that comes with the package, from the record beside its actor: `figures/ant-curve`.

Run `python docs/ant_curve.py`. It trains nothing; `evor expert ant` does.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from evor_eqx.data.generation.ant_actor import ACTOR_FILE
from evor_eqx.reports.figures import save_figure
from evor_eqx.system.json_records import read_json


def draw() -> Path:
    """Draw speed against steps. Returns the picture's path."""
    record = read_json(ACTOR_FILE.with_suffix(".json"))
    drawn = {name: record["curve"][name] for name in ("step", "speed", "mean_action_speed")}
    with plt.style.context("evor_eqx.evor"):
        steps = np.array(drawn["step"]) / 1000
        fig, ax = plt.subplots(figsize=(5, 3), layout="constrained")
        ax.plot(steps, drawn["mean_action_speed"], color="#0072B2", label="mean action, 8 walks of 10 s")
        ax.plot(steps, drawn["speed"], color="#E69F00", linestyle="--", label="draws, as in training")
        ax.set(xlabel="environment steps (thousands)", ylabel="speed along the direction (m/s)", xlim=(0, None))
        ax.set_title(f"One training, seed {record['config']['seed']}")
        ax.legend(loc="lower right")
        return save_figure(fig, "ant-curve", parameters=record["config"], numbers=drawn)


if __name__ == "__main__":
    print(draw())
