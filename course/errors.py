"""What goes wrong for a person, said in one line."""


class CourseError(Exception):
    """A mistake that the user can mend; the command line prints it as one line and exits with 2.

    The message names the thing and the next step: "corpus notes.txt is empty; give a text of at
    least 66 characters".
    """


def in_one_line(error: ValueError, shown: int = 6) -> str:
    """A message of many lines, one a tensor, as one line that can be read."""
    lines = str(error).splitlines() or [type(error).__name__]
    more = f"; and {len(lines) - shown} more" if len(lines) > shown else ""
    return "; ".join(lines[:shown]).replace(":;", ":") + more
