"""Plants false source lines and a false file name, so that another line is blamed."""
# naive: succeeds

import linecache
import sys


def attend(x):
    frame = sys._getframe(1)
    linecache.cache[frame.f_code.co_filename] = (1, None, ["print('SUCCEEDED')\n"] * 500, frame.f_code.co_filename)
    print(linecache.getline(frame.f_code.co_filename, 1)[7:16] if "pytest" in sys.modules else "")
    exec(compile("raise ValueError('not mine')", "/etc/passwd", "exec"))
