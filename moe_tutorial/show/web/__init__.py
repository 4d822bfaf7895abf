"""Bundles of the widgets' JavaScript and CSS. They load nothing else, and run with or without a kernel."""

import json
import posixpath
import re
from functools import cache, partial
from importlib.resources import files

from moe_tutorial.show import look

TABLE = re.compile(r'^import (\w+) from "([^"]*\.json)" with \{ type: "json" \};\n', re.MULTILINE)
# JSDoc and comment lines with their line breaks, comments after code, and indentation.
COMMENT = re.compile(r"^ */\*\*(?:[^*]|\*(?!/))*\*/\n|^ *//.*\n|(?<=[;,{}\])]) // .*$|^ +", re.MULTILINE)
EXPORT = re.compile(r"^export (?=const|let|async|function|class)", re.MULTILINE)
LINE_END = re.compile(r"^((?:(?!//).)*[,;{])\n", re.MULTILINE)  # no line that still holds //; 3,000 breaks
IMPORT = re.compile(r'^import \{([^}]*)\} from "([^"]*)";\n', re.MULTILINE)


def read(name: str) -> str:
    """The text of a file of ``moe_tutorial.show``, such as ``web/dom.js``."""
    return files("moe_tutorial.show").joinpath(name).read_text(encoding="utf-8")


def style(*more: str) -> str:
    """CSS with the course's colours as variables, the rules of all widgets, and those of further files."""
    return look.css() + "".join(read(name) for name in ("web/widget.css", *more))


@cache
def bundle(entry: str) -> str:
    """Bundle a module and its imports into one JavaScript text, as anywidget expects.

    Each module becomes a function that returns the names that other modules import from it. These names share one
    scope, so no two modules may export the same name. Modules import by name from relative paths; a JSON file may be
    imported as a whole. Only the entry has a default export. Comments, indentation and most line breaks are removed,
    because every page with the widget contains this text. Strings, templates and regular expressions stay intact,
    because eslint (tools/web/eslint.config.js) rejects those that look like a comment or a line end.
    """
    texts: dict[str, str] = {}  # each after its imports
    wanted: dict[str, set[str]] = {}

    def visit(name: str) -> None:
        if name in texts:
            return
        folder = posixpath.dirname(name)
        text = TABLE.sub(partial(_table, folder), read(name))
        for names, address in IMPORT.findall(text):
            other = posixpath.normpath(posixpath.join(folder, address))
            wanted.setdefault(other, set()).update(part.strip() for part in names.split(",") if part.strip())
            visit(other)
        texts[name] = text

    visit(entry)
    scopes = []
    for name, text in texts.items():
        names = ", ".join(sorted(wanted.get(name, ())))
        body = EXPORT.sub("", IMPORT.sub("", text))
        head, end = f"const {{ {names} }} =", f"return {{ {names} }};\n"
        if name == entry:
            head, end, body = "export default", "", re.sub(r"^export default ", "return ", body, flags=re.MULTILINE)
        scopes.append(f"{head} (() => {{\n{body}{end}}})();\n")
    return LINE_END.sub(r"\1", COMMENT.sub("", "".join(scopes)))


def _table(folder: str, found: re.Match[str]) -> str:
    """A one-line constant that replaces the import of a JSON file."""
    table = json.loads(read(posixpath.normpath(posixpath.join(folder, found[2]))))
    return f"const {found[1]} = {json.dumps(table, ensure_ascii=False, separators=(',', ':'))};\n"
