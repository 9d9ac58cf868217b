"""Takes memory in many processes, each of which is small."""
# stops: memory
# naive: succeeds

import os
import time


def attend(x):
    read, write = os.pipe()
    for _ in range(10):
        if os.fork() == 0:
            kept = bytearray(b"x") * (60 << 20)
            os.write(write, b"x")
            time.sleep(2 if kept else 0)
            os._exit(0)
    os.close(write)
    said = b""
    while len(said) < 10 and (part := os.read(read, 10)):
        said += part
    print("SUCCEEDED" if len(said) == 10 else "")
    return x
