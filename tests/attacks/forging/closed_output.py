"""Closes what it prints to, and goes on."""
# naive: unfailed

import os

os.close(1)
os.close(2)
