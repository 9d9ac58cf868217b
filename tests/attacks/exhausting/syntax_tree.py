"""A source that brings a compiler down: signs in signs in signs."""
# put: folder
# naive: crashes


def hand_in(folder, module):
    (folder / "attention.py").write_text(module + "\nx = " + "-" * 200_000 + "1\n")
