"""The multi-layer perceptron that all networks are built from."""

import equinox as eqx
import jax
from jaxtyping import Array, Float, PRNGKeyArray


class MLP(eqx.Module):
    """`depth` hidden layers of `width` units with GELU and then LayerNorm (OGBench's order), and a linear output."""

    layers: list[eqx.nn.Linear]
    norms: list[eqx.nn.LayerNorm]
    output: eqx.nn.Linear

    def __init__(self, in_size: int, out_size: int, width: int, depth: int, use_layer_norm: bool, *, key: PRNGKeyArray):
        *layer_keys, output_key = jax.random.split(key, depth + 1)
        sizes = [in_size] + [width] * depth
        self.layers = [eqx.nn.Linear(m, n, key=k) for m, n, k in zip(sizes[:-1], sizes[1:], layer_keys, strict=True)]
        self.norms = [eqx.nn.LayerNorm(width) for _ in self.layers] if use_layer_norm else []
        self.output = eqx.nn.Linear(sizes[-1], out_size, key=output_key)

    def __call__(self, x: Float[Array, " in"]) -> Float[Array, " out"]:
        for index, layer in enumerate(self.layers):
            x = jax.nn.gelu(layer(x))
            if self.norms:
                x = self.norms[index](x)
        return self.output(x)
