#!/usr/bin/env bash
# What:   checks the project: ruff check, ruff format --check, all tests
# Reads:  the project
# Writes: nothing that is kept
# Takes:  under 15 minutes on two cores, after the set-up
# Expect: "all checks passed" as the last line; tests whose recordings are not there are skipped and say so
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
cd "$ROOT"

ruff check .
ruff format --check .
python -m pytest -q -rs "$@"
echo "all checks passed; what each test stands for: tests/README.md"
