"""What goes wrong for a person, said in one line."""


class CourseError(Exception):
    """A mistake that the user can mend; the command line prints it as one line and exits with 2.

    The message names the thing and the next step: "corpus notes.txt is empty; give a text of at
    least 66 characters".
    """
