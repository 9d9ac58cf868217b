"""The judge's end of a worker: starting the fork server, asking a submission, and ending both.

Whatever a submission does, `ask` comes back: with a reply, or with Lost, which says what became of it. A
server that does not start, or does not give a submission, is ServerFault: never the student's.
"""

import contextlib
import dataclasses
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from grader import confine, process_tree
from grader.observations import MalformedObservation, pack, unpack
from grader.sandbox import Slot, Tier, behind, environment
from grader.wire import MAX_FRAME, Frame, FrameReader, frame, framed

START_SECONDS = 120.0
FORK_SECONDS = 20.0
END_SECONDS = 10.0
SELF_ENDED_SECONDS = 0.05
PRINTED_KEPT = 64 << 10
PRINTED_READ = 64 << 20  # one that prints more is ended


class Lost(Exception):
    """A submission gave no proper reply. how: "died", "late", "memory" or "malformed"."""

    def __init__(self, how: str, why: str):
        super().__init__(why)
        self.how = how


class ServerFault(Exception):
    """The fork server, not the submission, is at fault."""


class Server:
    """A warm fork server for one chapter. job: what fork_server.py's and worker.py's functions look up
    in theirs."""

    def __init__(self, tier: Tier, job: dict, hidden: tuple[Path, ...] = ()):
        self.tier = tier
        self.hidden = hidden
        own_user = tier.name == "other user"
        limits = dataclasses.asdict(confine.Limits())
        self.job = job | {"own_user": own_user, "limits": limits}
        self.forks = sys.platform == "linux"  # elsewhere each submission gets a Python of its own
        self._slot: Slot | None = None
        self._process: subprocess.Popen | None = None
        self._control: socket.socket | None = None

    def start(self) -> None:
        """Start it and wait until it is warm; nothing to do if it runs already, or none is used."""
        if not self.forks or (self._process is not None and self._process.poll() is None):
            return
        self.stop()
        self._slot = Slot().__enter__()
        ours, theirs = socket.socketpair()
        arguments = {"control": theirs.fileno(), "alone": self.tier.name == "bubblewrap"}
        command = behind(self.tier, self._slot, ("grader.fork_server", "serve"), arguments, self.hidden)
        with tempfile.TemporaryFile() as complaints:
            self._process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=complaints,
                env=environment(),
                cwd="/",
                start_new_session=True,
            )
            theirs.close()
            self._control = ours
            self._control.settimeout(START_SECONDS)
            try:
                self._control.sendall(frame(self.job))
                _receive(self._control, FrameReader(), time.monotonic() + START_SECONDS)
            except (OSError, Lost) as error:
                self.stop()
                complaints.seek(0)
                said = complaints.read(1 << 16).decode(errors="replace").strip().splitlines()
                raise ServerFault(f"the worker does not start: {said[-1] if said else error}") from None

    def submission(self) -> "Submission":
        """A fresh process for a submission."""
        if not self.forks:
            return self._started()
        self.start()
        pairs = [socket.socketpair() for _ in range(3)]
        try:
            self._control.settimeout(FORK_SECONDS)
            socket.send_fds(self._control, [b"f"], [theirs.fileno() for _, theirs in pairs])
        except OSError as error:
            for ours, _ in pairs:
                ours.close()
            raise ServerFault(f"the worker has ended ({error})") from None
        finally:
            for _, theirs in pairs:
                theirs.close()
        return Submission(*(ours for ours, _ in pairs))

    def _started(self) -> "StartedSubmission":
        """A process for a submission without a server that forks it: it imports torch itself, in seconds."""
        (channel, theirs), (output, printed) = socket.socketpair(), socket.socketpair()
        call, arguments = ("grader.worker", "serve_one"), {"channel": theirs.fileno()}
        folder = tempfile.mkdtemp(prefix="submission-")
        process = subprocess.Popen(
            behind(self.tier, Slot(), call, arguments, self.hidden),
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=printed,
            env=environment(),
            cwd=folder,
            start_new_session=True,
        )
        theirs.close()
        printed.close()
        submission = StartedSubmission(process, folder, channel, output)
        try:
            submission.ask(self.job, START_SECONDS)
        except Lost as error:
            submission.end()
            said = submission.printed.strip().splitlines()
            raise ServerFault(f"the worker does not start: {said[-1] if said else error}") from None
        return submission

    def is_sound(self) -> bool:
        """Whether a fresh process computes what this one does: nobody tampered with the server."""
        if not self.forks:
            return True
        from grader.worker import canary

        try:
            submission = self.submission()
        except ServerFault:
            return False
        try:
            reply = submission.ask({"do": "canary"}, FORK_SECONDS)
            expected = canary({})["observation"]
            seen = reply.get("observation")
            return (
                type(seen) is type(expected)
                and seen.shape == expected.shape
                and (seen - expected).abs().max().item() < 1e-6
            )
        except Lost:
            return False
        finally:
            if not submission.end():
                self.stop()

    def stop(self) -> None:
        """End the server and all that came of it."""
        process, self._process = self._process, None
        if self._control is not None:
            self._control.close()
            self._control = None
        if process is not None:
            if sys.platform == "linux":
                proc = process_tree.open_proc()
                process_tree.kill_descendants(process.pid, proc)
                os.close(proc)
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()
        if self._slot is not None:
            self._clear_slot()
            self._slot.__exit__()
            self._slot = None

    def _clear_slot(self) -> None:
        """Nothing of a worker's own user is left behind."""
        if self._slot.user is None:
            return
        proc = process_tree.open_proc()
        end = time.monotonic() + END_SECONDS
        while process_tree.processes_of(self._slot.user, proc) and time.monotonic() < end:
            confine.kill_all_of(self._slot.user)
            time.sleep(0.005)
        os.close(proc)
        confine.sweep(self._slot.user)


