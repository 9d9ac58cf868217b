"""Makes folders in folders, deeper than those who delete them can go."""
# stops: writing
# naive: left

import os

top = os.getcwd()
for folder in ("/tmp/MARK-deep", "MARK-deep"):
    try:
        os.mkdir(folder)
        os.chdir(folder)
        for _ in range(1500):
            os.mkdir("d")
            os.chdir("d")
    except OSError:
        pass
    os.chdir(top)
