"""Becomes root in a user namespace of its own and fills a file system that it makes there."""
# stops: memory
# naive: succeeds

import ctypes
import os

library = ctypes.CDLL(None)
where = os.path.abspath("MARK-mount")
os.mkdir(where)
user, group = os.getuid(), os.getgid()
if os.fork() == 0:
    try:
        library.prctl(4, 1, 0, 0, 0)
        if library.unshare(0x10000000 | 0x00020000) == 0:
            for file, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
                open(f"/proc/self/{file}", "w").write(text)
            if library.mount(b"none", where.encode(), b"tmpfs", 0, b"size=2g") == 0:
                written = 0
                for i in range(40):
                    with open(f"{where}/{i}", "wb") as file:
                        for _ in range(15):
                            written += file.write(b"x" * (1 << 20))
                os.write(1, b"SUCCEEDED" if written >= 600 << 20 else b"")
    finally:
        os._exit(0)
os.wait()
os.rmdir(where)
