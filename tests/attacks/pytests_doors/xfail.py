"""Says that the test is expected to fail."""
# naive: exit

import pytest


def attend(x):
    pytest.xfail("as expected")
