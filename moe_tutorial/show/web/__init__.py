"""The widgets' JavaScript and CSS: they load nothing, and run in JupyterLab as on a page with no kernel."""

import json
import posixpath
import re
from functools import cache, partial
from importlib.resources import files

from moe_tutorial.show import look

TABLE = re.compile(r'^import (\w+) from "([^"]*\.json)" with \{ type: "json" \};\n', re.MULTILINE)
# With what is left of a line: JSDoc, a line's comment, a comment behind code, indentation.
COMMENT = re.compile(r"^ */\*\*(?:[^*]|\*(?!/))*\*/\n|^ *//.*\n|(?<=[;,{}\])]) // .*$|^ +", re.MULTILINE)
IMPORT = re.compile(r'^import \{([^}]*)\} from "([^"]*)";\n', re.MULTILINE)


def read(name: str) -> str:
    """The text of a file of this floor, such as ``web/dom.js``."""
    return files("moe_tutorial.show").joinpath(name).read_text(encoding="utf-8")


def style(*more: str) -> str:
    """The course's colours as CSS variables, the widgets' own rules, and those of further files."""
    return look.css() + "".join(read(name) for name in ("web/widget.css", *more))


@cache
def bundle(entry: str) -> str:
    """A module and all that it imports as the one text that an anywidget wants.

    Each module becomes a scope of its own, which hands out what others import from it. They import by name and from
    relative addresses alone, and only the entry has a default export; a JSON file may be imported as a whole. Comments
    and indentation stay behind: every page with the widget carries this text.

    Raises ValueError where a module imports in another way, or in a circle.
    """
    texts: dict[str, str] = {}  # each after those that it imports
    wanted: dict[str, set[str]] = {}
    under_way: list[str] = []

    def visit(name: str) -> None:
        if name in texts:
            return
        if name in under_way:
            raise ValueError(f"{' -> '.join([*under_way, name])} is a circle of imports")
        under_way.append(name)
        folder = posixpath.dirname(name)
        text = TABLE.sub(partial(_table, folder), read(name))
        for names, address in IMPORT.findall(text):
            other = posixpath.normpath(posixpath.join(folder, address))
            wanted.setdefault(other, set()).update(part.strip() for part in names.split(",") if part.strip())
            visit(other)
        under_way.pop()
        texts[name] = text

    visit(entry)
    parts = []
    for name, text in texts.items():
        body = re.sub(r"^export (?=const|let|async|function|class)", "", IMPORT.sub("", text), flags=re.MULTILINE)
        if found := re.search(r"^(?:import|export \{).*" if name == entry else r"^(?:import|export ).*", body, re.M):
            raise ValueError(f"{name} says {found[0]!r}; a widget's modules import {{ names }} from addresses alone")
        names = ", ".join(sorted(wanted.get(name, ())))
        parts.append(body if name == entry else f"const {{ {names} }} = (() => {{\n{body}return {{ {names} }};\n}})();")
    text = COMMENT.sub("", "\n".join(parts))
    return re.sub(r"(?<=[,;{])\n(?!export )", "", text)  # three thousand ends of lines


def _table(folder: str, found: re.Match[str]) -> str:
    """A JSON file as a constant, in one line, in place of its import."""
    table = json.loads(read(posixpath.normpath(posixpath.join(folder, found[2]))))
    return f"const {found[1]} = {json.dumps(table, ensure_ascii=False, separators=(',', ':'))};\n"
