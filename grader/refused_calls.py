"""System calls that no submission has a use for, refused by the Linux kernel from here on: a seccomp filter.

What it closes: namespaces of a submission's own, in which it would be root, and could mount file systems
without limits; memory that no limit counts; sockets; other processes' memory; and, where other processes are
in sight, signals to them. It holds for all that the process starts, and cannot be undone.
"""

import ctypes
import errno
import platform

# by name: the numbers on x86-64 and on 64-bit ARM
REFUSED = {
    "unshare": (272, 97),
    "setns": (308, 268),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "io_uring_setup": (425, 425),
    "socket": (41, 198),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438),
    "userfaultfd": (323, 282),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
}
SIGNALS = {
    "tkill": (200, 130),
    "pidfd_send_signal": (424, 424),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
}
OWN_ONLY = {
    "kill": (62, 129),
    "tgkill": (234, 131),
    "prlimit64": (302, 261),
}  # the first argument is a process
FCNTL, IOCTL = (72, 25), (16, 29)
SET_OWNER_OR_SIGNAL = (8, 10, 15)  # of fcntl: whom a file that is ready sends a signal, and which
SET_OWNER = (0x8901, 0x8902)  # of ioctl: the same
CLONE, CLONE3, SECCOMP = (56, 220), (435, 435), (317, 277)
NEW_NAMESPACES = 0x7E020000  # the flags of clone that ask for one
ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
X32 = 0x40000000  # x86-64's other set of numbers

NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, (16, 24)  # where the kernel puts them for the filter
SET_FILTER, NO_SLOWER = 1, 4
ALLOW, REFUSE = 0x7FFF0000, 0x00050000

Instruction = tuple[int, int, int, int]


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def refuse_calls(own: int | None = None) -> None:
    """Refuse them to this process. own: the only process that may be sent signals; None for any in sight.

    SET_NO_NEW_PRIVS must be set. On machines other than those above nothing happens.
    """
    if platform.machine() not in ARCHITECTURES:
        return
    place, architecture = ARCHITECTURES[platform.machine()]
    instructions = b"".join(
        code.to_bytes(2, "little") + bytes((yes, no)) + value.to_bytes(4, "little")
        for code, yes, no, value in filter_program(place, architecture, own)
    )
    program = _Program(len(instructions) // 8, instructions)
    library = ctypes.CDLL(None, use_errno=True)
    arguments = (ctypes.c_long(SECCOMP[place]), ctypes.c_long(SET_FILTER), ctypes.c_long(NO_SLOWER))
    if library.syscall(*arguments, ctypes.byref(program)) != 0:
        raise OSError(ctypes.get_errno(), "seccomp")


def filter_program(place: int, architecture: int, own: int | None) -> list[Instruction]:
    """The filter as the kernel's classic BPF."""
    refused = [_return(REFUSE | errno.EPERM)]
    body = [_load(NUMBER), (0x35, 0, 1, X32), *refused]
    for numbers in REFUSED.values():
        body += _if_equal(numbers[place], refused)
    body += _if_equal(CLONE3[place], [_return(REFUSE | errno.ENOSYS)])  # the C library then takes clone
    namespaces = [_load(ARGUMENTS[0]), (0x45, 0, 1, NEW_NAMESPACES), *refused, _return(ALLOW)]
    body += _if_equal(CLONE[place], namespaces)
    if own is not None:
        for numbers in SIGNALS.values():
            body += _if_equal(numbers[place], refused)
        allowed = [_return(ALLOW)]
        mine = [_load(ARGUMENTS[0]), *_if_equal(own, allowed), *_if_equal(0, allowed), *refused]
        for numbers in OWN_ONLY.values():
            body += _if_equal(numbers[place], mine)
        for numbers, requests in ((FCNTL, SET_OWNER_OR_SIGNAL), (IOCTL, SET_OWNER)):
            asked = [_load(ARGUMENTS[1])]
            for request in requests:
                asked += _if_equal(request, refused)
            body += _if_equal(numbers[place], [*asked, *allowed])
    body.append(_return(ALLOW))
    return [_load(ARCHITECTURE), *_if_equal(architecture, body), *refused]


def _load(offset: int) -> Instruction:
    return 0x20, 0, 0, offset


def _return(value: int) -> Instruction:
    return 0x06, 0, 0, value


def _if_equal(value: int, then: list[Instruction]) -> list[Instruction]:
    return [(0x15, 0, len(then), value), *then]
