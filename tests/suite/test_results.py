"""The file of results: a round trip, rows put in the place of a job's earlier ones, and damage that is named."""

import csv
from dataclasses import replace

import pytest

from evor_eqx.errors import UserError
from evor_eqx.evaluation.statistics import wilson_interval
from evor_eqx.suite.results import COLUMNS, datasets_of, put_rows, read_results
from evor_eqx.suite.rows import REPORTED_SEED, TUNING_SEED, Case, Row


def make_row(
    task="pointmaze-medium-navigate-singletask-task1-v0", method="evor", seed=0, success=0.5, **changes
) -> Row:
    facts = {"num_candidates": 32, "tau_r": 3.0, "tau_q": 0.1, "num_returns": 16, "step": 10_000, "reported": 1}
    facts |= {"episodes": 50, "evaluation_seed": REPORTED_SEED, "dataset_fingerprint": "1a2b3c4d"}
    facts |= {"dataset_origin": "generated", "reward_timing": "pre", "ogbench": "1.2.2", "run": "maze/critic-0"}
    case = Case(task, method, seed, **{**facts, **changes})
    low, high = (round(end, 4) for end in wilson_interval(round(success * case.episodes), case.episodes)[1:])
    return Row(case, success, low, high, 123.4, "evor suite --tasks a, b")


def test_what_is_put_comes_back_sorted_and_the_file_does_not_depend_on_the_order(tmp_path):
    rows = [make_row(seed=1), make_row(method="base", tau_r=float("inf")), make_row(), make_row(step=8000)]
    for row in rows:
        put_rows(tmp_path / "a.csv", [row, *(r for r in rows if r.case.job == row.case.job and r != row)])
    put_rows(tmp_path / "b.csv", rows[::-1])
    assert read_results(tmp_path / "a.csv") == [rows[1], rows[3], rows[2], rows[0]]
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "b.csv"]


def test_rows_take_the_place_of_all_earlier_ones_of_their_job_and_of_no_other(tmp_path):
    path, other = tmp_path / "suite.csv", make_row(seed=1)
    put_rows(path, [other, make_row(run="maze/critic-1"), make_row(num_candidates=8, run="maze/critic-1")])
    new = make_row(tau_q=0.3)
    put_rows(path, [new])
    assert read_results(path) == [new, other]


def test_rows_of_tuning_episodes_never_enter_a_record_of_reported_ones(tmp_path):
    path, tuned = tmp_path / "tuning.csv", make_row(evaluation_seed=TUNING_SEED)
    put_rows(path, [tuned], TUNING_SEED)
    assert read_results(path, TUNING_SEED) == [tuned]
    with pytest.raises(UserError, match=f"evaluation_seed is {TUNING_SEED}: expected {REPORTED_SEED}"):
        read_results(path)
    with pytest.raises(UserError, match=f"expected {REPORTED_SEED}"):
        put_rows(tmp_path / "suite.csv", [tuned])
    assert not (tmp_path / "suite.csv").exists()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda text: text.replace("tau_r", "tau"), "columns of .*got task.*expected task"),
        (lambda text: "", "columns of .*got none"),
        (lambda text: text.replace(",0.5,", ",half,"), "line 2 .*'half'"),
        (lambda text: text.replace(",0.5,", ",1.5,"), "line 2 .*success is 1.5 with interval 0.3664 to 0.6336"),
        (lambda text: text.replace(",10000,", ",1e4,"), "line 2 .*'1e4'"),
        (lambda text: text.replace("generated,", ""), "line 2 .*expected 27 values"),
        (lambda text: text.rstrip("\n") + ",more\n", "line 2 .*expected 27 values"),
        (lambda text: text.replace(",50,", ",0,"), "line 2 .*episodes is 0"),
        (lambda text: text.replace(",0.5,", ",0.52,"), "line 2 .*expected 0.52 0.3851 0.652"),
        (lambda text: text.replace(",0.5,", ",0.51,"), "line 2 .*a whole number of episodes"),
        (lambda text: text.replace(",0.5,", ",0.50,").replace("123.4", "124.4"), "line 2 .*do not match its checksum"),
        (lambda text: text.replace(",", ";"), "semicolons between them, .*save it as comma-separated"),
        (lambda text: text + text.splitlines()[1] + "\n", "line 3 .*those of an earlier line"),
    ],
)
def test_damage_is_named_with_its_line(tmp_path, damage, words):
    path = tmp_path / "suite.csv"
    put_rows(path, [make_row()])
    path.write_text(damage(path.read_text()))
    with pytest.raises(UserError, match=words):
        read_results(path)


