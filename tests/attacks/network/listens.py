"""Opens a port for others to come in."""
# stops: network
# naive: succeeds

import socket

try:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        door.listen()
    print("SUCCEEDED")
except OSError:
    pass
