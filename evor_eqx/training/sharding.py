"""One training on several devices: batches, or seeds, are cut into equal parts by JAX's own sharding.

The program is the one that a single device runs. So the same random numbers are drawn, and losses differ by rounding
only, because each device sums its part of the batch first. Weights and data lie on every device. One gradient per
update travels between them; with seeds cut into parts, nothing does.
"""

import contextlib
from collections.abc import Iterator
from typing import TypeVar

import jax
from jax.sharding import AxisType, PartitionSpec

from evor_eqx.errors import UserError

Tree = TypeVar("Tree")
_AXIS = "devices"


@contextlib.contextmanager
def over_devices(num_devices: int, **sizes: int) -> Iterator[None]:
    """A context in which `spread` cuts arrays into parts, one for each device.

    **Arguments:**

    - `num_devices`: the number of devices.
    - `sizes`: the sizes of the axes that will be cut, by name.

    **Raises:**

    UserError if the machine has fewer devices, or if a size is no multiple of their number.
    """
    for name, size in sizes.items():
        if size % num_devices:
            raise UserError(f"{name} is {size}: expected a multiple of num_devices, {num_devices}; change either")
    if num_devices > jax.device_count():
        raise UserError(
            f"num_devices is {num_devices}: expected at most {jax.device_count()}, the devices that JAX finds here "
            f"({jax.devices()[0].platform}); on a CPU, set "
            f"XLA_FLAGS=--xla_force_host_platform_device_count={num_devices}"
        )
    if num_devices == 1:
        yield
        return
    mesh = jax.make_mesh((num_devices,), (_AXIS,), axis_types=(AxisType.Auto,), devices=jax.devices()[:num_devices])
    with jax.set_mesh(mesh):
        yield


def spread(tree: Tree, axis: int = 0) -> Tree:
    """The arrays of a tree cut along an axis, a part for each device; on one device, the tree as it is."""
    if jax.sharding.get_abstract_mesh().empty:
        return tree
    parts = PartitionSpec(*[None] * axis, _AXIS)
    return jax.tree.map(lambda leaf: jax.lax.with_sharding_constraint(leaf, parts), tree)
