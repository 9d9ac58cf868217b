"""Sends signals by the ways that are not kill."""
# naive: stops

import ctypes
import os

library = ctypes.CDLL(None)
parent = os.getppid()
pidfd = library.syscall(434, parent, 0)
library.syscall(424, pidfd, 9, None, 0)  # pidfd_send_signal
x86 = os.uname().machine == "x86_64"
library.syscall(200 if x86 else 130, parent, 9)  # tkill
library.syscall(234 if x86 else 131, parent, parent, 9)  # tgkill
library.sigqueue(parent, 9, 0)
