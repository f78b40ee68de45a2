"""Dataclasses that check their fields, and their records."""

from dataclasses import asdict, dataclass, field, make_dataclass

import numpy as np
import pytest

from evor_eqx.errors import UserError
from evor_eqx.system.checked import Checked, from_record, one_of, within
from evor_eqx.system.files import short_hash


@dataclass(frozen=True)
class Meal(Checked):
    """A configuration with the two kinds of checked fields."""

    spoons: int | None = within(1, 3, None)
    dish: str = one_of("soup", "stew", default="soup")


def test_a_range_holds_for_a_value_and_not_for_none():
    assert Meal().spoons is None and Meal(3).spoons == 3
    with pytest.raises(UserError, match="spoons is 4: expected 1 to 3"):
        Meal(4)
    with pytest.raises(UserError, match="dish is 'cake': expected one of soup, stew"):
        Meal(dish="cake")


@dataclass(frozen=True)
class Day(Checked):
    """A configuration inside another."""

    lunch: Meal = field(default_factory=Meal)
    steps: int = within(0, 10, 5)


def test_a_record_reads_back_at_every_level_and_is_checked_there():
    day = Day(Meal(2, "stew"), 7)
    assert from_record(Day, asdict(day)) == day
    assert from_record(Day, {**asdict(day), "kind": "a registered name"}) == day
    with pytest.raises(UserError, match="spoons is 9: expected 1 to 3"):
        from_record(Day, {"lunch": {"spoons": 9}})


@dataclass(frozen=True)
class Dose(Checked):
    """Real numbers, which may be given as whole ones."""

    grams: float = within(0.0, 10.0, 0.5)
    litres: float | None = within(0, 10, None)


@pytest.mark.parametrize("one", [1, np.int64(1), np.float32(1)])
def test_one_and_1_0_are_the_same_real_number_and_name_the_same_run(one):
    found, expected = (asdict(Dose(number, number)) for number in (one, 1.0))
    assert short_hash(found) == short_hash(expected) and set(map(type, found.values())) == {float}
    assert asdict(Dose(one)) == {"grams": 1.0, "litres": None} and type(Meal(1).spoons) is int


def test_annotations_that_are_texts_mean_the_same():  # as they are after `from __future__ import annotations`
    entries = [("grams", "float", within(0.0, 10.0, 0.5)), ("spoons", "int | None", within(1, 3, None))]
    later = make_dataclass("Later", entries, bases=(Checked,), frozen=True)
    assert type(later(1).grams) is float and later(spoons=2).spoons == 2
    with pytest.raises(UserError, match=r"spoons is 1\.5: expected a whole number, such as 1"):
        later(spoons=1.5)


def test_an_annotation_that_is_unknown_at_run_time_is_named():  # as one that is imported under TYPE_CHECKING
    later = make_dataclass("Later", [("spoons", "Sequence[int]", 1)], bases=(Checked,), frozen=True)
    with pytest.raises(UserError, match="annotations of Later: got 'Sequence', expected names that its module has"):
        later()
