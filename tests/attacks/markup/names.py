"""Functions and lines whose names are markup."""
# naive: markup

code = """
def f(x): raise ValueError("<b>")  # <script>alert(1)</script> \x1b[2J
"""
scope: dict = {}
exec(compile(code, "attention.py", "exec"), scope)
f = scope["f"]
f.__code__ = f.__code__.replace(co_name="<script>alert(1)</script>", co_qualname="<img src=x onerror=alert(1)>")


def attend(x):
    return f(x)  # <script>alert(1)</script>
