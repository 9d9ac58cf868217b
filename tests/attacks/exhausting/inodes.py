"""Makes files until there is no inode left."""
# stops: disk
# naive: succeeds

import os

MOST = 1500  # the naive grader's machine is to survive this
os.mkdir("MARK")
made = 0
for i in range(MOST):
    try:
        os.close(os.open(f"MARK/{i}", os.O_CREAT, 0o600))
        made += 1
    except OSError:
        break
if made == MOST:
    print("SUCCEEDED")
