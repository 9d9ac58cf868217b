#!/usr/bin/env bash
# Run once, as root, when Gradescope builds the image: Python 3.11 or newer, and what the grader needs.
set -euo pipefail
ROOT="${AUTOGRADER_ROOT:-/autograder}"

PYTHON=""
for candidate in python3 python3.13 python3.12 python3.11; do
  if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    PYTHON="$candidate"
    break
  fi
done
if [ -z "$PYTHON" ]; then
  apt-get update
  DEBIAN_FRONTEND=noninteractive apt-get install -y python3.11 python3.11-venv
  PYTHON=python3.11
fi
if ! "$PYTHON" -m venv "$ROOT/venv"; then
  apt-get update
  DEBIAN_FRONTEND=noninteractive apt-get install -y "$(basename "$PYTHON")-venv"
  "$PYTHON" -m venv --clear "$ROOT/venv"
fi

# PyTorch's own index has builds without CUDA, which are much smaller; what is not had there comes from PyPI.
TORCH="$(grep '^torch==' "$ROOT/source/requirements.txt")"
"$ROOT/venv/bin/python" -m pip install --quiet --index-url https://download.pytorch.org/whl/cpu "$TORCH" ||
  echo "PyTorch's index is out of reach; the build from PyPI will do"
"$ROOT/venv/bin/python" -m pip install --quiet --requirement "$ROOT/source/requirements.txt"
