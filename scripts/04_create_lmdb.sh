#!/usr/bin/env bash
# What:   packs images and labels into two LMDBs with equal keys, in one shuffled order
# Reads:  WORK/LDA/training_labels40.json, the images
# Writes: WORK/CNN/CaffeNet/{train_images_lmdb,train_labels_lmdb}
# Takes:  about 1 ms an image of that size already, 10 ms a photograph
# Expect: "N images and labels", and how many images were bad
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

exec "$PYTHON" "$ROOT/CNN/create_lmdb.py" "$@"
