"""A widget's modules become one text: in scopes of their own, and without what nobody reads."""

import json
import subprocess

import pytest

from moe_tutorial.show import web


@pytest.fixture
def bundled(monkeypatch):
    """The bundle of these files, of which the first is the entry."""

    def bundled(**files):
        files = {f"{name}.js": text for name, text in files.items()}
        monkeypatch.setattr(web, "read", files.__getitem__)
        return web.bundle.__wrapped__(next(iter(files)))

    return bundled


def test_each_module_has_a_scope_of_its_own(bundled, node, tmp_path):
    code = bundled(
        entry='import { one } from "./one.js";\nconst two = 20; // its own\nexport default { sum: one() + two };\n',
        one='import { two } from "./two.js";\nconst hidden = [\n  1, // by itself\n  `{ ${two} , `,\n];\n'
        "/** @returns {number} */\nexport function one() {\n  // in two lines\n  return hidden[0] + two;\n}\n",
        two="const hidden = 2;\nexport const two = hidden;\n",
    )
    module = tmp_path / "module.mjs"
    module.write_text(f"{code}\n", encoding="utf-8")
    show = f"import it from {json.dumps(module.as_uri())}; console.log(it.sum);"
    done = subprocess.run([node, "--input-type=module", "-e", show], capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("23", "")
    assert "//" not in code.replace("://", "")
    assert "/*" not in code


# Of a slider from 0: its end and step, what was said and measured, and the verdict.
GUESSES = [
    (60, 1, 30, 30.4, "right"),
    (60, 1, 30, 30.6, "near"),
    (300, 10, 60, 20, "far"),  # three times as many
    (8, 1, 3, 4.4, "near"),  # off by less than a third
    (60, 1, 6, 0, "near"),  # off by a tenth of the slider
    (60, 1, 7, 0, "far"),
    (60, 1, 39, 60, "far"),
    (60, 1, 40, 60, "near"),
]


def test_a_guess_is_near_within_a_tenth_of_the_slider_or_a_third_of_what_was_measured(engine):
    judge = "([high, step, said, measured]) => verdict(said, measured, { low: 0, high, step })"
    judged = engine("run", code=f"return {json.dumps(GUESSES)}.map({judge});")
    assert judged == [verdict for *_, verdict in GUESSES]


def test_a_number_may_be_a_decimal_or_a_fraction(engine):
    texts = ["0.25", "0,25", " 1/4 ", "-3", "1/0", "1/", "/4", "1/2/2", "a third", ""]
    assert engine("run", code=f"return {json.dumps(texts)}.map(numberIn);") == [0.25, 0.25, 0.25, -3, *[None] * 6]
