"""`evor export`: the settings of A and B, the file, and what cannot be."""

import json
import re

import pytest

from evor_eqx.cli.export import Export
from evor_eqx.config import InferenceConfig
from evor_eqx.errors import UserError

OWN = InferenceConfig(num_candidates=8)


def settings(**given):
    return [(one.num_candidates, one.tau_r, one.tau_q) for one in Export("rollout", **given).settings(OWN)]


def test_b_is_the_base_policy_unless_settings_are_given():
    assert settings() == [(8, OWN.tau_r, OWN.tau_q), (1, OWN.tau_r, OWN.tau_q)]
    assert settings(tau_r=(5.0,)) == [(8, 5.0, OWN.tau_q)]
    assert settings(tau_r=(5.0, 6.0), num_candidates=(4,)) == [(4, 5.0, OWN.tau_q), (4, 6.0, OWN.tau_q)]
    with pytest.raises(UserError, match="tau_q: got 3 values, expected one or two"):
        settings(tau_q=(1.0, 2.0, 3.0))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["explorer", "--agent", "nobody"], ["nobody", "pointmaze-medium-navigate-task1"]),
        (["explorer", "--states", "0"], ["states is 0", "1 to 500"]),
        (["explorer", "--seed", "1"], ["seed", "for rollout only"]),
        (["rollout", "--states", "3"], ["states", "for explorer only"]),
        (["rollout", "--num-candidates", "0"], ["num_candidates is 0"]),
        (["film"], ["film"]),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_made(evor, home, monkeypatch, arguments, words):
    monkeypatch.chdir(home)
    monkeypatch.setattr(Export, "run", lambda self: pytest.fail("it was accepted"))
    code, _, err = evor("export", *arguments)
    assert code == 2 and err.count("\n") == 1 and all(word in err for word in words), err


@pytest.mark.slow
def test_pages_of_the_shipped_agent_hold_what_was_asked_for(evor, tmp_path):
    def data(page, *options):
        file = tmp_path / f"{page}.html"
        code, out, _ = evor("export", page, "--to", str(file), *options)
        assert code == 0 and out == f"{file}\n"
        assert len(file.read_bytes()) < 3_000_000
        (held,) = re.findall(r'id="evor-data">(.*?)</script>', file.read_text(encoding="utf-8"))
        return json.loads(held)

    explorer = data("explorer", "--states", "5")
    assert len(explorer["states"]) == 5 and explorer["traits"]["last"] == 4
    sides = data("rollout", "--seed", "3", "--num-candidates", "16", "2")["sides"]
    assert [(side["name"], side["num"]) for side in sides] == [("A", 16), ("B", 2)]
    assert all(side["frames"] is None or len(side["frames"]) == side["count"] for side in sides)
