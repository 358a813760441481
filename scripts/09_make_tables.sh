#!/usr/bin/env bash
# What:   makes tables and the report page from the results
# Reads:  experiments/paper.json, WORK/experiments/results/*.json
# Writes: WORK/experiments/{tables.md,report.html}
# Takes:  seconds
# Expect: "report: .../report.html"; open it
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

exec "$PYTHON" "$ROOT/experiments/make_tables.py" "$@"
