"""Ctrl-C and SIGTERM, told to whoever can stop at a good moment."""

import signal
import threading


class stop_signals:
    """While it is entered, Ctrl-C and SIGTERM set an event instead of breaking off in mid-step.

    A second Ctrl-C breaks off at once; not under torchrun, which passes on what all have been sent already.
    """

    def __init__(self, second_breaks_off: bool):
        self.second_breaks_off = second_breaks_off

    def __enter__(self) -> threading.Event:
        self.event = threading.Event()
        self.previous = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self.previous[number] = signal.signal(number, self.on_signal)
        return self.event

    def on_signal(self, number, frame) -> None:
        if self.event.is_set() and self.second_breaks_off:
            raise KeyboardInterrupt
        self.event.set()

    def __exit__(self, *exception) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)
