"""Returns more than any answer could be: a list in a list in a list, each ten times."""
# naive: hangs
# compare: shown


def attend(x):
    seen = [0] * 10
    for _ in range(30):
        seen = [seen] * 10
    return seen
