#!/usr/bin/env bash
# usage: bash scripts/test.sh [what pytest takes, such as -k NAME or a file]
# Checks the project: ruff check, ruff format --check, all tests in a process per core (under 15
# minutes on two).  Tests whose recordings are missing are skipped; the end is "all checks passed".
set -euo pipefail
case ${1:-} in -h | --help) exec head -n 4 "${BASH_SOURCE[0]}" ;; esac
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
cd "$ROOT"

ruff check .
ruff format --check .
python -m pytest -q -rs -n auto "$@"
echo "all checks passed; tests/README.md says what the tests cover"
