"""Takes back what was done to its process: privileges, limits, mounts, whether it may be looked into."""
# naive: succeeds

import ctypes
import os
import resource

library = ctypes.CDLL(None, use_errno=True)
library.prctl(4, 1, 0, 0, 0)  # that it may be looked into
won = []
for option, value in ((38, 0), (39, 0)):
    if library.prctl(option, value, 0, 0, 0) == 0:  # whether new programs may have more rights
        won.append(option)
for name in ("RLIMIT_NOFILE", "RLIMIT_NPROC", "RLIMIT_AS", "RLIMIT_FSIZE", "RLIMIT_CPU"):
    kind = getattr(resource, name)
    soft, hard = resource.getrlimit(kind)
    try:
        resource.setrlimit(kind, (hard + 1, hard + 1) if hard != -1 else (-1, -1))
        won.append(name)
    except (OSError, ValueError):
        pass
for path in (b"/proc", b"/tmp", b"/dev/shm", b"/dev", b"/"):
    if library.umount2(path, 2) == 0:
        won.append(path)
for path in (b"/proc", b"/tmp"):
    if library.mount(b"proc", path, b"proc", 0, None) == 0:
        won.append(path)
try:
    os.setuid(0)
    won.append("root") if os.getuid() == 0 else None
except OSError:
    pass
if won:
    print("SUCCEEDED", won)
