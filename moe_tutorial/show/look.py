"""The visual language in one place: colour means expert, shape means class, everything else is grey.

``look.json`` beside this file holds every colour, pattern, size and weight; matplotlib, plotly, the widgets and the
site all read it from here, so that expert 3 looks the same wherever it is met.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any, Literal

import matplotlib as mpl

Theme = Literal["light", "dark"]

TOKENS: dict[str, Any] = json.loads(files(__package__).joinpath("look.json").read_text(encoding="utf-8"))


def color(name: str, theme: Theme = "light") -> str:
    """The hex colour of a role: ground, panel, sunken, line, border, muted, text, accent, holds, fails or control."""
    return TOKENS["color"][theme][name]


def expert_color(expert: int, theme: Theme = "light", part: Literal["color", "on", "tint"] = "color") -> str:
    """The hex colour of one expert: its ``color``, the text colour ``on`` it, or the ``tint`` that carries text.

    Raises:
        ValueError: there are 16 colours; they are never recycled, because a colour names one expert.
    """
    experts = TOKENS["experts"]
    if not 0 <= expert < len(experts):
        raise ValueError(f"expert is {expert}; colours exist for the experts 0 to {len(experts) - 1}")
    return experts[expert][theme][part]


def class_marker(label: int) -> str:
    """The marker of a class, as matplotlib names it: a class is a shape, never a colour.

    Raises:
        ValueError: ten shapes exist.
    """
    order = TOKENS["classMarks"]["order"]
    if not 0 <= label < len(order):
        raise ValueError(f"label is {label}; shapes exist for the classes 0 to {len(order) - 1}")
    return order[label]["matplotlib"]


def css_variables(theme: Theme) -> str:
    """CSS variables of every colour: ``--moe-ground`` ...; per expert ``--moe-e0``, ``--moe-on0``, ``--moe-t0``."""
    roles = [f"--moe-{name}:{value}" for name, value in TOKENS["color"][theme].items()]
    roles += [f"--moe-mixlow:{TOKENS['region']['mixLow']}", f"--moe-mixhigh:{TOKENS['region']['mixHigh']}"]
    for expert in TOKENS["experts"]:
        number, parts = expert["id"], expert[theme]
        roles += [
            f"--moe-e{number}:{parts['color']}",
            f"--moe-on{number}:{parts['on']}",
            f"--moe-t{number}:{parts['tint']}",
        ]
    return ";".join(roles)


def css() -> str:
    """The variables for both themes, as JupyterLab and the site name them. Everything else falls to light."""
    light, dark = css_variables("light"), css_variables("dark")
    return (
        f":root{{{light}}}\n"
        f'html[data-theme="dark"],body[data-jp-theme-light="false"]{{{dark}}}\n'
        f'body[data-jp-theme-light="true"],html[data-theme="light"]{{{light}}}\n'
    )


@contextmanager
def matplotlib_style(theme: Theme) -> Iterator[None]:
    """Within it, matplotlib draws in the course's look."""
    size = TOKENS["type"]["figure"]
    ground, text, muted, line = (color(name, theme) for name in ("ground", "text", "muted", "line"))
    with mpl.rc_context(
        {
            "figure.facecolor": ground,
            "axes.facecolor": ground,
            "savefig.facecolor": ground,
            "axes.edgecolor": line,
            "axes.labelcolor": muted,
            "axes.labelsize": size["label"],
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": False,
            "axes.axisbelow": True,
            "grid.color": line,
            "grid.linewidth": TOKENS["stroke"]["hair"],
            "xtick.color": muted,
            "ytick.color": muted,
            "xtick.labelsize": size["tick"],
            "ytick.labelsize": size["tick"],
            "xtick.major.size": 0,
            "ytick.major.size": 0,
            "text.color": text,
            "font.size": size["label"],
            "lines.linewidth": TOKENS["stroke"]["data"],
            "hatch.linewidth": TOKENS["expertPatterns"]["lineWidth"],
            "legend.frameon": False,
        }
    ):
        yield
