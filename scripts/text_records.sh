#!/usr/bin/env bash
# Measures the text half alone and makes the tables of LDA/README.md; --help says more.
# About half an hour on two cores.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

exec "$PYTHON" "$ROOT/experiments/text_records.py" "$@"
