"""How it is taught: the lessons run and stored, the website, and the command line for both."""


class CourseError(Exception):
    """A command cannot go on; the message says why."""
