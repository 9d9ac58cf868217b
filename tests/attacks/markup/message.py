"""An exception whose message is a script for a browser and steering for a terminal."""
# naive: markup


class Script(ValueError):
    pass


Script.__name__ = Script.__qualname__ = "<script>alert(1)</script>"


def attend(x):
    print("<script>alert(1)</script> \x1b[2J\x1b]0;title\x07")
    raise Script("<script>alert(1)</script> <img src=x onerror=alert(1)> \x1b[2J \u202e \ud800 \x00")
