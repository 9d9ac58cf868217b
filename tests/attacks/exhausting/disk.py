"""Fills the disk."""
# stops: disk
# naive: succeeds

chunk = b"x" * (1 << 20)
written = 0
for i in range(10):  # the naive grader's machine is to survive this
    try:
        with open(f"MARK-{i}", "wb") as file:
            for _ in range(5):
                written += file.write(chunk)
    except OSError:
        break
if written >= 50 << 20:
    print("SUCCEEDED")
