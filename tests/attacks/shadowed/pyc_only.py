"""Only a compiled module, in which nobody sees a forbidden call."""
# put: folder
# mistake: softmax
# naive: succeeds

import py_compile


def hand_in(folder, module):
    source = folder / "written.py"
    source.write_text(module + "\nprint('SUCCEEDED')\n")
    py_compile.compile(str(source), str(folder / "attention.pyc"))
    source.unlink()
