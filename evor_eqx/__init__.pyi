"""The public names, for type checkers and for `lazy_loader`, which reads them from here."""

from .agent.agent import Agent as Agent
from .agent.decision import Decision as Decision
from .agent.saving import load_agent as load_agent
from .agent.selection import candidate_weights as candidate_weights
from .config import Config as Config
from .config import CriticConfig as CriticConfig
from .config import InferenceConfig as InferenceConfig
from .config import PolicyConfig as PolicyConfig
from .critics.base import AbstractCritic as AbstractCritic
from .critics.base import CriticInputs as CriticInputs
from .critics.base import ReturnScale as ReturnScale
from .critics.flow_targets import register_flow_target as register_flow_target
from .critics.registry import register_critic as register_critic
from .data.custom import CustomTask as CustomTask
from .data.custom import custom_task as custom_task
from .data.dataset import OfflineDataset as OfflineDataset
from .data.loading import describe as describe
from .data.minari import minari_task as minari_task
from .distributions import ReturnDistribution as ReturnDistribution
from .distributions import soft_value as soft_value
from .envs.tasks import Task as Task
from .envs.tasks import parse_task as parse_task
from .errors import UserError as UserError
from .pipeline.evaluation import Evaluation as Evaluation
from .pipeline.evaluation import evaluate as evaluate
from .pipeline.experiment import fit as fit
from .pipeline.experiment import train_critic as train_critic
from .pipeline.experiment import train_policy as train_policy
from .pipeline.offline_evaluation import OfflineEvaluation as OfflineEvaluation
from .pipeline.offline_evaluation import evaluate_offline as evaluate_offline
from .presets import PRESETS as PRESETS
from .presets import preset as preset
from .system.code_identity import versioned as versioned
from .tabular.benchmark import tabular_benchmark as tabular_benchmark
from .types import Batch as Batch
from .widgets.explorer.explorer import explore as explore

__version__: str
