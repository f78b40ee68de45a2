"""What a student is told about an answer: one line, whatever the answer does."""

import jax.numpy as jnp
import numpy as np
import pytest

from evor_eqx.reports.exercises import check


def told(capsys, answer, expected, **options):
    check("sum", answer, expected, hint="add them", **options)
    line = capsys.readouterr().out
    assert line.startswith("sum: ") and line.endswith("\n") and line.count("\n") == 1
    return line.removeprefix("sum: ").strip()


@pytest.mark.parametrize("answer", [..., lambda: ..., [1.0, ...], lambda: [(..., 2.0)], lambda: [None, ...]])
def test_a_placeholder_is_not_tried_yet(capsys, answer):
    assert told(capsys, answer, [1.0, 2.0]) == "not tried yet"


@pytest.mark.parametrize("answer", [None, lambda: None, lambda: [None, None], lambda: [1.0, None]])
def test_an_answer_without_a_value_returned_nothing(capsys, answer):
    assert told(capsys, answer, [1.0, 2.0]) == "returned nothing. A function gives its answer with `return`."


@pytest.mark.parametrize(
    "answer", [[1.0, 2.0], np.array([1.0, 2.0005]), lambda: jnp.array([1.0, 2.0]), lambda: (1, 2), lambda: [True, 2]]
)
def test_an_answer_within_the_tolerance_is_right(capsys, answer):
    assert told(capsys, answer, [1.0, 2.0]) == "right"


def test_where_zero_is_expected_the_tolerance_is_absolute(capsys):
    assert told(capsys, 1e-4, 0.0) == "right"
    assert told(capsys, 1e-2, 0.0).startswith("wrong: largest difference 0.01,")


@pytest.mark.parametrize(
    "answer, words",
    [
        ([1.0, 2.5], "largest difference 0.5, with right values up to 2"),
        (1.0, "got shape (), expected (2,)"),
        ([1.0, np.nan], "got nan, expected finite numbers"),
        (lambda: [1.0, np.inf], "got inf, expected finite numbers"),
        ("two", "ValueError: could not convert string to float: 'two'"),
        ([[1.0], [1.0, 2.0]], "ValueError: setting an array element"),
        (lambda x: x, "TypeError: "),
        (lambda: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda: {}["a\nb"], "KeyError: 'a\\nb'"),
        (lambda: np.zeros(2) + np.zeros(3), "ValueError: operands could not be broadcast"),
    ],
)
def test_a_wrong_answer_is_told_in_one_line_with_the_hint_and_raises_nothing(capsys, answer, words):
    line = told(capsys, answer, [1.0, 2.0])
    assert line.startswith(f"wrong: {words}") and line.endswith(". Hint: add them")
