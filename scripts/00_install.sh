#!/usr/bin/env bash
# usage: bash scripts/00_install.sh
# Sets the project up: .venv with the pinned packages and the command caffe, WordNet in
# data/nltk_data.  Needs Python 3.10 to 3.13 (PYTHON3=... names one), 3 GB of disk, 3 minutes.
set -euo pipefail
case ${1:-} in -h | --help) exec head -n 4 "${BASH_SOURCE[0]}" ;; esac
INSTALLING=1 source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

die() { # one sentence, status 1
  echo "error: $*" >&2
  exit 1
}

find_python() { # the first Python for which all pinned packages exist
  local name fits='import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))'
  for name in "${PYTHON3:-python3}" python3.13 python3.12 python3.11 python3.10; do
    if "$name" -c "$fits" 2>/dev/null; then
      echo "$name"
      return
    fi
  done
  die "no Python 3.10 to 3.13 was found: install one, or name it in PYTHON3=..."
}

if ! is_installed; then
  made_for=$(head -n 1 "$VENV/installed" 2>/dev/null || true)
  rm -f "$VENV/installed"
  if [ "$made_for" = "$ROOT" ] && "$PYTHON" -c '' 2>/dev/null; then
    echo "bringing $VENV up to date"
  else # it is missing or broken, or the project was moved
    python=$(find_python)
    echo "setting up $VENV with $("$python" --version)"
    "$python" -m venv --clear "$VENV" ||
      die "$python cannot make $VENV: install its venv module (Debian: python3-venv)"
  fi
  "$PYTHON" -m pip install --quiet --disable-pip-version-check -r "$ROOT/requirements.txt"
  "$PYTHON" -m pip install --quiet --disable-pip-version-check --no-deps -e "$ROOT"
  installed_mark >"$VENV/installed"
fi
"$PYTHON" "$ROOT/scripts/get_wordnet.py"
echo "set up: $VENV, with the command $VENV/bin/caffe; next: bash scripts/run_all.sh --sample"
