"""Overwrites another student's results."""
# stops: writing
# naive: succeeds

import os

for name in ("bob/ch1.json", "MARK"):
    try:
        with open(f"RESULTS_FOLDER/{name}", "a") as file:
            file.write(" ")
        print("SUCCEEDED")
        if name == "MARK":
            os.unlink(f"RESULTS_FOLDER/{name}")
    except OSError:
        pass
