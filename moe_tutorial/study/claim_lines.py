"""Read the lines that ``claim`` prints: one home for their shape, for the site, nbval and the course's own count.

A line reads: mark, id, verdict, statement, then fields set apart by ``|``::

    ✓ claim 02.1 holds: Experts win | measured 0.12 [0.11, 0.14] | ○ control (dice) 0.00 [-0.01, 0.01] | 10 seeds
    – claim 09.4 not on this machine: It is faster | measured here 1.02 [0.97, 1.07] | 4 runs
"""

import re
from dataclasses import dataclass

NUMBER = r"[-+]?(?:\d[\d,]*\.?\d*(?:e[-+]?\d+)?|inf|nan)%?"
FIGURE = rf"{NUMBER}(?: \[{NUMBER}, {NUMBER}\])?"

LINE = re.compile(
    r"^(?P<mark>[✓✗–]) claim (?P<id>\S+) (?P<verdict>\w[\w ]*): (?P<statement>[^\n]*?)"
    rf" \| measured (?P<timed>here )?(?P<measured>{FIGURE})"
    rf"(?: \| ○ control(?: \((?P<control_is>[^|\n]*)\))? (?P<control>{FIGURE}))?"
    r"(?: \| (?P<n_seeds>\d+) (?:seeds?|runs))?"
    r"(?: \| ✗ refutes: (?P<refutes>[^\n]*))?$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Figure:
    """A mean with its interval, as printed; without an interval, ``low`` and ``high`` are None."""

    text: str
    mean: float
    low: float | None
    high: float | None

    @classmethod
    def read(cls, text: str) -> "Figure":
        """Read ``0.12 [0.11, 0.14]``."""
        numbers = [float(n.replace(",", "").rstrip("%")) for n in re.findall(NUMBER, text.replace(", ", " "))]
        return cls(text, *numbers) if len(numbers) == 3 else cls(text, numbers[0], None, None)

    def ends(self) -> tuple[float, float, float]:
        """Low, mean and high; all the same for a lone figure."""
        if self.low is None or self.high is None:
            return self.mean, self.mean, self.mean
        return self.low, self.mean, self.high

    def agrees(self, other: "Figure") -> bool:
        """Whether mean and interval are no further off than this interval is wide, and a little for a lone figure.

        CPUs differ in the last digits of a sum, and training carries that into the third digit of a mean.
        """
        low, mean, high = self.ends()
        slack = high - low + 0.01 * abs(mean) + 0.001  # one unit of the last printed digit
        return all(abs(here - there) <= slack for here, there in zip(self.ends(), other.ends(), strict=True))


@dataclass(frozen=True)
class Claim:
    """One claim line. ``holds`` follows the mark, which is what a reader sees first.

    ``timed``: times, of another machine other ones ("measured here"). ``n_seeds`` then counts the runs, and a claim
    that does not hold is not false, but "not on this machine".
    """

    id: str
    holds: bool
    verdict: str
    statement: str
    measured: Figure
    control: Figure | None
    control_is: str
    n_seeds: int | None
    refutes: str
    timed: bool

    @classmethod
    def read(cls, line: str) -> "Claim | None":
        """The claim in this line, or None if the line is none."""
        found = LINE.match(line)
        if not found:
            return None
        part = found.groupdict()
        return cls(
            id=part["id"],
            holds=part["mark"] == "✓",
            verdict=part["verdict"],
            statement=part["statement"],
            measured=Figure.read(part["measured"]),
            control=Figure.read(part["control"]) if part["control"] else None,
            control_is=part["control_is"] or "",
            n_seeds=int(part["n_seeds"]) if part["n_seeds"] else None,
            refutes=part["refutes"] or "",
            timed=bool(part["timed"]),
        )


def read_claims(text: str) -> list[Claim]:
    """Every claim in a text, in order."""
    return [claim for line in text.splitlines() if (claim := Claim.read(line))]


def printed(outputs: list) -> str:
    """What a cell printed: the text of its streams, in order."""
    return "".join(output["text"] for output in outputs if output["output_type"] == "stream")
