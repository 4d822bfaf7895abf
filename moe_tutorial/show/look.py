"""The visual language in one place: colour means expert, shape means class, everything else is grey.

``look.json`` beside this file holds every colour, pattern, size and weight. Matplotlib, plotly, the widgets and the
site all read it, so that expert 3 looks the same everywhere.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any, Literal

import matplotlib as mpl

Theme = Literal["light", "dark"]

LOOK: dict[str, Any] = json.loads(files(__package__).joinpath("look.json").read_text(encoding="utf-8"))
PARTS = {"e": "color", "on": "on", "t": "tint"}
"""Prefix of an expert's CSS variables -> the key of the colour in ``look.json``."""


def color(name: str, theme: Theme = "light") -> str:
    """The hex colour of a role: ground, panel, sunken, line, border, muted, text, accent, holds, fails or control."""
    return LOOK["color"][theme][name]


def expert_color(expert: int, theme: Theme = "light", part: Literal["color", "on", "tint"] = "color") -> str:
    """The hex colour of one expert: its ``color``, the text colour ``on`` it, or the ``tint`` that carries text.

    Raises:
        ValueError: the expert has no colour. There are 16, and none is reused, because a colour names one expert.
    """
    experts = LOOK["experts"]
    if not 0 <= expert < len(experts):
        raise ValueError(f"expert is {expert}; colours exist for the experts 0 to {len(experts) - 1}")
    return experts[expert][theme][part]


def class_marker(label: int) -> str:
    """The marker of a class, as matplotlib names it: a class is a shape, never a colour. There are ten."""
    return LOOK["classMarks"]["order"][label]["matplotlib"]


def css_variables(theme: Theme) -> str:
    """CSS variables of every colour: ``--moe-ground`` ...; per expert ``--moe-e0``, ``--moe-on0``, ``--moe-t0``."""
    values = LOOK["color"][theme] | {f"mix{end}": LOOK["region"][f"mix{end.title()}"] for end in ("low", "high")}
    for expert in LOOK["experts"]:
        values |= {f"{short}{expert['id']}": expert[theme][part] for short, part in PARTS.items()}
    return ";".join(f"--moe-{name}:{value}" for name, value in values.items())


def css() -> str:
    """CSS variables of both themes, which follow JupyterLab's or the site's theme. Other pages are light.

    A dark notebook gets the pictures' ground.
    """
    light, dark = css_variables("light"), css_variables("dark")
    return (
        f":root{{{light}}}\n"
        f'html[data-theme="dark"],body[data-jp-theme-light="false"]{{{dark};.jp-Notebook{{background:var(--moe-ground)}}}}\n'
        f'body[data-jp-theme-light="true"],html[data-theme="light"]{{{light}}}\n'
    )


def styled(rows: dict[str, dict], theme: Theme = "light") -> dict[str, Any]:
    """A library's settings from ``look.json``, with its roles replaced by their colours."""
    return rows["settings"] | {setting: color(role, theme) for setting, role in rows["colors"].items()}


@contextmanager
def matplotlib_style(theme: Theme) -> Iterator[None]:
    """Context manager in which matplotlib draws in the course's style."""
    with mpl.rc_context(styled(LOOK["matplotlib"], theme)):
        yield
