"""Looks for secrets in the environment."""
# naive: succeeds

import os

if "SECRET-OF-THE-COURSE" in os.environ.values():
    print("SUCCEEDED")
