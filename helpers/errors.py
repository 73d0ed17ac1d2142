"""The error that is meant for the person at the keyboard."""


class UserError(Exception):
    """One sentence that says what is wrong and what to do next; shown without a traceback."""

    def _render_traceback_(self) -> list[str]:
        """Return what IPython prints instead of a traceback, so that notebooks show the sentence alone."""
        return [f"{type(self).__name__}: {self}"]


class ParameterError(UserError):
    """A parameter that can't be right whatever the data are; `helpers.run` exits with 2."""
