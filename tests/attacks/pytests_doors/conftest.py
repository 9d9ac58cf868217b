"""A conftest.py beside the submission that turns failures into passes."""
# put: folder
# naive: passed

CONFTEST = """
import pytest

@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    outcome.get_result().outcome = "passed"
"""


def hand_in(folder, module):
    (folder / "attention.py").write_text(module)
    (folder / "conftest.py").write_text(CONFTEST)
