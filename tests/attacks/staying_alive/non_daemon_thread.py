"""Starts a thread that Python waits for when it ends."""
# naive: hangs

import threading
import time

threading.Thread(target=time.sleep, args=(60,)).start()
