"""An exhibit of the museum: a bug and its repair as code, a switch between them, and the symptom of both as bars."""

import math
from collections.abc import Callable, Mapping
from hashlib import sha256
from html import escape
from inspect import getsource
from textwrap import dedent

import numpy as np
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from moe_tutorial.show.picture import Picture, framed
from moe_tutorial.show.web import read
from moe_tutorial.show.widgets.cards import bars
from moe_tutorial.study.environment import seeds
from moe_tutorial.study.rules import Rule

NAMES = ("as it shipped", "mended")


def exhibit(
    wrong: Callable, right: Callable, symptom: Callable[[Callable, int], float | Mapping], quantity: str, holds: Rule
) -> Picture:
    """Show two versions of a function, one at a time, and what ``symptom`` measures of each.

    Args:
        wrong, right: functions whose source is shown; the lines in which they differ are marked.
        symptom: ``symptom(version, seed)`` is one number, or a mapping of a condition to its number.
        quantity: what the numbers are, the title.
        holds: the rule that the numbers of ``right`` must pass, and those of ``wrong`` must not.

    Raises AssertionError if ``wrong`` passes the rule, or ``right`` does not.
    """
    (seed,) = seeds(1)
    found = [symptom(version, seed) for version in (wrong, right)]
    curves = [each if isinstance(each, Mapping) else {"": each} for each in found]
    for name, curve, passes in zip(NAMES, curves, (False, True), strict=True):
        if holds(np.array([*curve.values()], dtype=float)) != passes:
            must = "must hold" if passes else "must not hold"
            raise AssertionError(f"{quantity}, {name}, is {[*curve.values()]}; {must}: {holds}")
    if "" in curves[0]:
        curves = [{name: curve[""] for name, curve in zip(NAMES, curves, strict=True)}] * 2
    whole = max(filter(math.isfinite, [*curves[0].values(), *curves[1].values()]))
    sources = [dedent(getsource(version)).rstrip() for version in (wrong, right)]
    group = sha256("".join([quantity, *sources]).encode()).hexdigest()[:12]
    choices, shown = "", ""
    for number, (name, source, curve) in enumerate(zip(NAMES, sources, curves, strict=True)):
        checked = "" if number else " checked"
        choices += f'<label><input type="radio" name="moe-{group}"{checked}>{name.capitalize()}</label>'
        lengths = {row: value if math.isfinite(value) else 0.0 for row, value in curve.items()}
        texts = {row: "NaN" if math.isnan(value) else f"{value:.3g}" for row, value in curve.items()}
        drawn = bars(lengths, quantity, [name] if name in curve else [*curve], whole, texts)
        shown += f"<div>{_code(source, sources[1 - number], quantity)}{drawn}</div>"
    switch = f'<fieldset><legend class="moe-sr">Version</legend>{choices}</fieldset>'
    style = f"<style>{read('web/widgets/cards.css')}{read('web/widgets/exhibit.css')}</style>"
    return framed(quantity, "", f'{style}<div class="moe-exhibit">{switch}{shown}</div>')


def _code(source: str, other: str, label: str) -> str:
    """A version's source as HTML, with the lines marked that the other version lacks."""
    lines = highlight(source, PythonLexer(), HtmlFormatter(nowrap=True)).rstrip("\n").split("\n")
    known = other.replace("def right", "def wrong").split("\n")
    marked = "\n".join(
        html if text.replace("def right", "def wrong") in known else f"<mark>{html}</mark>"
        for html, text in zip(lines, source.split("\n"), strict=True)
    )
    # An element that scrolls must be focusable by keyboard.
    return (
        f'<div class="moe-code" tabindex="0" role="group" aria-label="{escape(label)}: code"><pre>{marked}</pre></div>'
    )
