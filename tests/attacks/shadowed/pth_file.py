"""Writes a .pth file that runs code in every Python to come."""
# stops: writing
# naive: left

import os
import site
import sys
from pathlib import Path

places = [site.getusersitepackages(), os.path.expanduser("~/.config"), *sys.path]
for place in map(Path, places):
    try:
        place.mkdir(parents=True, exist_ok=True)
        if place.is_relative_to(Path.home()) or not place.is_relative_to(Path(sys.prefix)):
            (place / "MARK.pth").write_text("import os")
    except OSError:
        pass
