"""How the book's figures look: legible on a light page and on a dark one."""

import sys

import matplotlib.pyplot as plt

BLUE, ORANGE, GREEN, GREY = "#3b82c4", "#d9730d", "#3f9b6b", "#7a7a7a"  # they read on white and on black
INK = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")


def legible_figures() -> tuple[str, str, str, str]:
    """Draw from now on without a ground, in mid-tones; returns these: blue, orange, green, grey."""
    plt.rcParams.update(dict.fromkeys(("figure.facecolor", "axes.facecolor", "savefig.facecolor"), "none"))
    plt.rcParams.update(dict.fromkeys(INK, GREY))
    plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False})
    if "IPython" in sys.modules:  # in a notebook or a page: sharp at every size
        from matplotlib_inline.backend_inline import set_matplotlib_formats

        set_matplotlib_formats("svg")
    return BLUE, ORANGE, GREEN, GREY
