"""A wheel brings the lessons along: they and the contents of the course go into the package. All else stands in
pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class WithLessons(build_py):
    """Copies them; an editable install finds them in the repository."""

    def run(self):
        super().run()
        if not self.editable_mode:
            lessons = Path(self.build_lib) / "moe_tutorial/course/notebooks"
            shutil.rmtree(lessons, ignore_errors=True)
            lessons.mkdir(parents=True)
            for file in [*Path("notebooks").glob("*.ipynb"), *Path("notebooks").glob("*.py"), Path("book.yml")]:
                shutil.copy(file, lessons)


setup(cmdclass={"build_py": WithLessons})
