"""Connects to a server on this machine."""
# stops: network
# naive: succeeds

import socket

try:
    with socket.create_connection(("127.0.0.1", int("PORT")), timeout=1) as connection:
        connection.sendall(b"secrets")
    print("SUCCEEDED")
except OSError:
    pass
