"""FILE.py:NAME: a file is executed once, what it defines is found, and whatever goes wrong there is said in words."""

import pickle
import subprocess
import sys
from pathlib import Path

import cloudpickle
import pytest

from evor_eqx.errors import UserError
from evor_eqx.system import own_files
from evor_eqx.system.own_files import execute, is_own, load, split


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder for files of the user's; their modules are forgotten after the test."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(own_files, "_neighbours", {})
    monkeypatch.setattr(own_files, "_sources", {})
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


def written(folder, code, name="own_swing.py"):
    """A file with this code."""
    file = folder / name
    file.parent.mkdir(exist_ok=True, parents=True)
    file.write_text(code)
    return file


@pytest.mark.parametrize("name", ["mine.py:swing", "../a folder/my-file.py:swing_2", "/tmp/mine.py:größe"])
def test_file_and_name_are_told_apart(name):
    file, attribute = name.split(":")
    assert is_own(name) and split(name) == (Path(file), attribute)


@pytest.mark.parametrize(
    "name", ["", "cube-single-play-task2", "mine:swing", "mine.py.txt:swing", ".py:swing", "mine.pyc"]
)
def test_other_names_are_no_files(name):
    assert not is_own(name)


@pytest.mark.parametrize("name", ["mine.py", "mine.py:", "mine.py:swing-up", "mine.py:a.b", "mine.py:swing\n"])
def test_a_file_without_a_good_name_is_meant_to_be_one(name):
    assert is_own(name)
    with pytest.raises(UserError, match=r"expected FILE.py:NAME; add the name"):
        split(name)


def test_an_object_or_what_a_function_returns(folder):
    file = written(folder, "number = 3\ndef made(): return 4\nclass Number(int): pass\nmake = Number")
    assert [load(f"{file}:{name}", int, "number") for name in ("number", "made", "Number")] == [3, 4, 0]


def test_a_file_and_its_functions_are_executed_once_however_the_file_is_spelled(folder, capsys):
    code = "print('file')\ndef made():\n    print('function')\n    return [3]"
    written(folder, code, "inner/own_swing.py")
    (folder / "link.py").symlink_to(folder / "inner" / "own_swing.py")
    spellings = [folder / "inner/own_swing.py", "inner/own_swing.py", "inner/../inner/own_swing.py", "link.py"]
    assert len({id(load(f"{spelling}:made", list, "list")) for spelling in spellings}) == 1
    assert capsys.readouterr().out == "file\nfunction\n"


def test_a_function_that_failed_is_called_again(folder):
    file = written(folder, "calls = []\ndef made():\n    calls.append(1)\n    return 10 // (len(calls) - 1)")
    with pytest.raises(UserError, match="ZeroDivisionError"):
        load(f"{file}:made", int, "number")
    assert load(f"{file}:made", int, "number") == 10


def test_objects_that_are_called_need_no_hash(folder):
    file = written(folder, "class Made(list):\n    def __call__(self): return 3\nmade = Made()")
    assert load(f"{file}:made", int, "number") == 3


def test_a_file_finds_its_neighbours_and_travels_by_value(folder):
    written(folder, "SCALE = 3", "inner/own_neighbour.py")
    file = written(folder, "import own_neighbour\ndef scale(): return own_neighbour.SCALE", "inner/my swing-up.py")
    module = execute(file)
    assert sys.modules["my_swing_up"] is module and sys.path[0] == str(file.parent)
    scale = cloudpickle.dumps(lambda: module.scale.__name__)
    del sys.modules["my_swing_up"]  # as in a process that does not know the file
    assert pickle.loads(scale)() == "scale"


WRONG = {
    "no such name": ("swings = 3", "has no 'swing': expected a number, or a function; it has swings; check"),
    "an empty file": ("", "it has nothing of its own"),
    "another class": ("swing = 'three'", "got str, expected a number, or a function that makes one; mend it"),
    "a function that returns another class": ("def swing(): pass", "got NoneType, expected a number"),
    "a function with an argument": ("def swing(level): pass", "TypeError .*level"),
    "a function that raises": ("def swing():\n    return [][0]", r"IndexError .*, line 2 of \S*own_swing.py"),
    "a function that leaves": ("import sys\ndef swing(): sys.exit(3)", r"SystemExit \(3\), line 2 of \S*own_swing.py"),
    "a file that raises": ("one = 1\none / 0", r"ZeroDivisionError .*, line 2 of \S*own_swing.py"),
    "a file that leaves": ("raise SystemExit", r"SystemExit \(\), line 1 of \S*own_swing.py"),
    "a file that removes its folder": ("import sys\nsys.path.pop(0)\n1 / 0", "ZeroDivisionError .*, line 3"),
    "a file that forgets itself": ("import sys\ndel sys.modules[__name__]\n1 / 0", "ZeroDivisionError .*, line 3"),
    "an error inside of a library": (
        "import json\n\njson.loads('{')",
        r"JSONDecodeError .*, line 3 of \S*own_swing.py",
    ),
    "an error inside of the package": (
        "from evor_eqx.system.json_records import read_json\nread_json(3)",
        r"Error .*, line 2 of \S*own_swing.py",
    ),
    "a wrong syntax": ("one = 1\ndef swing(:", r"SyntaxError .*, line 2 of \S*own_swing.py"),
    "a wrong syntax of a text": ("eval('1 +')", "SyntaxError .*, line 1 of <string>"),
    "a missing module": ("import own_nowhere", "ModuleNotFoundError .*own_nowhere"),
    "a file that needs itself": (
        "from evor_eqx.system.own_files import load\nload(__file__ + ':swing', int, 'number')\nswing = 3",
        "has no 'swing'",
    ),
}


