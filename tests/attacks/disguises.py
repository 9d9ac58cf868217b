"""Ways to hide a forbidden call, and tricks on checks that watch how code works; and whether each is found.

text     in the syntax tree, before any of it is run
trace    among the calls that torch was seen to make
nowhere  not found: this is detection, not a wall
"""

SOFTMAX = {
    "plain": ("text", "import torch\ndef softmax(x): return torch.softmax(x, -1)"),
    "method": ("text", "def softmax(x): return x.softmax(-1)"),
    "functional": ("text", "import torch.nn.functional as F\ndef softmax(x): return F.softmax(x, -1)"),
    "alias": ("text", "import torch\nf = torch.softmax\ndef softmax(x): return f(x, -1)"),
    "imported name": ("text", "from torch import softmax as f\ndef softmax(x): return f(x, -1)"),
    "getattr": ("text", "import torch\ndef softmax(x): return getattr(torch, 'soft' + 'max')(x, -1)"),
    "dictionary": ("text", "import torch\ndef softmax(x): return vars(torch)['softmax'](x, -1)"),
    "importlib": (
        "text",
        "import importlib\ndef softmax(x): return importlib.import_module('torch').softmax(x, -1)",
    ),
    "operator": ("text", "import torch\ndef softmax(x): return torch.ops.aten.softmax(x, -1)"),
    "overload": ("text", "import torch\ndef softmax(x): return torch.ops.aten.softmax.int(x, -1)"),
    "special": ("text", "import torch\ndef softmax(x): return torch.special.softmax(x, -1)"),
    "variable functions": (
        "text",
        "import torch\ndef softmax(x): return torch._C._VariableFunctions.softmax(x, -1)",
    ),
    "star": ("trace", "from torch import *\nm = softmax\ndef softmax(x): return m(x, -1)"),
    "unknown name of a module": (
        "trace",
        "import torch\nn = 'xamtfos'[::-1]\ndef softmax(x): return getattr(torch, n)(x, -1)",
    ),
    "executed text": ("text", "def softmax(x): return eval('x.soft' 'max(-1)')"),
    "patched tensor": (
        "text",
        "import torch\ntorch.Tensor.calm = torch.Tensor.exp\ndef softmax(x): return x.calm()",
    ),
    "switched off": (
        "text",
        "import torch\ndef softmax(x):\n  with torch._C.DisableTorchFunction(): return x.exp()",
    ),
    "module": ("trace", "from torch import nn\ndef softmax(x): return nn.Softmax(-1)(x)"),
    "unknown name of a tensor": ("trace", "def softmax(x): return getattr(x, 'xamtfos'[::-1])(-1)"),
    "method caller": (
        "trace",
        "import operator\ndef softmax(x): return operator.methodcaller('xamtfos'[::-1], -1)(x)",
    ),
    "unpickled": (
        "trace",
        "import pickle\nf = pickle.loads(b'ctorch\\nsoft' + b'max\\n.')\ndef softmax(x): return f(x, -1)",
    ),
    "found by looking": (
        "trace",
        "import torch\nf = next(v for k, v in vars(torch).items() if k[::-1] == 'xamtfos')\ndef softmax(x): return f(x, -1)",
    ),
    "operator by looking": (
        "trace",
        "import torch\no = torch.ops.aten\ndef softmax(x): return o.__getattr__('xamtfos'[::-1])(x, -1)",
    ),
    "thread": (
        "nowhere",
        "from concurrent.futures import ThreadPoolExecutor as P\ndef softmax(x):\n"
        "  with P() as p: return p.submit(getattr(x, 'xamtfos'[::-1]), -1).result()",
    ),
    "scripted": (
        "nowhere",
        "import torch\nf = torch.jit.CompilationUnit('def f(x):\\n  return torch.softmax(x, -1)\\n').f\ndef softmax(x): return f(x)",
    ),
    "another name": ("nowhere", "import torch\ndef softmax(x): return torch.log_softmax(x, -1).exp()"),
    "an inner name": ("nowhere", "import torch\ndef softmax(x): return torch._softmax(x, -1, False)"),
}

LOOP = "import torch\ndef prefix_mean(x): return torch.stack([x[: i + 1].mean(0) for i in range(len(x))])\n"
# Tricks to let a loop look like one product of matrices.
OPERATORS = {
    "counter's total": (
        "text",
        LOOP + "import grader.operators as o\no.Operators.total = 1\no.Operators.count = lambda *_: 1",
    ),
    "counter by frames": (
        "text",
        "import sys\n" + LOOP + "loop = prefix_mean\ndef prefix_mean(x):\n  y = loop(x)\n"
        "  c = sys._getframe(1).f_locals.get('operators')\n  if c is not None: c.names = c.names.__class__({'mm': 1})\n  return y",
    ),
    "counter by the collector": (
        "text",
        "import gc\n" + LOOP + "loop = prefix_mean\ndef prefix_mean(x):\n  y = loop(x)\n"
        "  for o in gc.get_objects():\n    if type(o).__name__ == 'Operators': o.names = o.names.__class__({'mm': 1})\n  return y",
    ),
    "counting switched off": (
        "text",
        LOOP
        + "loop = prefix_mean\ndef prefix_mean(x):\n  with torch._C.DisableTorchFunction(): y = loop(x)\n  x @ x.T\n  return y",
    ),
    "reply": (
        "text",
        LOOP
        + "import grader.worker as w\nf = w.write_frame\ndef g(c, t):\n  if type(t.get('observation')) is dict:\n"
        "    t['observation'] = dict.fromkeys(t['observation'], True)\n  f(c, t)\nw.write_frame = g",
    ),
    "in numpy": (
        "nowhere",
        LOOP + "import numpy as np\ndef prefix_mean(x):\n  n = x.numpy()\n  x @ x.T\n"
        "  return torch.from_numpy(np.stack([n[: i + 1].mean(0) for i in range(len(n))]))",
    ),
    "in a thread": (
        "nowhere",
        "from concurrent.futures import ThreadPoolExecutor as P\n"
        + LOOP
        + "loop = prefix_mean\ndef prefix_mean(x):\n"
        "  with P() as p: y = p.submit(loop, x).result()\n  x @ x.T\n  return y",
    ),
    "counter by the modules": (
        "nowhere",
        "import torch\nimport warnings\n"
        + LOOP
        + "m = warnings.sys.__dict__['mod' + 'ules']['grader.opera' + 'tors']\n"
        "m.Operators.total, m.Operators.count = 1, lambda *_: 1",
    ),
}
