"""Becomes another program, which ends with success."""
# put: before
# naive: exit

import os

os.execv("/usr/bin/true", ["true"])