class Submission:
    """One process that runs a student's code."""

    def __init__(self, channel: socket.socket, output: socket.socket, leash: socket.socket):
        self._channel, self._output, self._leash = channel, output, leash
        channel.settimeout(0)  # nothing that is sent (out of band, say) makes reading wait
        self._ready = select.poll()
        for end in (channel, output, leash):
            self._ready.register(end, select.POLLIN)
        self._reader = FrameReader()
        self._printed = bytearray()
        self._printed_bytes = 0
        self._ended: dict | None = None

    @property
    def printed(self) -> str:
        """What it printed, up to a cap."""
        text = self._printed.decode("utf-8", "replace")
        return text + ("\n[more was printed]" if self._printed_bytes > len(self._printed) else "")

    def ask(self, request: dict, seconds: float) -> dict:
        """Its reply to a request; Lost if there is none in time."""
        return opened(self.ask_packed(pack(request), seconds))

    def ask_packed(self, request: bytes, seconds: float) -> bytes:
        """Its reply, of which nothing is known but that it is one."""
        [reply] = self._replies(request, 0, seconds, seconds)
        return reply

    def ask_several(self, request: bytes, most: int, seconds: float, all_seconds: float) -> list[bytes]:
        """Its replies to a request for several, in their order; fewer than `most` if it stopped before.

        seconds: for the first, and from each to the next.
        """
        return self._replies(request, most, seconds, all_seconds)[:-1]

    def _replies(self, request: bytes, most: int, seconds: float, all_seconds: float) -> list[bytes]:
        """Replies with the numbers 0, 1, ... and then one with the request's own."""
        begun = time.monotonic()
        end = begun + seconds
        number = os.urandom(8).hex()  # nobody can reply before it is asked
        if self._reader.waiting or self._channel.fileno() in self._with_news(0):
            self._unasked()
        self._send(framed(number, request), end, seconds)
        replies = []
        while True:
            reply = self._wait(end, seconds)
            own = reply.number == number.encode()
            if not own and (len(replies) == most or reply.number != str(len(replies)).encode()):
                raise Lost("malformed", "its reply is none to what was asked")
            replies.append(reply.data)
            if own:
                return replies
            if sum(map(len, replies)) > MAX_FRAME:
                raise Lost("malformed", "its replies are too many bytes together")
            end = min(time.monotonic() + seconds, begun + all_seconds)

    def end(self) -> bool:
        """End it and all that it started; whether that went as it should."""
        self._channel.close()
        ending = self._ending()
        with contextlib.suppress(Lost):  # it prints too much, which no longer matters
            self._drain()
        self._output.close()
        self._leash.close()
        return ending is not None

    def _send(self, data: bytes, end: float, seconds: float) -> None:
        try:
            sent = self._channel.send(data)
            if sent < len(data):
                self._channel.settimeout(max(0.01, end - time.monotonic()))
                self._channel.sendall(data[sent:])
                self._channel.settimeout(0)
        except (TimeoutError, BlockingIOError):
            raise Lost("late", f"it did not take a request in {seconds:g} s") from None
        except OSError:
            raise self._died() from None

    def _wait(self, end: float, seconds: float) -> Frame:
        while True:
            reply = self._next_frame(b"")
            if reply is not None:
                return reply
            left = end - time.monotonic()
            if left <= 0:
                raise Lost("late", f"no reply in {seconds:g} s")
            ready = self._with_news(left)
            if self._output.fileno() in ready:
                self._drain()
            if self._channel.fileno() in ready:
                try:
                    data = self._channel.recv(1 << 20)
                except OSError:
                    data = b""
                if not data:
                    raise self._died()
                reply = self._next_frame(data)
                if reply is not None:
                    return reply
            elif self._leash.fileno() in ready:
                raise self._died()

    def _next_frame(self, data: bytes) -> Frame | None:
        try:
            return self._reader.feed(data)
        except MalformedObservation as error:
            raise _unreadable(error) from None

    def _with_news(self, seconds: float) -> set[int]:
        """The ends from which something came, or which ended, after so many seconds at most."""
        return {end for end, _ in self._ready.poll(1000 * seconds)}

    def _drain(self) -> None:
        """Take what was printed, so that printing never waits for us; keep the beginning."""
        while self._output.fileno() >= 0:
            try:
                data = self._output.recv(1 << 18, socket.MSG_DONTWAIT)
            except OSError:
                return
            if not data:
                self._ready.unregister(self._output)
                self._output.close()  # by the submission: it has no other end
                return
            self._printed_bytes += len(data)
            self._printed += data[: max(0, PRINTED_KEPT - len(self._printed))]
            if self._printed_bytes > PRINTED_READ:
                raise Lost("malformed", f"it prints more than {PRINTED_READ >> 20} MiB")

    def _unasked(self) -> None:
        with contextlib.suppress(OSError):
            if self._channel.recv(1, socket.MSG_PEEK):
                raise Lost("malformed", "it sent something before it was asked")
        raise self._died()

    def _died(self) -> Lost:
        """Why it ended by itself."""
        ending = self._ending() or {}
        limits = confine.Limits()
        if ending.get("outgrown") == "memory":
            return Lost("memory", f"it took more than {limits.memory >> 20:,} MiB of memory")
        if ending.get("outgrown") == "processes":
            return Lost("died", f"it had more than {limits.processes} processes and threads")
        status = ending.get("status")
        if type(status) is not int:
            return Lost("died", "its process ended")
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            name = signal.Signals(number).name if number in set(signal.Signals) else str(number)
            return Lost("late" if name == "SIGXCPU" else "died", f"its process was ended by {name}")
        return Lost("died", f"its process ended with exit code {os.WEXITSTATUS(status)}")

    def _ending(self) -> dict | None:
        """Let go of the leash, and what the supervisor then says; None if it says nothing."""
        if self._ended is not None:
            return self._ended
        with contextlib.suppress(OSError):
            self._leash.shutdown(socket.SHUT_WR)
        self._leash.settimeout(END_SECONDS)
        said = b""
        try:
            while part := self._leash.recv(4096):
                said += part
        except OSError:
            return None
        try:
            self._ended = json.loads(said)
            return self._ended
        except ValueError:
            return None


