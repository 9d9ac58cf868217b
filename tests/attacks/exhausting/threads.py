"""Starts threads without end."""
# stops: processes
# naive: succeeds

import threading
import time

started = 0
for _ in range(200):
    try:
        threading.Thread(target=time.sleep, args=(1,), daemon=True).start()
        started += 1
    except RuntimeError:
        break
if started == 200:
    print("SUCCEEDED")
