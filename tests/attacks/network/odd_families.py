"""Opens sockets of odd families, which reach the kernel, the host or the wire."""
# stops: network
# naive: succeeds

import socket

for family, kind in ((16, 3), (38, 5), (40, 1), (17, 3), (10, 2), (2, 2)):  # netlink, alg, vsock, packet, UDP
    try:
        socket.socket(family, kind).close()
        if family in (40, 2, 10):
            print("SUCCEEDED")
    except OSError:
        pass
