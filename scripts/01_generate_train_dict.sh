#!/usr/bin/env bash
# What:   pairs every usable image with the article it illustrates
# Reads:  DATA/ImageCLEF_Wikipedia/{metadata,images,text}
# Writes: WORK/LDA/train_dict_ImageCLEF_Wikipedia.json
# Takes:  about 1 ms an image
# Expect: what was left out, by reason; "N images, M articles"
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

exec "$PYTHON" "$ROOT/LDA/generate_train_dict.py" "$@"
