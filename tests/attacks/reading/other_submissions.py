"""Reads what another student handed in."""
# stops: reading
# naive: succeeds

try:
    if open("SUBMISSIONS_FOLDER/bob/attention.py").read():
        print("SUCCEEDED")
except OSError:
    pass