class StartedSubmission(Submission):
    """One whose process the judge has started, and ends, itself."""

    def __init__(self, process: subprocess.Popen, folder: str, channel: socket.socket, output: socket.socket):
        leash, self._other_end = socket.socketpair()  # on which nobody says anything
        super().__init__(channel, output, leash)
        self._process, self._folder = process, folder

    def _ending(self) -> dict:
        """End it, if it has not just ended by itself, and all of its group that is left."""
        if self._ended is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(SELF_ENDED_SECONDS)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            code = self._process.wait()
            self._ended = {"status": -code if code < 0 else code << 8}
            self._other_end.close()
            with contextlib.suppress(OSError):
                confine.delete(self._folder)
        return self._ended


def opened(reply: bytes) -> dict:
    """The reply's tree; Lost if it is none."""
    try:
        tree = unpack(reply)
    except MalformedObservation as error:
        raise _unreadable(error) from None
    if type(tree) is not dict:
        raise Lost("malformed", "its reply has another form than a reply")
    return tree


def _unreadable(error: MalformedObservation) -> Lost:
    return Lost("malformed", f"its reply cannot be read: {error}")


def _receive(connection: socket.socket, reader: FrameReader, end: float) -> Frame:
    while time.monotonic() < end:
        data = connection.recv(1 << 20)
        if not data:
            raise Lost("died", "it ended at once")
        reply = reader.feed(data)
        if reply is not None:
            return reply
    raise Lost("late", "it does not answer")
