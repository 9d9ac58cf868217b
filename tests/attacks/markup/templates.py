"""Says what a template language or a formatter would run."""
# naive: markup


def attend(x):
    raise KeyError("{{ 7 * 7191 }} {% include '/etc/passwd' %} ${{ 7 * 7191 }} %(x)s {0.__class__}")
