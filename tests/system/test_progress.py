"""Progress: who listens is told of every step of this thread, and of no other's, and may end the work."""

import threading

import pytest

from evor_eqx.system import progress


def test_who_listens_is_told_of_each_step_and_nothing_is_drawn(monkeypatch, capfd):
    monkeypatch.setattr(progress, "is_quiet", lambda: False)
    heard = []
    with (
        progress.listening(lambda bar: heard.append((bar.description, bar.n, bar.total, bar.unit))),
        progress.bar(10, "rows of a thing", "row", done=4) as bar,
    ):
        bar.update(3)
        bar.set_description("more rows")
        bar.update()
    assert heard == [("rows of a thing", n, 10, "row") for n in (4, 7)] + [("more rows", 8, 10, "row")]
    assert capfd.readouterr().err == ""
    with progress.bar(10, "rows of a thing", "row") as bar:
        bar.update(3)
    assert "rows of a thing" in capfd.readouterr().err


def test_what_is_listened_to_can_be_drawn_too(monkeypatch, capfd):
    monkeypatch.setattr(progress, "is_quiet", lambda: False)
    heard = []
    with progress.listening(lambda bar: heard.append(bar.n), draw=True), progress.bar(10, "rows", "row", done=4) as bar:
        bar.update(3)
        bar.set_description("more rows")
    assert heard == [4, 7]
    drawn = capfd.readouterr().err
    assert "more rows" in drawn and "7.00/10.0" in drawn


def test_durations_have_two_digits_in_each_unit():
    assert [progress.duration(seconds) for seconds in (44.6, 720, 12_000)] == ["45 s", "12 min", "3 h 20 min"]


def test_another_thread_is_not_listened_to():
    heard = []

    def work():
        with progress.bar(1, "elsewhere", "row") as bar:
            bar.update()

    with progress.listening(heard.append):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert heard == []


def test_a_listener_that_raises_ends_the_work():
    def refuse(bar):
        if bar.n == 2:
            raise KeyboardInterrupt

    done = []
    with pytest.raises(KeyboardInterrupt), progress.listening(refuse), progress.bar(5, "rows", "row") as bar:
        for row in range(5):
            done.append(row)
            bar.update()
    assert done == [0, 1]


@pytest.mark.parametrize(("variable", "said"), [("CI", True), ("EVOR_QUIET", False)])
def test_a_note_is_said_in_ci_and_not_in_headless_notebooks(variable, said, monkeypatch, capsys):
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv(variable, "true")
    progress.note("one process was killed")
    assert ("one process was killed" in capsys.readouterr().err) == said
