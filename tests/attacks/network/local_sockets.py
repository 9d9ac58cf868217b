"""Talks to a service of this machine over a socket that is no file, or one that is."""
# stops: network
# naive: succeeds

import socket

for address in ("\0SOCKET", "/run/dbus/system_bus_socket", "/var/run/docker.sock"):
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1)
            connection.connect(address)
        print("SUCCEEDED")
    except OSError:
        pass
