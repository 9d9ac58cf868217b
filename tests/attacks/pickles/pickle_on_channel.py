"""Writes a pickle where the reply should be."""
# stops: writing
# naive: left
# grader: wire

import os
import pickle


class Bomb:
    def __reduce__(self):
        return exec, ("open('/tmp/MARK', 'w').close()",)


data = pickle.dumps(Bomb())
os.write(3, len(data).to_bytes(8, "big") + bytes(16) + data)
