"""What the notebooks import of the package besides its public names, and why."""

import ast

import nbformat
import pytest
from headless import NOTEBOOKS

import evor_eqx

# What is imported, as it is written, without `evor_eqx.`.
DEEPER = {
    "bench.decisions.time_decisions": "times decisions",
    "bench.timing": "times updates, case by case",
    "bench.updates": "makes the updates that are timed",
    "runs.records.to_record": "names a run folder of the notebook's own",
    "data.censoring": "draws and names returns some of which were cut off",
    "critics.factory.make_critic": "makes untrained critics",
    "critics.flow_targets.TARGETS": "goes through all targets, and compares one with a derivation by hand",
    "critics.registry.critic_config": "asks which critics evaluate the base policy",
    "critics.registry.critic_names": "goes through all critics",
    "data.loading": "reads the rows of a dataset",
    "data.loading.load_dataset": "reads the rows of a dataset",
    "distributions": "takes means, quantiles and scores of return distributions",
    "envs.ogbench.maze_layout": "draws a maze",
    "envs.rendering": "says whether there will be pictures",
    "envs.vector.open_envs": "runs episodes of an agent that is watched",
    "evaluation.controllers": "lets OGBench's controller play a part of an agent",
    "evaluation.held_out": "compares critics with recorded returns",
    "evaluation.held_out.Probes": "chooses states to look at while a critic trains",
    "evaluation.monte_carlo.returns_after": "rolls out from given states and chunks",
    "evaluation.monte_carlo.returns_from_each": "rolls out from given states",
    "evaluation.overestimation": "measures what a critic promises and what it delivers",
    "evaluation.recording.record": "records an episode in full",
    "evaluation.rollout.run_episodes": "runs episodes of an agent that is watched",
    "evaluation.scores.wasserstein_bounds": "compares with returns some of which were cut off",
    "evaluation.statistics": "takes intervals over episodes, states and seeds",
    "nn.flow_matching": "derives flow matching step by step",
    "pipeline.evaluation.evaluate_settings": "evaluates several settings on the same episodes",
    "pipeline.identity": "finds the data of an experiment",
    "pipeline.loading.load_critic": "reads a critic from a run folder of the notebook's own",
    "pipeline.stages": "trains base policies and critics whose training is looked at",
    "plotting": "draws",
    "policy.make_policy": "makes untrained base policies",
    "presets.tabular_preset": "sizes critics on processes with known answers",
    "reports.exercises": "checks exercises",
    "reports.figures.save_figure": "saves figures with the numbers that they show",
    "runs.run.Run": "names the runs behind a figure, and reads how they were trained",
    "suite.curves": "reads curves from the suite's results",
    "suite.results.datasets_of": "names the data behind the suite's results",
    "suite.runner.SUITE": "names the suite's datasets",
    "suite.runner.Suite": "takes the suite's jobs",
    "suite.tables": "takes the means of the suite's results",
    "system.paths": "chooses where a film goes",
    "system.progress.is_quiet": "shows no sliders where nobody looks",
    "tabular.benchmark.ExactAnswers": "compares critics with two exact answers",
    "tabular.benchmark.ensure_tabular_critics": "trains critics on processes with known answers",
    "tabular.improvement.decision_policy": "knows what a decision does, exactly",
    "tabular.improvement.divergence": "knows what it costs",
    "tabular.improvement.improved_distributions": "knows what a critic learns whose backups choose",
    "tabular.improvement.performance": "knows what a policy earns",
    "tabular.processes.PROCESSES": "names these processes",
    "tabular.solution.optimism": "knows these answers",
    "tabular.solution.return_distributions": "knows these answers",
    "tabular.solution.soft_optimal": "knows these answers",
    "training.fit.fit_in_run": "trains in a run folder of the notebook's own",
    "training.loop": "trains without a run folder",
    "training.sharding.over_devices": "spreads updates over devices",
    "training.statistics": "takes a critic's units from the data",
    "widgets.explorer.explorer.Explorer": "lets the reader choose among all agents",
    "widgets.explorer.states.StateFinder": "draws the explorer for print",
    "widgets.explorer.twin.explorer_figure": "draws the explorer for print",
    "widgets.rollouts.film.rollout_figure": "draws recordings for print",
    "widgets.rollouts.film.save_gif": "makes a film of recordings",
    "widgets.rollouts.viewer.RolloutViewer": "shows recordings",
    "widgets.rollouts.viewer.sentence": "says what recordings show",
    "widgets.training.panels.training_figure": "draws a training for print",
    "widgets.training.view.TrainingView": "shows a training while it runs",
    "zoo.catalogue.catalogue": "lists all agents",
    "zoo.exhibits.Exhibit": "puts held-out states beside an agent",
}


def deeper_imports(path):
    """What a notebook imports from inside the package, without `evor_eqx.`."""
    cells = nbformat.read(path, as_version=4).cells
    nodes = [node for cell in cells if cell.cell_type == "code" for node in ast.walk(ast.parse(cell.source))]
    froms = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    names = {f"{node.module}.{alias.name}" for node in froms for alias in node.names}
    names |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return {name.removeprefix("evor_eqx.") for name in names if name.startswith("evor_eqx.")}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_a_notebook_takes_public_names_unless_it_needs_more_for_a_reason(path):
    assert sorted(deeper_imports(path) - set(DEEPER)) == []


def test_every_deeper_import_is_still_needed():
    assert sorted(set(DEEPER) - set.union(*map(deeper_imports, NOTEBOOKS))) == []


def test_no_public_name_is_imported_from_deeper():
    public = set(evor_eqx.__all__)
    assert [name for name in DEEPER if name.rpartition(".")[2] in public] == []
