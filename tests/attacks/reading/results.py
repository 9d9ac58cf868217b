"""Reads another student's results, and the secret of the round."""
# stops: reading
# naive: succeeds

for name in ("bob/ch1.json", "round.json"):
    try:
        if "SECRET" in open(f"RESULTS_FOLDER/{name}").read():
            print("SUCCEEDED")
    except OSError:
        pass
