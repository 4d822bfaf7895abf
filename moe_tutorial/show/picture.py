"""Matplotlib pictures for light and dark themes and for wide and narrow pages, with a title and an alt text."""

import base64
import html
import io
import itertools
from collections.abc import Callable, Mapping, Sequence

from matplotlib.figure import Figure

from moe_tutorial.show.look import LOOK, Theme, css, matplotlib_style
from moe_tutorial.show.web import read

WIDTH = {"wide": LOOK["layout"]["text"], "narrow": 340}
SHARPNESS = 2  # device pixels for each CSS pixel, so that text is crisp on a phone and a retina screen


class Picture:
    """What :func:`picture` returns; a notebook shows it as HTML."""

    def __init__(self, html: str, title: str):
        self.html, self.title = html, title

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return f"Picture: {self.title}"


def picture(
    draw: Callable[[Figure, Theme], None],
    title: str,
    note: str = "",
    *,
    alt: str,
    height: int = 260,
    narrow_height: int | None = None,
) -> Picture:
    """Draw one picture for both themes and for wide and narrow pages.

    Args:
        draw: called as ``draw(figure, theme)`` four times on an empty figure; it adds its axes and takes its colours
            from the theme. ``is_narrow(figure)`` tells it when to lay them out for a phone.
        title: the message, computed from the data that are shown.
        note: the grey line that explains the encoding.
        alt: what a reader who cannot see the picture needs to know.
        height, narrow_height: of the drawing in CSS pixels.

    Raises:
        ValueError: ``title`` or ``alt`` is empty.
    """
    check_words(title=title, alt=alt)
    heights = {"wide": height, "narrow": narrow_height or height}
    drawings = []
    for theme in ("light", "dark"):
        png = {width: _png(draw, theme, WIDTH[width], heights[width]) for width in WIDTH}
        images = (f'<img class="moe-{width}" src="{png[width]}" alt="{html.escape(alt)}">' for width in WIDTH)
        drawings.append(f'<div class="moe-{theme}">{"".join(images)}</div>')
    return framed(title, note, "".join(drawings))


def table(header: Sequence[str], rows: Mapping[str, Sequence[str]], title: str, note: str = "") -> Picture:
    """A table in the course's look. A column with a cell of more than 60 characters wraps.

    Args:
        header: names of the columns, of which the first holds the rows' names.
        rows: name -> the other cells, as text.
        title, note: as in :func:`picture`.

    Raises:
        ValueError: a row has more or fewer cells than the header.
    """
    for name, cells in rows.items():
        if len(cells) + 1 != len(header):
            raise ValueError(f"row {name!r} has {len(cells)} cells; allowed are {len(header) - 1}, as the header has")
    sides = ["", *(_side(cells) for cells in zip(*rows.values(), strict=True))]
    head = "".join(
        f'<th scope="col"{side}>{html.escape(name)}</th>'
        for side, name in itertools.zip_longest(sides, header, fillvalue="")
    )
    body = "".join(
        f'<tr><th scope="row">{html.escape(name)}</th>'
        + "".join(f"<td{side}>{html.escape(cell)}</td>" for side, cell in zip(sides[1:], cells, strict=True))
        + "</tr>"
        for name, cells in rows.items()
    ).replace(" %", "\N{NO-BREAK SPACE}%")
    # An element that scrolls must be focusable by keyboard.
    scroll = f'<div class="moe-scroll" tabindex="0" role="group" aria-label="{html.escape(title)}">'
    content = f"{scroll}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    return framed(title, note, content)


def _side(cells: Sequence[str]) -> str:
    """The style of a column's cells: words (a digit in few of them) stand on the left, and numbers on the right."""
    digits = [any(character.isdigit() for character in cell) for cell in cells if cell]
    if all(len(cell) <= 24 for cell in cells) and sum(digits) >= len(digits) / 4:
        return ""
    return ' style="text-align:left' + ";white-space:normal" * (max(map(len, cells)) > 60) + '"'


def framed(title: str, note: str, content: str) -> Picture:
    """A picture of HTML content with a title and a note, in the course's colours and font."""
    caption = f'<p class="moe-title">{html.escape(title)}</p>'
    if note:
        caption += f'<p class="moe-note">{html.escape(note)}</p>'
    style = css() + read("web/draw/figure.css")
    return Picture(f'<style>{style}</style><figure class="moe-figure">{caption}{content}</figure>', title)


def check_words(**words: str) -> None:
    """Raise ValueError if a title or an alt text is empty."""
    for name, text in words.items():
        if not text.strip():
            raise ValueError(f"{name} is empty; a picture needs a message and a text alternative")


def is_narrow(figure: Figure) -> bool:
    """Whether this is the narrow drawing, for a phone."""
    return figure.get_figwidth() * 100 < WIDTH["wide"]


def _png(draw: Callable[[Figure, Theme], None], theme: Theme, width: int, height: int) -> str:
    with matplotlib_style(theme):
        # pyplot would keep its figures in the kernel and display them a second time.
        figure = Figure(figsize=(width / 100, height / 100), dpi=100 * SHARPNESS, layout="constrained")
        draw(figure, theme)
        return png_address(figure.savefig)


def png_address(save: Callable[..., object]) -> str:
    """The image that ``save(file, format="png")`` writes, as a data URL."""
    file = io.BytesIO()
    save(file, format="png")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")
