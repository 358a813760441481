# What:   sourced by every other script: finds the project, sets it up if that was not done yet, says who speaks
# Reads:  requirements.txt, pyproject.toml
# Writes: nothing itself; 00_install.sh makes .venv where it is missing or made from other requirements
# Takes:  a second; a few minutes where the set-up is missing
# Expect: $ROOT, $PYTHON, and the commands python and caffe of the project's own environment
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

die() { # one sentence, status 1
  echo "error: $*" >&2
  exit 1
}

# $1 as it is meant from where the user stands
absolute() { case $1 in /*) echo "$1" ;; *) echo "$PWD/$1" ;; esac; }

# the folder that holds VOCdevkit: $1, or $1/VOC2007
voc_folder() { if [ -d "$1/VOC2007/VOCdevkit" ]; then echo "$1/VOC2007"; else echo "$1"; fi; }

if [ -z "${INSTALLING:-}" ]; then
  is_installed || bash "$ROOT/scripts/00_install.sh"
  export PATH=$VENV/bin:$PATH PYTHONUNBUFFERED=1
fi
