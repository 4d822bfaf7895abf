"""The widgets' JavaScript and CSS: they load nothing, and run in JupyterLab as on a page with no kernel."""

from importlib.resources import files

from moe_tutorial.show import look


def source(*names: str) -> str:
    """The named files joined into one module: an anywidget's code is a single text, so shared parts come first."""
    return "\n".join(files(__package__).joinpath(name).read_text(encoding="utf-8") for name in names)


def style() -> str:
    """The course's colours as CSS variables, and the widgets' own rules."""
    return look.css() + source("widget.css")