@pytest.mark.parametrize(("code", "words"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_in_a_file_is_said_and_the_file_can_be_mended(code, words, folder):
    file, path = written(folder, code), list(sys.path)
    with pytest.raises(UserError, match=words):
        load(f"{file}:swing", int, "number")
    if "own_swing" not in sys.modules:  # the file itself could not be executed
        assert sys.path == path
        written(folder, "swing = 3  # mended, and of another length")
        assert load(f"{file}:swing", int, "number") == 3


@pytest.mark.parametrize("file", ["nowhere.py", "", "~nobody_of_this_name/mine.py", f"{'x' * 300}.py", "a\0b.py", "."])
def test_no_file(file, folder):
    with pytest.raises(UserError, match=r"no file .*: expected a Python file; check its name and folder"):
        execute(Path(file))


@pytest.mark.parametrize("name", ["json", "numpy", "evor_eqx", "wave", "own_swing"])
def test_another_module_of_the_same_name(name, folder):
    execute(written(folder, "swing = 3"))
    with pytest.raises(UserError, match=f"another module '{name}', expected a name of its own; rename the file"):
        execute(written(folder, "swing = 3", f"inner/{name}.py"))


def test_errors_of_the_user_and_interrupts_pass(folder):
    file = written(folder, "from evor_eqx.errors import UserError\nraise UserError('got this; do that')")
    with pytest.raises(UserError, match=r"^got this; do that$"):
        execute(file)
    file.write_text("raise KeyboardInterrupt  # by the user")
    with pytest.raises(KeyboardInterrupt):
        execute(file)


SCRIPT = """
print("executed")
from evor_eqx.system.own_files import load
number = 3
print(load(__file__ + ":number", int, "number"))
"""


def test_a_script_that_names_itself_is_not_executed_again(folder):
    file = written(folder, SCRIPT)
    done = subprocess.run([sys.executable, file], capture_output=True, text=True)
    assert done.stdout == "executed\n3\n", done.stderr


def test_a_file_that_was_changed_is_executed_again(folder):
    file = written(folder, "def number(): return 3")
    assert load(f"{file}:number", int, "number") == 3
    written(folder, "def number(): return 4")
    assert load(f"{file}:number", int, "number") == 4


def test_two_neighbours_of_one_name_are_refused_wherever_an_import_would_find_the_other(folder):
    """In this process Python would hand out the first one, in a worker process the first one on its path."""
    one = written(folder / "one", "import own_helper", "own_one.py")
    two = written(folder / "two", "def late(): import own_helper", "own_two.py")
    three = written(folder / "three", "", "own_three.py")
    for each in (one, two, three):
        written(each.parent, f"NAME = {str(each)!r}", "own_helper.py")
    assert str(one) == execute(one).own_helper.NAME
    for other in (two, three):
        with pytest.raises(UserError, match=r"own_helper.py and .*own_helper.py, which have one name.*rename one"):
            execute(other)


def test_neighbours_of_neighbours_count_and_a_folder_of_two_files_may_share_its_neighbours(folder):
    files = [written(folder / "one", "import own_between", name) for name in ("own_first.py", "own_second.py")]
    written(folder / "one", "import own_last", "own_between.py")
    written(folder / "one", "", "own_last.py")
    assert all(map(execute, files))
    other = written(folder / "other", "import own_last", "own_other.py")
    written(folder / "other", "", "own_last.py")
    with pytest.raises(UserError, match=r"own_last.py and .*own_last.py"):
        execute(other)


def test_a_neighbour_that_was_changed_is_imported_again(folder):
    """Worker processes import it from the disk; so does this one."""
    file = written(folder, "import own_scale\ndef number(): return own_scale.SCALE")
    written(folder, "SCALE = 3", "own_scale.py")
    assert load(f"{file}:number", int, "number") == 3
    written(folder, "SCALE = 45", "own_scale.py")
    assert load(f"{file}:number", int, "number") == 45


def test_a_folder_of_modules_without_an_init_is_a_neighbour_too(folder):
    files = []
    for place in ("one", "two"):
        files.append(written(folder / place, "from own_parts import scale", f"own_{place}.py"))
        written(folder / place / "own_parts", f"NAME = {place!r}", "scale.py")
    assert execute(files[0]).scale.NAME == "one"
    with pytest.raises(UserError, match=r"own_parts and .*own_parts, which have one name"):
        execute(files[1])
