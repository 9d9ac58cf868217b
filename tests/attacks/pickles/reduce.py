"""Returns an object that runs code when it is unpickled."""
# stops: writing
# naive: left
# grader: pickle


class Bomb:
    def __reduce__(self):
        return exec, ("open('/tmp/MARK', 'w').close()",)


def attend(x):
    return Bomb()
