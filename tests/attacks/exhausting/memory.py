"""Takes all memory."""
# stops: memory
# naive: succeeds

kept = []
for i in range(12):
    kept.append(bytearray(b"x") * (50 << 20))
print("SUCCEEDED")
