"""A student's folder whose name is markup and steering for a terminal."""
# put: folder
# naive: markup


def hand_in(folder, module):
    (folder / "attention.py").write_text(module + "\nraise ValueError(__file__ + '\x1b[2J<img src=x onerror=alert(1)>')\n")
    folder.rename(folder.with_name("\x1b[2J<img src=x onerror=alert(1)>")) if "submissions" in str(folder) else None
