"""Reads the hidden checks from the course's folder."""
# stops: reading
# naive: succeeds

import glob

for path in glob.glob("COURSE_FOLDER/**/*.py", recursive=True):
    try:
        if "SECRET-OF-THE-COURSE" in open(path).read():
            print("SUCCEEDED")
    except OSError:
        pass
