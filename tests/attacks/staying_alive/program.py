"""Starts another program in a session of its own."""
# naive: alive

import subprocess

subprocess.Popen(["sleep", "20"], start_new_session=True, stdin=-3, stdout=-3, stderr=-3)
