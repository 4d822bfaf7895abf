"""One scoreboard for the whole course: each lesson adds its rows to those stored by earlier lessons."""

import json
from collections.abc import Sequence

from moe_tutorial.course.lesson import lesson_files
from moe_tutorial.show import interval_chart
from moe_tutorial.show.picture import Picture
from moe_tutorial.study.scores import Row, read_rows


def before(lesson: str) -> list[Row]:
    """The rows stored in the notebooks of earlier lessons."""
    rows = []
    for path in lesson_files(suffix=".ipynb"):
        if path.name[:2] < lesson:
            for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
                rows += read_rows("".join("".join(output.get("text", "")) for output in cell.get("outputs", [])))
    return rows


def scoreboard(own: Sequence[Row], title: str) -> Picture:
    """Draw a lesson's rows together with those of earlier lessons, most accurate first."""
    earlier = before(own[0].lesson)
    rows = {
        f"{row.name} ({row.active} of {row.total})": row
        for row in sorted([*earlier, *own], key=lambda row: -row.accuracy.mean)
    }
    return interval_chart(
        {name: row.accuracy for name, row in rows.items()},
        title=title,
        note="Test accuracy on digits4: mean over the seeds, and its 95 % interval. "
        "8 of 32: an image meets 8 of 32 hidden neurons. Grey: dense. In colour: this lesson's experts"
        + (", black: those of earlier lessons." if earlier else "."),
        colors={
            name: "muted" if row.active == row.total else "accent" if row in own else "text"
            for name, row in rows.items()
        },
        unit="test accuracy",
    )
