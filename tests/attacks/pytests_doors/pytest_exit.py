"""Asks pytest to stop here, with success."""
# naive: exit

import pytest


def attend(x):
    pytest.exit("enough", returncode=0)
