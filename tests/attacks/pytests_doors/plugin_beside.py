"""A plugin beside the submission, loaded by its pytest.ini, that runs no test."""
# put: folder
# naive: passed

PLUGIN = """
def pytest_pyfunc_call(pyfuncitem):
    return True
"""


def hand_in(folder, module):
    (folder / "attention.py").write_text(module)
    (folder / "kindness.py").write_text(PLUGIN)
    (folder / "pytest.ini").write_text("[pytest]\naddopts = -p kindness\n")
