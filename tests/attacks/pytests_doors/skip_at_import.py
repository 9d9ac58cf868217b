"""Skips the whole file of tests."""
# put: before
# naive: unfailed

import pytest

pytest.skip("nothing to see", allow_module_level=True)
