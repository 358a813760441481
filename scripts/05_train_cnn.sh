#!/usr/bin/env bash
# What:   trains the CNN with caffe train; resumes from the newest good snapshot if there is one
# Reads:  CNN/<net>/*.prototxt, the LMDBs in WORK/CNN/<net>/
# Writes: WORK/CNN/<net>/{trained,untrained}.caffemodel, snapshots/, trained.log; WORK/experiments/results/training.json
# Takes:  1.7 s an iteration on two cores (solver_short: 1,500; solver: 160,000, for a GPU)
# Expect: Caffe's log, the loss falling; two .caffemodel files
#         [--work DIR] [--net CaffeNet] [--solver solver.prototxt] [--seed N] [--note TEXT] [--force]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

work=$ROOT net=CaffeNet solver=solver.prototxt seed='' note='' force=''
while [ $# -gt 0 ]; do
  case $1 in
    --work) work=$(absolute "$2"); shift ;;
    --net) net=$2; shift ;;
    --solver) solver=$2; shift ;;
    --seed) seed=$2; shift ;;
    --note) note=$2; shift ;;
    --force) force=1 ;;
    *) die "$0: unknown option $1; it takes --work --net --solver --seed --note --force" ;;
  esac
  shift
done
source_folder=$ROOT/CNN/$net folder=$work/CNN/$net
[ -f "$source_folder/$solver" ] || die "$source_folder/$solver does not exist: give --net and --solver what is in CNN/"
[ -d "$folder/train_images_lmdb" ] || die "$folder/train_images_lmdb does not exist: make it with scripts/04_create_lmdb.sh"
[ "$source_folder" -ef "$folder" ] || find "$source_folder" -maxdepth 1 \( -name "*.prototxt" -o -name "*.py" \) -exec cp {} "$folder/" \;
cd "$folder"
mkdir -p snapshots

field() { sed -n "s/^ *$2: *\"\{0,1\}\([^\"# ]*\).*/\1/p" "$1"; }

train() { # solver, name of the result
  local run=run_$1 final
  final="$(field "$1" snapshot_prefix)_iter_$(field "$1" max_iter).caffemodel"
  if [ -n "$force" ]; then
    rm -f "$2".{caffemodel,log} "$(field "$1" snapshot_prefix)"_iter_*.{caffemodel,solverstate}{,.h5}
  elif [ -f "$2.caffemodel" ]; then
    echo "$folder/$2.caffemodel is there already: --force trains it again"
    return
  fi
  if [ -n "$seed" ]; then # the same solver with this seed
    { grep -v '^random_seed:' "$1"; echo "random_seed: $seed"; } >"$run"
  else
    cp "$1" "$run"
  fi
  caffe train --solver "$run" --resume 2>&1 | tee -i -a "$2.log"
  [ -f "$final" ] || die "training stopped before its last iteration: the same command resumes it from $folder/snapshots/"
  ln -f "$final" "$2.caffemodel" 2>/dev/null || cp "$final" "$2.caffemodel"
  echo "$folder/$2.caffemodel"
}

train solver_untrained.prototxt untrained
train "$solver" trained
record=$work/experiments/results/training.json
if [ -f trained.log ] && { [ -n "$force" ] || [ ! -f "$record" ] || [ trained.caffemodel -nt "$record" ]; }; then
  "$PYTHON" "$ROOT/experiments/record_training.py" --work "$work" --net "$net" --model "$(field "$solver" net)" --note "$note" --force \
    --seed "$(field "run_$solver" random_seed | grep . || echo -1)"
fi
