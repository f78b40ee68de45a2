"""Find an OpenGL backend with which MuJoCo can draw pictures here.

A backend whose library is missing fails only when it draws, and may end the process. So each backend is tried once, in
a process of its own. MuJoCo reads `MUJOCO_GL` when it is imported: the variable is set, and modules of MuJoCo that were
imported before are reloaded.
"""

import functools
import importlib
import os
import platform
import subprocess
import sys
import threading

_one_at_a_time = threading.Lock()
_BACKENDS = {"Linux": ("egl", "osmesa")}  # elsewhere MuJoCo's own choice works
_PROBE = """
import mujoco
model = mujoco.MjModel.from_xml_string("<mujoco/>")
with mujoco.Renderer(model, 8, 8) as renderer:
    renderer.update_scene(mujoco.MjData(model))
    renderer.render()
"""


def prepare() -> str:
    """Let MuJoCo draw with the first backend that works.

    If `MUJOCO_GL` is set, only that backend is tried. Each backend is tried only once in the life of this process.

    **Returns:** "", or a message that says why no backend works and what to do.
    """
    with _one_at_a_time:  # MuJoCo takes its backend from a variable, and its modules are reloaded
        return _prepare()


def _prepare() -> str:
    asked = os.environ.get("MUJOCO_GL")
    names = (asked,) if asked else _BACKENDS.get(platform.system(), ("",))
    for name in names:
        if _works(name):
            _use(name)
            return ""
    tried = f"MUJOCO_GL is {asked!r}, which does not work" if asked else f"none of {', '.join(names)} works"
    return (
        f"No pictures of the physics: {tried} here, expected an OpenGL backend. On Debian or Ubuntu: "
        f"apt-get install libegl1 libgl1-mesa-dri{', unset MUJOCO_GL' if asked else ''}, and start Python again."
    )


@functools.cache
def _works(name: str) -> bool:
    environment = os.environ | {"MUJOCO_GL": name}
    try:
        probe = subprocess.run([sys.executable, "-c", _PROBE], env=environment, capture_output=True, timeout=60)
    except subprocess.TimeoutExpired:
        return False
    return probe.returncode == 0


@functools.cache
def _use(name: str) -> None:
    """Set the backend for this process and its children, also if MuJoCo was imported before."""
    os.environ["MUJOCO_GL"] = name
    for module in ("mujoco.rendering.classic.gl_context", "mujoco.gl_context"):
        if module in sys.modules:
            importlib.reload(sys.modules[module])
