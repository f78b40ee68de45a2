"""Controls with a label, a tooltip, a class to find them by, and a name for screen readers."""

from typing import TypeVar

import ipywidgets
from IPython.display import Javascript

Control = TypeVar("Control", bound=ipywidgets.DOMWidget)
_STYLE = {"description_width": "15em"}
_LAYOUT = {"width": "33em", "max_width": "100%"}


def control(widget: Control, name: str, label: str, tooltip: str) -> Control:
    """Give a control its label, its tooltip and the class `evor-<name>`.

    **Arguments:**

    - `widget`: the control.
    - `name`: ends its class.
    - `label`, `tooltip`: what the page shows beside it, and over it.

    **Returns:**

    The control.
    """
    widget.add_class("evor-control").add_class(f"evor-{name}")
    traits = {"description": label, "tooltip": tooltip, "description_tooltip": tooltip}
    if not isinstance(widget, ipywidgets.Button | ipywidgets.ToggleButton):
        traits |= {"layout": _LAYOUT, "style": _STYLE}
    for trait, value in traits.items():
        if widget.has_trait(trait):
            widget.set_trait(trait, value)
    return widget


def for_the_page() -> Javascript:
    """Code for the page that does what ipywidgets does not.

    It names each slider's handle by its control's label. In a dark theme it turns the lightness of drawn pictures
    around and keeps their hues, so that they are no white boxes. White becomes #111, which is JupyterLab's background.
    """
    return Javascript(
        """
        if (!document.getElementById('evor-style')) {
            const style = document.createElement('style');
            style.id = 'evor-style';
            const dark = "[data-jp-theme-light='false'] .evor-picture";
            style.textContent = `${dark} {filter: invert(.933) hue-rotate(180deg);}`;
            document.head.append(style);
        }
        const name = () => document.querySelectorAll('.evor-control').forEach((control) => {
            const label = control.querySelector('label, .widget-label');
            control.querySelectorAll('.noUi-handle').forEach((handle) => {
                if (label && handle.getAttribute('aria-label') !== label.textContent)
                    handle.setAttribute('aria-label', label.textContent);
            });
        });
        name();
        if (!window.evorNames) {
            window.evorNames = new MutationObserver(name);
            window.evorNames.observe(document.body, {childList: true, subtree: true});
        }
        """
    )


def spoken(text: str = "", name: str = "message") -> ipywidgets.HTML:
    """A line of text that is read out when it changes, of class `evor-<name>`."""
    line = ipywidgets.HTML()
    line.add_class(f"evor-{name}")
    say(line, text)
    return line


def say(line: ipywidgets.HTML, text: str) -> None:
    """Change a `spoken` line; `text` is plain text."""
    safe = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    line.value = f'<p role="status" aria-live="polite" style="max-width: 60em; line-height: 1.4">{safe}</p>'
