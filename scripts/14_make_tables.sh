#!/usr/bin/env bash
# Stage 14: makes the tables and the report page from the records; --help says more.
# Takes seconds.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

exec "$PYTHON" "$ROOT/experiments/make_tables.py" "$@"
