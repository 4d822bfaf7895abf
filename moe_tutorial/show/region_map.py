"""Maps of the experts' regions in the plane, as SVG that adapts to the theme and the width of the page.

A region has its expert's colour, stronger where the router is more confident. A point's shape shows its class.
"""

import hashlib
import html
from collections.abc import Mapping

import numpy as np
from contourpy import FillType, contour_generator
from matplotlib.markers import MarkerStyle
from matplotlib.path import Path
from PIL import Image

from moe_tutorial.show import look
from moe_tutorial.show.picture import Picture, check_words, framed, png_address
from moe_tutorial.show.web import read
from moe_tutorial.show.widgets.cards import badge

SIDE = 100
"""Side of a map in SVG units; the origin is the upper left corner."""


def region_map(
    probs: np.ndarray,
    places: np.ndarray | None = None,
    points: np.ndarray | None = None,
    labels: np.ndarray | None = None,
) -> str:
    """A map of the plane, as HTML, with each expert's number in its region.

    Args:
        probs: (resolution², E) the router's probabilities at the grid points; one-hot if only the winner is known. At
            most 16 experts.
        places: (resolution², 2) the grid points that :func:`grid` returns; required with ``points``.
        points, labels: (N, 2) and (N,) data to show; each class has its own shape.
    """
    table = np.asarray(probs, dtype=float)
    side, n_experts = round(len(table) ** 0.5), table.shape[-1]
    winner, confidence = (values.reshape(side, side) for values in (table.argmax(-1), table.max(-1)))
    experts = np.unique(winner).tolist()
    regions = "".join(f'<path d="{_outline(table, expert)}" fill="var(--moe-e{expert})"/>' for expert in experts)
    mask = _mask(confidence, n_experts)
    name = f"moe-{hashlib.sha1((mask + regions).encode()).hexdigest()[:10]}"  # unique on any page
    marks = ""
    if points is not None:
        marks = _marks(name, *(np.asarray(each) for each in (places, points, labels)))
    numbers = []
    for expert in experts:
        x, y = SIDE * middle(winner == expert) / (side - 1)
        numbers.append(f'<span style="left:{x:.1f}%;top:{y:.1f}%">{badge(expert)}</span>')
    return (
        '<div class="moe-map" role="img" '
        f'aria-label="Map of the plane; regions of the experts {", ".join(map(str, experts))}">'
        f'<svg viewBox="0 0 {SIDE} {SIDE}" aria-hidden="true"><mask id="{name}">{mask}</mask>'
        f'<g mask="url(#{name})">{regions}</g>{marks}</svg>{"".join(numbers)}</div>'
    )


def region_maps(
    maps: Mapping[str, np.ndarray],
    places: np.ndarray,
    points: np.ndarray,
    labels: np.ndarray,
    title: str,
    note: str,
    *,
    alt: str,
) -> Picture:
    """Maps side by side, as many in a row as fit, each below its name.

    Args:
        maps: name -> probabilities, as in :func:`region_map`.
        places, points, labels: as in :func:`region_map`, the same on each map.
        title, note, alt: as in :func:`picture`.
    """
    check_words(title=title, alt=alt)
    width = 260 if len(maps) < 3 else 140
    pieces = "".join(
        f'<div><p class="moe-note">{html.escape(name)}</p>{region_map(probs, places, points, labels)}</div>'
        for name, probs in maps.items()
    )
    shape = f'class="moe-maps" style="--least:{width}px" role="img" aria-label="{html.escape(alt)}"'
    return framed(title, note, f"<style>{read('web/widgets/cards.css')}</style><div {shape}>{pieces}</div>")


def middle(mine: np.ndarray) -> np.ndarray:
    """Column and row of a region's label: its grid point nearest to its mean, which may lie outside the region."""
    places = np.argwhere(mine)[:, ::-1]
    return places[np.square(places - places.mean(0)).sum(-1).argmin()]


def _outline(table: np.ndarray, expert: int) -> str:
    """An expert's region as an SVG path.

    Logits, not winners, are interpolated between the grid points, so that a straight border stays straight.
    """
    logits = np.log(table.clip(min=1e-12))
    lead = logits[:, expert] - np.delete(logits, expert, 1).max(1, initial=-99.0)
    side = round(len(table) ** 0.5)
    along = np.linspace(0, SIDE, side)
    contours = contour_generator(along, along, lead.reshape(side, side), fill_type=FillType.OuterOffset)
    rings = [
        ring
        for corners, ends in zip(*contours.filled(0, np.inf), strict=True)
        for ring in np.split(corners, ends[1:-1].astype(int))
    ]
    return "".join("M" + "L".join(f"{x:.4g} {y:.4g}" for x, y in ring[:-1]) + "Z" for ring in rings)


def _mask(confidence: np.ndarray, n_experts: int) -> str:
    """The mask of the colours' strength: an SVG image whose pixel centres lie on the grid points."""
    low, high = look.LOOK["region"]["mixLow"], look.LOOK["region"]["mixHigh"]
    sure = (confidence * n_experts - 1) / max(n_experts - 1, 1)
    image = Image.fromarray(np.rint(255 * (low + (high - low) * sure)).astype(np.uint8))
    cell = SIDE / (len(confidence) - 1)
    return (
        f'<image x="{-cell / 2:.3f}" y="{-cell / 2:.3f}" width="{SIDE + cell:.3f}" height="{SIDE + cell:.3f}" '
        f'href="{png_address(image.save)}"/>'
    )


def _marks(name: str, places: np.ndarray, points: np.ndarray, labels: np.ndarray) -> str:
    """The points as SVG: the shape of each class is defined once and reused for its points."""
    low, high = places.min(0), places.max(0)
    xs, ys = (SIDE * (points - low) / (high - low)).T
    shapes = "".join(f'<path id="{name}-{label}" {_shape(label)}/>' for label in np.unique(labels).tolist())
    marks = zip(xs, SIDE - ys, labels, strict=True)
    uses = "".join(f'<use href="#{name}-{label}" x="{x:.1f}" y="{y:.1f}"/>' for x, y, label in marks)
    return f"<defs>{shapes}</defs>{uses}"


def _shape(label: int) -> str:
    """Attributes of the SVG path of a class's marker, centred at (0, 0), with its colours."""
    marker = MarkerStyle(look.class_marker(label))
    path = ""
    for corners, code in marker.get_path().transformed(marker.get_transform().scale(2.4, -2.4)).iter_segments():
        path += "Z" if code == Path.CLOSEPOLY else "?MLQC"[code] + " ".join(f"{number:.3g}" for number in corners)
    inner, line = ("var(--moe-text)", "var(--moe-ground)") if marker.is_filled() else ("none", "var(--moe-text)")
    return f'd="{path}" fill="{inner}" stroke="{line}" stroke-width=".5"'
