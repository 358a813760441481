#!/usr/bin/env bash
# Runs stages 1 to 14 in order (scripts/chain.py has the table); --help says more.
# --sample takes about 5 minutes on two cores; a real corpus takes as long as its training.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

exec "$PYTHON" "$ROOT/scripts/chain.py" "$@"
