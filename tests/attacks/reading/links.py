"""Links to the course's folder from a folder of its own, and reads through that."""
# stops: reading
# naive: succeeds

import glob
import os

link = os.path.join(os.getcwd(), "MARK-link")
try:
    os.symlink("COURSE_FOLDER", link)
    for path in glob.glob(link + "/**/*.py", recursive=True):
        if "SECRET-OF-THE-COURSE" in open(path).read():
            print("SUCCEEDED")
            break
    os.unlink(link)
except OSError:
    pass
