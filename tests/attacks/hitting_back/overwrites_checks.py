"""Overwrites the course's checks and the grader's own files."""
# stops: writing
# naive: succeeds

import sys
from pathlib import Path

for folder in ("COURSE_FOLDER", "/grader", *sys.path):
    try:
        path = Path(folder) / "MARK-written"
        path.write_text("x")
        path.unlink()
        if folder:
            print("SUCCEEDED")
    except OSError:
        pass
