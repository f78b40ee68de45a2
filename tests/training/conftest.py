"""Windows for the model of one number."""

import numpy as np
import pytest


@pytest.fixture(scope="module")
def windows():
    """Two episodes of 25 rows, with the reward 3 obs."""
    from evor_eqx.data.dataset import OfflineDataset  # not above: JAX reads its settings when it is imported

    obs = np.linspace(-1, 1, 50, dtype=np.float32)[:, None]
    valids = np.ones(50)
    valids[[24, 49]] = 0
    arrays = {"observations": obs, "actions": obs, "valids": valids, "rewards": 3 * obs[:, 0], "masks": np.ones(50)}
    return OfflineDataset.from_compact(arrays).windows(gamma=0.9)
