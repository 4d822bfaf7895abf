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
EXPORT = re.compile(r"^export (?=const|let|async|function|class)", re.MULTILINE)
LINE_END = re.compile(r"^((?:(?!//).)*[,;{])\n", re.MULTILINE)  # where no comment is left; three thousand of them
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

    Each module becomes a scope of its own, which hands out what others import from it. Those names stand side by side,
    so no two modules may hand out the same. They import by name and from relative addresses alone, and only the entry
    has a default export; a JSON file may be imported as a whole. Comments, indentation and most ends of lines stay
    behind: every page with the widget carries this text. No string, template or regular expression is cut, since eslint
    (tools/web/eslint.config.js) refuses those that look as if they held a comment or the end of a line.

    Raises ValueError where a module imports in another way, or in a circle, and where two hand out the same name.
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
    scopes, homes = [], {}
    for name, text in texts.items():
        names = ", ".join(sorted(wanted.get(name, ())))
        for other in homes.keys() & wanted.get(name, set()):
            raise ValueError(f"{homes[other]} and {name} both hand out {other}; one has to call it otherwise")
        homes.update(dict.fromkeys(wanted.get(name, ()), name))
        body = EXPORT.sub("", IMPORT.sub("", text))
        head, end = f"const {{ {names} }} =", f"return {{ {names} }};\n"
        if name == entry:
            head, end, body = "export default", "", re.sub(r"^export default ", "return ", body, flags=re.MULTILINE)
        if found := re.search(r"^(?:import|export) .*", body, re.MULTILINE):
            raise ValueError(f"{name} says {found[0]!r}; a widget's modules import {{ names }} from addresses alone")
        scopes.append(f"{head} (() => {{\n{body}{end}}})();\n")
    return LINE_END.sub(r"\1", COMMENT.sub("", "".join(scopes)))


def _table(folder: str, found: re.Match[str]) -> str:
    """A JSON file as a constant, in one line, in place of its import."""
    table = json.loads(read(posixpath.normpath(posixpath.join(folder, found[2]))))
    return f"const {found[1]} = {json.dumps(table, ensure_ascii=False, separators=(',', ':'))};\n"