def test_a_byte_order_mark_and_line_ends_of_a_spreadsheet_are_read(tmp_path):
    path = tmp_path / "suite.csv"
    put_rows(path, [make_row()])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_results(path) == [make_row()]


def test_numbers_that_a_spreadsheet_wrote_in_another_way_keep_their_checksum(tmp_path):
    path = tmp_path / "suite.csv"
    put_rows(path, [make_row()])
    text = path.read_text()
    written = text.replace(",0.5,", ",0.50,").replace(",123.4,", ",123.40,")
    assert written != text
    path.write_text(written)
    assert read_results(path) == [make_row()]


def test_a_record_that_is_not_there_says_what_makes_it(tmp_path):
    with pytest.raises(UserError, match=r"no results at .*suite\.csv: run `evor suite`"):
        read_results(tmp_path / "suite.csv")


def test_what_data_rows_are_of_is_said_by_dataset_all_of_it():
    arm = [f"cube-single-play-singletask-task{n}-v0" for n in (1, 2)]
    rows = [make_row(), make_row(arm[0]), make_row(arm[1], dataset_fingerprint="00000000"), make_row(arm[1])]
    assert datasets_of(rows) == {
        "cube-single-play-v0": "generated:00000000, generated:1a2b3c4d",
        "pointmaze-medium-navigate-v0": "generated:1a2b3c4d",
    }


def test_the_columns_are_those_of_a_row():
    row = make_row()
    assert len(COLUMNS) == 27 and set(COLUMNS) == (vars(row.case).keys() | vars(row).keys() | {"checksum"}) - {"case"}
    assert replace(row, case=replace(row.case, step=1)).case.key != row.case.key


def test_success_that_no_episode_spoke_of_is_none_only_if_no_row_of_the_task_knows_it(tmp_path):
    """Environments may say only that there was a success; where they never did, all episodes failed."""
    path = tmp_path / "suite.csv"
    unknown = {"success": None, "low": None, "high": None, "ret": -1.0, "ret_low": -2.0, "ret_high": 0.0}
    failed, other = (replace(make_row(method="base", task=name), **unknown) for name in ("maze-task1", "other-task1"))
    for rows in ([failed, other], [make_row("maze-task1", success=0.5)]):
        put_rows(path, rows)
    found = {(row.case.task, row.case.method): row for row in read_results(path)}
    base = found["maze-task1", "base"]
    assert base.success == base.low == 0 and 0.05 < base.high < 0.1 and base.ret == -1
    assert found["other-task1", "base"].success is None
    # A zero that was noted like this says nothing of rows of the same task with another environment.
    mine = {"own_task": "new", "dataset_origin": "own"}
    new = [replace(failed, case=replace(failed.case, method=method, **mine)) for method in ("base", "evor")]
    put_rows(path, new[:1])
    put_rows(path, new[1:])
    assert [row.success for row in read_results(path) if row.case.own_task == "new"] == [None, None]


def test_a_file_from_before_a_column_is_read(tmp_path):
    path = tmp_path / "suite.csv"
    put_rows(path, [make_row()])
    with open(path, newline="") as file:
        header, values = csv.reader(file)
    kept = [place for place, name in enumerate(header) if name not in ("own_task", "ret", "ret_low", "score")]
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([line[place] for place in kept] for line in (header, values))
    assert read_results(path) == [make_row()]


def test_a_row_without_its_checksum_is_refused_where_others_have_one_and_nan_everywhere(tmp_path):
    path = tmp_path / "suite.csv"
    put_rows(path, [replace(make_row(), ret=-5.0, ret_low=-6.0, ret_high=-4.0), make_row(seed=1)])
    header, first, second = path.read_text().splitlines()
    for changed in (first.rpartition(",")[0] + ",", first.replace("-5.0", "nan")):
        path.write_text("\n".join([header, changed, second]) + "\n")
        with pytest.raises(UserError, match="line 2 "):
            read_results(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [("a,b\n".encode("utf-16"), "UTF-16, expected UTF-8"), (b"a b c\n", "columns of .*got a b c")],
)
def test_files_of_other_programs_are_named(tmp_path, content, words):
    path = tmp_path / "suite.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=words):
        read_results(path)


def test_a_cell_that_is_too_long_is_named_with_its_line(tmp_path):
    path = tmp_path / "suite.csv"
    put_rows(path, [make_row()])
    path.write_text(path.read_text().replace("evor suite", "x" * 200_000))
    with pytest.raises(UserError, match=r"line 2 .*field larger"):
        read_results(path)
