# Sourced by every other script: sets the project up where that has not been done yet.
# Defines ROOT and PYTHON, and puts the project's own python and caffe on the PATH.
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV=$ROOT/.venv
PYTHON=$VENV/bin/python

installed_mark() { # what the environment depends on: the place, the pins, the package
  echo "$ROOT"
  cat "$ROOT/requirements.txt" "$ROOT/pyproject.toml" | cksum
}

is_installed() {
  [ -x "$PYTHON" ] && [ "$(cat "$VENV/installed" 2>/dev/null)" = "$(installed_mark)" ]
}

if [ -z "${INSTALLING:-}" ]; then
  is_installed || bash "$ROOT/scripts/00_install.sh"
  export PATH=$VENV/bin:$PATH PYTHONUNBUFFERED=1
fi
