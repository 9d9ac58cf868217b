"""Never returns, and swallows every exception that would stop it."""
# naive: hangs

import time


def attend(x):
    while True:
        try:
            while True:
                time.sleep(1)
        except BaseException:
            pass
