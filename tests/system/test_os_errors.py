"""Errors of the system: each sentence names the path and says what to do."""

import errno

import pytest

from evor_eqx.system.os_errors import _SENTENCES, sentence


@pytest.mark.parametrize("number", _SENTENCES)
def test_a_sentence_names_the_path_and_what_to_do(number):
    said = sentence(OSError(number, "as the system has it", "/home/me/runs"))
    assert said.startswith("/home/me/runs: ") and ";" in said and "damaged" not in said
    assert "kept" in said or "delete" not in said


def test_other_errors_are_told_as_they_are():
    assert (
        sentence(OSError(errno.EXDEV, "Invalid cross-device link", "/a"))
        == "[Errno 18] Invalid cross-device link: '/a'"
    )


@pytest.mark.parametrize("call", [lambda folder: (folder / "nowhere").read_text(), lambda folder: folder.read_text()])
def test_what_python_raises_is_understood(call, tmp_path):
    with pytest.raises(OSError) as caught:
        call(tmp_path)
    assert str(tmp_path) in sentence(caught.value) and "Errno" not in sentence(caught.value)
