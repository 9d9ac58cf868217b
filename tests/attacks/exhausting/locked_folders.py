"""Makes folders that even their owner may not enter."""
# stops: writing
# naive: left

import os

for folder in ("/tmp", "/var/tmp", "/dev/shm", "/run/lock", os.getcwd()):
    try:
        os.makedirs(f"{folder}/MARK-locked/in")
        open(f"{folder}/MARK-locked/in/file", "w").close()
        os.chmod(f"{folder}/MARK-locked/in", 0)
        os.chmod(f"{folder}/MARK-locked", 0)
    except OSError:
        pass
