"""Opens files until none can be opened."""
# stops: processes
# naive: succeeds

import os

kept = []
while len(kept) < 100:
    try:
        kept.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        break
if len(kept) == 100:
    print("SUCCEEDED")
