"""Never ends while it is imported."""
# put: before
# naive: hangs

import time

while True:
    time.sleep(1)
