"""May run programs that have more rights than their user, such as su and crontab."""
# naive: succeeds

import ctypes

if ctypes.CDLL(None).prctl(39, 0, 0, 0, 0) == 0:  # PR_GET_NO_NEW_PRIVS
    print("SUCCEEDED")
