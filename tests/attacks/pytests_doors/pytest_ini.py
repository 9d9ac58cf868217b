"""A pytest.ini beside the submission that lets pytest only collect the tests."""
# put: folder
# naive: exit


def hand_in(folder, module):
    (folder / "attention.py").write_text(module)
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --collect-only\n")
