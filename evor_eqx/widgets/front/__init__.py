"""The widgets' own part in the page: one ES module and its style.

`src/` holds the sources; `make front` builds `evor.js` from them with esbuild, and a test builds it anew and compares.
The same module serves JupyterLab, where it talks to the kernel, and pages that need none.
"""

from pathlib import Path

_FOLDER = Path(__file__).parent
SCRIPT = (_FOLDER / "evor.js").read_text(encoding="utf-8")
STYLE = (_FOLDER / "evor.css").read_text(encoding="utf-8")
