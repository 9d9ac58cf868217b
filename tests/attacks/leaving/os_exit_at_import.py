"""Ends the process with success while it is imported."""
# put: before
# naive: exit

import os

os._exit(0)
