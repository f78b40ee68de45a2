"""A study: a suite and its options in one YAML file, with its stages as the rules of a Snakemake workflow.

`workflow/Snakefile` makes a rule of every kind of stage. Each rule calls `evor suite --until STAGE`. So a workflow on a
cluster does the same as `evor suite` does on one machine, in the same folders.
"""

from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from evor_eqx.errors import UserError
from evor_eqx.suite.job import STATIONS, Job
from evor_eqx.suite.runner import SUITE, Suite
from evor_eqx.system import paths
from evor_eqx.system.files import check_name, replacing


class Step(NamedTuple):
    """One job of the workflow: a stage, or a notebook's figures."""

    rule: str  # one of STATIONS, or figures
    name: str  # can be a file name
    needs: tuple[str, ...]  # `<rule>/<name>` of other steps
    command: str

    @property
    def path(self) -> str:
        """`<rule>/<name>`, unique in a study."""
        return f"{self.rule}/{self.name}"


class _OnceLoader(yaml.SafeLoader):
    """Refuses a key that is given twice; YAML would take the last."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]  # type: ignore[no-untyped-call]
        if twice := sorted({str(key) for key in keys if keys.count(key) > 1}):
            raise yaml.YAMLError(f"got {', '.join(twice)} twice, expected each once")
        return super().construct_mapping(node, deep)


@dataclass(frozen=True, kw_only=True)
class Study:
    """The arguments of `Suite.of`, and the notebooks whose figures are drawn at the end."""

    name: str
    tasks: tuple[str, ...] = SUITE
    methods: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0,)
    preset: str = "laptop"
    episodes_of_data: int | None = None
    tuning: bool = False
    num_devices: int = 1
    figures: tuple[str, ...] = ()

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "Study":
        """Make a study from the contents of its YAML file. Raises UserError for unknown names and for wrong types."""
        kinds = {"name": str, "tasks": str, "methods": str, "seeds": int, "preset": str, "episodes_of_data": int}
        kinds |= {"tuning": bool, "num_devices": int, "figures": str}
        lists = {field.name for field in fields(cls) if isinstance(field.default, tuple)}
        if "name" not in record or not set(record) <= set(kinds):
            got = ", ".join(sorted(map(str, set(record) - set(kinds)))) or "no name"
            raise UserError(f"fields of the study: got {got}, expected name and some of {', '.join(kinds)}")
        for name, value in record.items():
            if name == "episodes_of_data" and value is None:
                continue
            entries = value if name in lists and isinstance(value, list) else [value]
            if (name in lists) != isinstance(value, list) or not all(type(each) is kinds[name] for each in entries):
                kind = f"a list of {kinds[name].__name__}" if name in lists else kinds[name].__name__
                raise UserError(f"{name} of the study is {value!r}: expected {kind}; correct the file")
            if isinstance(value, list) and len(set(value)) < max(len(value), name == "seeds"):
                raise UserError(
                    f"{name} of the study is {value!r}: expected each once, and at least one seed; correct the file"
                )
        check_name(record["name"], "study", "seeds")
        values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in record.items()}
        study = cls(**values)
        study.suite()  # raises for unknown names
        return study

    def suite(self) -> Suite:
        """The suite of the study. Raises UserError for unknown tasks, methods and presets."""
        options = {name: getattr(self, name) for name in ("preset", "episodes_of_data", "tuning", "num_devices")}
        return Suite.of(self.tasks, self.methods, self.seeds, **options)

    def steps(self) -> dict[str, Step]:
        """All steps by path, in an order in which each comes after the steps that it needs.

        Many jobs share the step of a dataset, a base policy or a bank. The critics of all seeds are one step.
        """
        found: dict[str, Step] = {}
        for job in self.suite().jobs:
            for step in self._steps_of(job):
                before = found.get(step.path, step)
                found[step.path] = step._replace(needs=tuple(dict.fromkeys(before.needs + step.needs)))
        steps = {step.path: step for rule in STATIONS for step in found.values() if step.rule == rule}
        episodes = tuple(path for path, step in steps.items() if step.rule == "episodes")
        for name in self.figures:
            command = f"evor figures {name} --preset {self.preset}"
            steps[f"figures/{name}"] = Step("figures", name, episodes, command)
        return steps

    def plan(self, path: Path) -> str:
        """Describe the number of steps of each kind, the unfinished jobs on this machine, and the command to run."""
        steps, suite = self.steps().values(), self.suite()
        counts = [(rule, sum(step.rule == rule for step in steps)) for rule in (*STATIONS, "figures")]
        profile = "workflow/profiles/local"
        return "\n".join(
            [
                f"{path}: " + ", ".join(f"{count} {rule}" for rule, count in counts if count),
                suite.table(),
                suite.describe_left(),
                f"run it: snakemake --snakefile workflow/Snakefile --configfile {path} --profile {profile}",
            ]
        )

    def _steps_of(self, job: Job) -> list[Step]:
        critic = f"{job.task.short_name}.{job.method}"
        names = {
            "data": job.task.dataset,
            "policy": job.policy_name,
            "bank": job.bank_name if job.config.critic.num_bank_draws else "",
            "critic": critic,
            "episodes": f"{critic}.seed{job.seed}",
        }
        wanted = [rule for rule in STATIONS if names[rule] and (job.trains_critic or rule not in ("bank", "critic"))]
        devices = f" --num-devices {self.num_devices}" if self.num_devices > 1 else ""
        return [
            Step(
                rule,
                names[rule],
                (f"{before}/{names[before]}",) if before else (),
                f"{job.command(self.seeds if rule == 'critic' else ())}{devices} --until {rule}",
            )
            for before, rule in zip([None, *wanted], wanted, strict=False)
        ]


STUDIES = {
    study.name: study
    for study in (
        Study(name="full"),
        Study(
            name="seeds",
            tasks=tuple(f"{dataset}-task1" for dataset in SUITE),
            methods=("base", "evor", "qc1", "qc5", "ifql"),
            seeds=(0, 1, 2),
        ),
        Study(
            name="small",
            tasks=("pointmaze-medium-navigate-task1", "pointmaze-medium-navigate-task2"),
            methods=("base", "scalar"),
            preset="smoke",
            episodes_of_data=5,
            figures=("00_flow_matching",),
        ),
    )
}


def named_study(name: str, **changes: Any) -> Study:
    """One of `STUDIES` or, with tasks, a new one of this name.

    **Arguments:**

    - `name`: the name.
    - `changes`: fields of the study. An empty one leaves that of the named study, or the default.

    **Raises:**

    UserError for an unknown name without tasks, and for unknown tasks, methods and presets.
    """
    if name not in STUDIES and not changes.get("tasks"):
        raise UserError(f"unknown study {name!r}: expected one of {', '.join(STUDIES)}, or --tasks for one of your own")
    given = {key: value for key, value in changes.items() if value}
    check_name(name, "study", "seeds")
    study = replace(STUDIES.get(name, Study(name=name)), **given)
    study.suite()  # raises for unknown names
    return study


def write_study(study: Study, path: Path) -> Path:
    """Write a study to a YAML file; returns the path."""
    record = asdict(study)
    record |= {key: list(value) for key, value in record.items() if isinstance(value, tuple)}  # YAML has no tuples
    with replacing(path) as temporary:
        temporary.write_text(yaml.safe_dump(record, sort_keys=False))
    return path


def read_study(path: Path) -> Study:
    """Read a study from a YAML file. Raises UserError if the file is missing or is not a study."""
    if set("{}") & set(str(paths.home())):
        raise UserError(
            f"EVOR_HOME: got {paths.home()}, expected no braces, which Snakemake takes for patterns; move it"
        )
    if not path.is_file():
        raise UserError(f"no study at {path}: write one with `evor study`")
    try:
        record = yaml.load(path.read_text(), _OnceLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path} is not YAML ({' '.join(str(error).split())}): write it again with `evor study`"
        ) from None
    if not isinstance(record, dict):
        kind = type(record).__name__
        raise UserError(f"{path} holds {kind}: expected lines `name: value`; write it again with `evor study`")
    return Study.from_record(record)
