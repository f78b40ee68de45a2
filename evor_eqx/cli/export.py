"""`evor export`: the explorer, or a recorded episode, as one HTML file."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import tyro

from evor_eqx.config import InferenceConfig
from evor_eqx.errors import UserError
from evor_eqx.system.checked import Checked, within
from evor_eqx.system.files import check_writable, replacing

_SETTINGS = ("num_candidates", "tau_r", "tau_q")
_OF_PAGE = {"explorer": ("states",), "rollout": ("seed", *_SETTINGS)}  # options that only this page has


@dataclass(frozen=True)
class Export(Checked):
    """Save the explorer, or recorded episodes, as one HTML file. It works offline, without Python, and on a phone."""

    page: tyro.conf.Positional[Literal["explorer", "rollout"]]
    """explorer: held-out states with all sliders. rollout: an episode with two settings, A and B, and a play bar."""
    agent: str = "pointmaze-medium-navigate-task1"
    """A folder that `evor pack` wrote, or an agent's name in agents/ of the home folder or in the package."""
    to: Path | None = None
    """The file to write; PAGE.html in the working folder if not given."""
    states: int = within(1, 500, 24)
    """explorer: how many states the page holds, evenly spread; 1 to 500."""
    seed: int = within(0, 2**32 - 1, 0)
    """rollout: decides the start and all draws, for A and B alike; 0 to 4294967295."""
    num_candidates: tuple[int, ...] = ()
    """rollout: N_pi of A and B, 1 to 4096 each; the agent's own and 1 (its base policy) if no setting is given."""
    tau_r: tuple[float, ...] = ()
    """rollout: value temperatures of A and B, 0 to inf; one value is for both."""
    tau_q: tuple[float, ...] = ()
    """rollout: selection temperatures of A and B, 0 to inf; one value is for both."""

    def check(self) -> None:
        """Raise UserError for an unknown agent, settings out of range, and a file that cannot be written."""
        from evor_eqx.agent.saving import find_agent

        for page, names in _OF_PAGE.items():
            for name in names:
                if page != self.page and getattr(self, name) != Export.__dataclass_fields__[name].default:
                    raise UserError(
                        f"{name}: got it for the page {self.page}, expected it for {page} only; leave it out"
                    )
        find_agent(self.agent)
        self.settings(InferenceConfig())
        check_writable(self._file, "to")

    def settings(self, own: InferenceConfig) -> list[InferenceConfig]:
        """The inference settings of A and, if there is one, of B. `own` are the agent's."""
        given = {name: values for name in _SETTINGS if (values := getattr(self, name))}
        if not given:
            return [own, replace(own, num_candidates=1)]
        num = max(map(len, given.values()))
        for name, values in given.items():
            if len(values) > 2:
                raise UserError(f"{name}: got {len(values)} values, expected one or two, for A and B")
        return [replace(own, **{name: (values * 2)[i] for name, values in given.items()}) for i in range(num)]

    @property
    def _file(self) -> Path:
        return (self.to or Path(f"{self.page}.html")).expanduser()

    def run(self) -> int:
        """Write the page and print its path."""
        from evor_eqx.agent.saving import find_agent
        from evor_eqx.zoo.exhibits import open_exhibit

        exhibit = open_exhibit(find_agent(self.agent))
        if self.page == "explorer":
            from evor_eqx.widgets.explorer.export import explorer_page

            text = explorer_page(exhibit, self.states)
        else:
            from evor_eqx.evaluation.recording import record
            from evor_eqx.widgets.rollouts.export import rollout_page

            settings = self.settings(exhibit.agent.inference)
            agents = [exhibit.agent.replace(inference=inference) for inference in settings]
            text = rollout_page([record(agent, exhibit.task, self.seed) for agent in agents])
        with replacing(self._file) as temporary:
            temporary.write_text(text, encoding="utf-8")
        print(self._file)
        return 0
