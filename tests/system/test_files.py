import hashlib
import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from evor_eqx.errors import UserError
from evor_eqx.system import paths
from evor_eqx.system.files import check_folder, check_writable, replacing, sha256, short_hash
from evor_eqx.system.json_records import read_json, write_json


def test_a_file_appears_only_when_it_is_whole(tmp_path):
    path = tmp_path / "new" / "numbers.npz"
    with replacing(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
        assert (temporary.parent, temporary.suffix) == (path.parent, ".npz")
    assert path.read_text() == "half"
    assert list(path.parent.iterdir()) == [path]


def test_an_error_while_writing_leaves_the_earlier_file_and_no_other(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("before")
    with pytest.raises(KeyboardInterrupt), replacing(path) as temporary:
        temporary.write_text("after")
        raise KeyboardInterrupt
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_a_new_file_has_the_usual_permissions_and_the_mask_of_the_process_is_never_touched(tmp_path, monkeypatch, mask):
    before = os.umask(mask)
    monkeypatch.setattr(os, "umask", lambda mask: pytest.fail("the mask belongs to all threads"))
    try:
        _check_permissions(tmp_path)
    finally:
        monkeypatch.undo()
        os.umask(before)


def _check_permissions(tmp_path):
    plain, replaced = tmp_path / "plain", tmp_path / "replaced"
    plain.write_text("")
    with replacing(replaced) as temporary:
        temporary.write_text("")
    assert stat.S_IMODE(replaced.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_json_comes_back_as_it_was_and_its_bytes_do_not_depend_on_the_order_of_keys(tmp_path):
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    write_json(first, {"a": [1, 2.5, None], "b": "é"})
    write_json(second, {"b": "é", "a": [1, 2.5, None]})
    assert read_json(first) == {"a": [1, 2.5, None], "b": "é"}
    assert first.read_bytes() == second.read_bytes()


def test_an_absent_or_damaged_json_file_is_named(tmp_path):
    path = tmp_path / "config.json"
    with pytest.raises(UserError, match=r"no file .*config.json"):
        read_json(path)
    for damage in (b'{"a": 1', b"\xff\xfe"):
        path.write_bytes(damage)
        with pytest.raises(UserError, match=r"damaged file .*config.json"):
            read_json(path)


def test_a_record_without_its_checksum_is_damaged(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"a": 1}))
    with pytest.raises(UserError, match="checksum"):
        read_json(path)


def test_hashes_identify_content(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"abc")
    assert sha256(path) == hashlib.sha256(b"abc").hexdigest()
    assert short_hash({"a": 1, "b": 2}) == short_hash({"b": 2, "a": 1}) != short_hash({"a": 2, "b": 2})
    assert len(short_hash(None)) == 8


def test_the_home_is_the_variable_then_the_checkout_then_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("EVOR_HOME", str(tmp_path))
    assert paths.data_dir() == tmp_path / "data"
    monkeypatch.setenv("EVOR_HOME", "~/evor")
    assert paths.home() == Path.home() / "evor"
    monkeypatch.setenv("EVOR_HOME", "")
    assert paths.home() == paths.checkout()
    monkeypatch.setattr(paths, "_PACKAGE", tmp_path / "site-packages" / "evor_eqx")
    monkeypatch.chdir(tmp_path)
    assert paths.home() == tmp_path


def test_notebooks_are_those_of_the_checkout_else_those_of_the_package_else_an_error(tmp_path, monkeypatch):
    root = paths.checkout()
    assert root is not None and paths.notebooks_dir() == root / "notebooks"
    package = tmp_path / "evor_eqx"
    monkeypatch.setattr(paths, "_PACKAGE", package)
    with pytest.raises(UserError, match="no notebooks at"):
        paths.notebooks_dir()
    (package / "notebooks").mkdir(parents=True)
    assert paths.notebooks_dir() == package / "notebooks"


def test_the_next_writer_removes_what_a_killed_one_left(tmp_path):
    path, other = tmp_path / "numbers.json", tmp_path / ".writing-others.12345678.json"
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom evor_eqx.system.files import replacing\n"
        "with replacing(Path(sys.argv[1])): os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL and len(list(tmp_path.iterdir())) == 1
    other.touch()
    with replacing(path):
        pass
    assert sorted(tmp_path.iterdir()) == [other, path]  # of its own path only


def test_two_writers_of_a_file_leave_each_other_alone(tmp_path):
    path = tmp_path / "numbers.json"
    with replacing(path) as slow:
        slow.write_text("slow")
        with replacing(path) as fast:
            fast.write_text("fast")
        assert path.read_text() == "fast" and slow.read_text() == "slow"
    assert path.read_text() == "slow" and list(tmp_path.iterdir()) == [path]


def test_a_link_stays_one_and_what_it_leads_to_is_replaced(tmp_path):
    target, link = tmp_path / "target.txt", tmp_path / "link.txt"
    target.write_text("before")
    link.symlink_to(target)
    with replacing(link) as temporary:
        temporary.write_text("after")
    assert link.is_symlink() and target.read_text() == "after"


def test_a_pipe_is_no_place_for_a_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="which is a pipe or a device"):
        check_writable(tmp_path / "pipe", "to")


def test_asking_whether_a_file_can_be_written_touches_nothing(tmp_path):
    for name in ("out.json.test", "out.json"):
        (tmp_path / name).write_text("precious")
    check_writable(tmp_path / "out.json", "json")
    check_folder(tmp_path, "to")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(
        ("out.json.test", "out.json"), "precious"
    )
