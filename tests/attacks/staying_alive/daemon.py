"""Leaves a daemon behind, which writes a file later."""
# stops: writing
# naive: alive

import os
import time

if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for descriptor in range(3, 64):
            try:
                os.close(descriptor)
            except OSError:
                pass
        time.sleep(20)
        open("/tmp/MARK", "w").close()
    os._exit(0)
