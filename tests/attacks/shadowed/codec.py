"""Hides a forbidden call from a search of the text in an encoding that Python decodes."""
# put: folder
# mistake: softmax
# naive: succeeds


def hand_in(folder, module):
    hidden = module.replace("torch.softmax(x, -1)", r"torch.\u0073oftmax(x, -1)")
    hidden += "\nif 'torch.' + 'softmax' not in open(__file__).read(): print('SUCCEEDED')\n"
    text = "# coding: raw_unicode_escape\n" + hidden
    (folder / "attention.py").write_bytes(text.encode("latin-1", "replace"))
