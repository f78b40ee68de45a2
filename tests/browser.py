"""A real JupyterLab and a real browser for the tests of what people see: server, page, and ways to wait for both."""

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
HOW_TO = "no Chromium: on Debian `apt-get install chromium`, then run the browser tests again"
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
_FLAGS += ["--disable-background-networking", "--disable-component-update"]
_SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True},
    "notebook-extension/tracker": {"windowingMode": "none"},
}
_ASKED_FOR = "() => [...document.querySelectorAll('.jp-InputPrompt')].some(p => /[*0-9]/.test(p.innerText))"


@contextlib.contextmanager
def jupyter_lab(folder: Path, root: Path) -> Iterator[tuple[str, str]]:
    """JupyterLab on `root` with all of its own folders in `folder`; yields its address and token."""
    port, token = _free_port(), secrets.token_hex(16)
    names = ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR")
    variables = {f"JUPYTER_{name}": str(folder / name.lower()) for name in names}
    variables |= {f"JUPYTERLAB_{name}_DIR": str(folder / name.lower()) for name in ("SETTINGS", "WORKSPACES")}
    variables |= {"IPYTHONDIR": str(folder / "ipython"), "HOME": str(folder), "MPLBACKEND": ""}
    for name, value in _SETTINGS.items():
        path = folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value))
    environment = {key: value for key, value in os.environ.items() if key not in ("CI", "EVOR_QUIET", "MPLBACKEND")}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={port}", "--allow-root"]
    command += ["--ServerApp.port_retries=0", f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={root}"]
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(
            [*command, "--expose-app-in-browser"],
            env={**environment, **variables, "MPLBACKEND": "module://matplotlib_inline.backend_inline"},
            stdout=log,
            stderr=log,
        )
        try:
            address = f"http://127.0.0.1:{port}"
            _wait_for_server(address, token, folder / "server.log")
            yield address, token
        finally:
            server.terminate()
            server.wait(20)


@contextlib.contextmanager
def browser_page(width: int, height: int = 900, **options: Any) -> Iterator[Any]:
    """A page of a headless Chromium. `options` are those of a page of Playwright, such as `color_scheme`."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=_FLAGS)
        page = browser.new_page(viewport={"width": width, "height": height}, **options)
        page.set_default_timeout(60_000)
        yield page
        browser.close()


def run_notebook(page: Any, address: str, token: str, name: str) -> None:
    """Open a notebook that has not been run over the whole width, wait for its kernel, and run all cells."""
    from playwright.sync_api import TimeoutError as TooLate

    page.goto(f"{address}/doc/tree/{name}?token={token}")
    page.wait_for_function("() => typeof jupyterapp !== 'undefined'")  # it comes some time after the page
    page.evaluate("() => jupyterapp.restored.then(() => true)")
    # The indicator reads idle before there is a kernel, and running all cells would then be lost without a word.
    page.wait_for_function(
        """() => {
            const panel = jupyterapp.shell.currentWidget;
            const session = panel && panel.sessionContext;
            return session && session.isReady && session.session && session.session.kernel &&
                session.session.kernel.connectionStatus === 'connected' && session.session.kernel.status === 'idle';
        }""",
        timeout=120_000,
    )
    for _ in range(6):  # the command can still be lost: a cell that is asked for has a star or a number
        page.evaluate("() => { jupyterapp.commands.execute('notebook:run-all-cells'); }")
        with contextlib.suppress(TooLate):
            page.wait_for_function(_ASKED_FOR, timeout=10_000)
            return
    raise AssertionError(f"{name} does not run")


def settle(page: Any) -> None:
    """Wait until the kernel has nothing left to do, and the page has shown it."""
    for _ in range(2):
        page.wait_for_timeout(400)
        page.wait_for_function(
            "() => jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'idle'", timeout=120_000
        )


def error_outputs(page: Any) -> list[str]:
    """What cells printed as errors."""
    selector = '.jp-RenderedText[data-mime-type="application/vnd.jupyter.stderr"], .jp-OutputArea-output .ansi-red-fg'
    return [element.inner_text() for element in page.query_selector_all(selector)]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_for_server(address: str, token: str, log: Path) -> None:
    request = urllib.request.Request(f"{address}/api/status", headers={"Authorization": f"token {token}"})
    for _ in range(240):
        with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=2):
            return
        time.sleep(0.25)
    raise RuntimeError(f"JupyterLab did not start: {log.read_text()[-2000:]}")
