"""Typeset formulas with KaTeX when the site is built, so that pages show them at once and without JavaScript.

Each formula includes MathML for screen readers.
"""

import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.errors import ExtensionError

CODE = """
const [formula, displayMode] = JSON.parse(require("fs").readFileSync(0, "utf8"));
process.stdout.write(require("katex").renderToString(formula, { displayMode, strict: "error" }));
"""


@cache
def typeset(formula: str, block: bool, packages: Path) -> str:
    """A LaTeX formula as HTML.

    Raises ExtensionError if KaTeX rejects the formula.
    """
    asked = json.dumps([formula, block])
    done = subprocess.run(["node", "-e", CODE], cwd=packages, input=asked, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = next((line for line in done.stderr.splitlines() if "Error: " in line), done.stderr)
        raise ExtensionError(f"the formula {formula!r} cannot be set: {reason.strip()}")
    return done.stdout


def visit(translator: Any, node: nodes.math | nodes.math_block) -> None:
    """Write a formula into its page."""
    block = isinstance(node, nodes.math_block)
    packages = Path(translator.builder.srcdir).parent / "_build/npm"
    tag = "div" if block else "span"
    translator.body.append(translator.starttag(node, tag, "", CLASS="math notranslate nohighlight"))
    translator.body.append(f"{typeset(node.astext(), block, packages)}</{tag}>")
    raise nodes.SkipNode
