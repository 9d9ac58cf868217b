"""Returns a text so long that showing where it differs takes for ever."""
# naive: hangs
# compare: plain


def attend(x):
    return Text("\n".join(map(str, range(300_000))))


class Text(str):
    def __eq__(self, other):
        raise AssertionError(self * 20)

    __hash__ = None
