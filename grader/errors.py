"""What goes wrong on the course's side, never on the student's."""


class GraderError(Exception):
    """One clear line that names the thing and the next step. A verdict made from it is a "grader fault"."""
