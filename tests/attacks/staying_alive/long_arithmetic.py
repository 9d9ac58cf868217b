"""Computes one number for hours, during which Python looks at no signal."""
# naive: hangs


def attend(x):
    return 3 ** (10**9)
