"""Small untrained agents: three numbers observed, chunks of two actions with two numbers each."""

import jax

from evor_eqx.agent.agent import Agent
from evor_eqx.config import FieldConfig, InferenceConfig, PolicyConfig
from evor_eqx.critics.factory import make_critic
from evor_eqx.critics.flow import FlowConfig
from evor_eqx.policy import make_policy

OBS_SIZE, CHUNK_LENGTH, ACT_SIZE = 3, 2, 2
NETWORK = FieldConfig(width=16, depth=2, head_width=8)
INFERENCE = InferenceConfig(num_candidates=5, tau_r=3.0, tau_q=0.3, num_returns=4, num_flow_steps=10)


def agent_of(critic_config=None, **facts):
    """An agent with a flow critic of two members, or with the critic of a configuration."""
    policy_config = PolicyConfig(CHUNK_LENGTH, network=NETWORK)
    config = critic_config or FlowConfig(n_step=CHUNK_LENGTH, num_members=2, network=NETWORK)
    sizes = {"obs_size": OBS_SIZE, "chunk_size": CHUNK_LENGTH * ACT_SIZE}
    policy = make_policy(policy_config, **sizes, key=jax.random.key(0))
    critic = make_critic(config, **sizes, key=jax.random.key(1))
    return Agent(policy, critic, INFERENCE, policy_config=policy_config, critic_config=config, facts=facts)
