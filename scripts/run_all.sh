#!/usr/bin/env bash
# What:   runs the stages 01 to 09 in order, from the raw corpus to the tables; done stages are skipped
# Reads:  DATA (ImageCLEF_Wikipedia/, Wikipedia/), VOC (VOCdevkit/)
# Writes: WORK, laid out like the project: LDA/, CNN/<net>/, experiments/
# Takes:  --sample: about 5 minutes on two cores; a real corpus: mostly the training (see 05_train_cnn.sh)
# Expect: one line a stage, and at the end the page to look at
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

usage() {
  cat <<'USAGE'
usage: bash scripts/run_all.sh [--sample] [options]
  --sample         the embedded sample corpus, its small net and its schedule
  --data DIR       folder that holds ImageCLEF_Wikipedia/ and Wikipedia/    (default data/)
  --voc DIR        folder that holds VOCdevkit/                             (default: the data folder)
  --work DIR       folder for everything that is made                       (default: the project for data/,
                                                                             else work/<name of the data folder>)
  --from N, --to N first and last stage, 1 to 9
  --net NAME       folder below CNN/                                        (default CaffeNet)
  --solver FILE    solver in it                                             (default solver.prototxt)
  --topics N, --passes N, --workers N, --seed N, --no-below N, --no-above SHARE
                   as LDA/learn_LDA_model.py takes them; up to 100 articles need --no-below 2 --no-above 1
  --scheduler tcp://HOST:PORT    a Dask cluster for the text half
  --collection DIR --dump FILE --images FILE       articles from a MediaWiki dump: data/wikipedia_data/README.md
  --embedding NAME what the net learns: lda, lsi, tfidf, word2vec, doc2vec, fasttext    (default lda)
  --trust-pickle   load dictionaries and models even if they hold code (models/README.md)
  --force          run stages that are done already again
USAGE
}

sample='' data='' voc='' work='' from=1 to=9 net='' solver='' topics=40 passes='' workers='' seed=0 force=''
scheduler='' collection=ImageCLEF_Wikipedia dump='' images='' embedding=lda no_below='' no_above='' trust=()
while [ $# -gt 0 ]; do
  case $1 in
    --sample) sample=1 ;;
    --force) force=1 ;;
    --trust-pickle) trust=(--trust-pickle) ;;
    -h | --help) usage; exit ;;
    --data | --voc | --work | --from | --to | --net | --solver | --topics | --passes | --workers | --seed | \
      --scheduler | --collection | --dump | --images | --embedding | --no-below | --no-above)
      [ $# -gt 1 ] || die "$1 needs a value"
      option=${1#--}
      declare "${option//-/_}=$2"
      shift ;;
    *) usage >&2; die "run_all.sh: unknown option $1" ;;
  esac
  shift
done
case $from$to in *[!1-9]* | ???*) die "--from and --to take a stage, 1 to 9, not $from and $to" ;; esac

if [ -n "$sample" ]; then
  data=${data:-$ROOT/data/sample} work=${work:-$ROOT/work/sample}
  net=${net:-CaffeNetSample} passes=${passes:-10} workers=${workers:-1}
  make_sample=("$PYTHON" "$ROOT/data/sample/make_sample.py" --out "$data")
fi
data=$(absolute "${data:-$ROOT/data}")
[ -n "$work" ] || { [ "$data" -ef "$ROOT/data" ] && work=$ROOT || work=$ROOT/work/$(basename "$data"); }
work=$(absolute "$work") voc=$(voc_folder "$(absolute "${voc:-$data}")")
case $embedding in lda | tfidf) loss='' ;; *) loss=_euclidean ;; esac # signed numbers take another loss
net=${net:-CaffeNet} solver=${solver:-solver$loss.prototxt} passes=${passes:-1} workers=${workers:-3}
folder=$work/CNN/$net results=$work/experiments/results
crop=$(sed -n 's/^ *crop_size: *//p' "$ROOT/CNN/$net/train_val.prototxt" 2>/dev/null | head -n 1 || true)
size=$(((${crop:-227} * 256 + 113) / 227)) # images are stored as much larger than the crop as 256 is than 227
[ -d "$ROOT/CNN/$net" ] || die "$ROOT/CNN/$net does not exist: give --net a folder of CNN/"
[ -z "$sample" ] || [ -d "$data/ImageCLEF_Wikipedia" ] || "${make_sample[@]}"
[ -d "$data" ] || die "$data does not exist: data/README.md says what --data takes"
echo "stages $from to $to: data $data, work $work, net $net, $solver, $topics topics, $passes passes, seed $seed"
iterations=$(sed -n 's/^max_iter: *//p' "$ROOT/CNN/$net/$solver" 2>/dev/null || true)
[ "$embedding" = lda ] && target="$topics topics, $passes passes" || target="$embedding of $topics numbers"
note="trained on $(basename "$data"): $target; $net, ${iterations:-?} iterations"

corpus=(--data "$data" --collection "$collection" --work "$work") cluster=() from_dump=() words=()
[ -z "$no_below" ] || words+=(--no-below "$no_below")
[ -z "$no_above" ] || words+=(--no-above "$no_above")
[ -z "$scheduler" ] || cluster=(--scheduler "$scheduler")
[ -z "$dump$images" ] || from_dump=(--dump "$(absolute "$dump")" --images "$(absolute "$images")" ${cluster[@]+"${cluster[@]}"})

made=''   # what the stage before wrote
stage() { # number, script, output files (all of them: done), then -- and the script's arguments
  local number=$1 script=$2 outputs=() output missing=''
  shift 2
  while [ "$1" != -- ]; do outputs+=("$1"); shift; done
  shift
  if [ "$number" -ge "$from" ] && [ "$number" -le "$to" ]; then
    for output in "${outputs[@]}"; do [ -e "$output" ] || missing=$output; done
    if [ -z "$missing" ] && [ -z "$force" ]; then
      if [ -n "$made" ] && [ "$made" -nt "${outputs[0]}" ]; then
        if [ "$number" = 2 ] && ! grep -q dictionary_sha256 "${outputs[0]}"; then # vocabulary.MARK: what is made here has it
          die "${outputs[0]} was not made here, and not from $made: give --from 3 to use it all the same, or another --work folder"
        fi
        die "stage $number is older than what it reads: $made was made after ${outputs[0]}; give --from $number --force to run it again, or another --work folder to keep it"
      fi
      echo "stage $number is done: ${outputs[0]} is there (--force runs it again)"
    else
      echo "stage $number: $script"
      # an interrupted stage may have left some of its outputs; 05 to 07 continue from them, the others start over
      case $number in [567]) ;; *) for output in "${outputs[@]}"; do [ ! -e "$output" ] || set -- "$@" --force; break; done ;; esac
      [ -z "$force" ] || set -- "$@" --force
      bash "$ROOT/scripts/$script.sh" "$@"
    fi
  fi
  made=${outputs[0]}
}

stage 1 01_generate_train_dict "$work/LDA/train_dict_ImageCLEF_Wikipedia.json" -- "${corpus[@]}" ${from_dump[@]+"${from_dump[@]}"}
stage 2 02_learn_LDA_model "$work/LDA/ldamodel$topics.lda" -- "${corpus[@]}" ${cluster[@]+"${cluster[@]}"} \
  --topics "$topics" --passes "$passes" --workers "$workers" --seed "$seed" ${words[@]+"${words[@]}"} ${trust[@]+"${trust[@]}"}
[ "$embedding" = lda ] && labels=$topics || labels=_$embedding$topics
stage 3 03_generate_train_labels "$work/LDA/training_labels$labels.json" -- "${corpus[@]}" \
  --topics "$topics" --embedding "$embedding" --seed "$seed" ${trust[@]+"${trust[@]}"}
stage 4 04_create_lmdb "$folder/train_images_lmdb/data.mdb" "$folder/train_labels_lmdb/data.mdb" -- \
  "${corpus[@]}" --topics "$topics" --embedding "$embedding" --net "$net" --size "$size" --seed "$seed"
stage 5 05_train_cnn "$folder/trained.caffemodel" "$folder/untrained.caffemodel" -- \
  --work "$work" --net "$net" --solver "$solver" --seed "$seed" --note "$note"
features=()
[ ! -d "$voc/VOCdevkit" ] || features+=("$work/experiments/features/voc2007_fc7_untrained.npz")
[ ! -d "$data/Wikipedia" ] || features+=("$work/experiments/features/wikipedia_prob.npz")
[ ${#features[@]} -gt 0 ] || features=("$work/experiments/features")
stage 6 06_extract_features "${features[@]}" -- --data "$data" --voc "$voc" --work "$work" --net "$net"
if [ -d "$voc/VOCdevkit" ]; then
  stage 7 07_voc_2007_classification "$results"/voc2007_svm_{pool5,fc6,fc7}_{trained,untrained}.json -- \
    --voc "$voc" --work "$work" --seed "$seed" --note "$note"
else
  echo "stage 7 is left out: $voc/VOCdevkit does not exist (--voc names the folder that holds it)"
fi
made=${features[${#features[@]}-1]}
if [ "$embedding" != lda ]; then
  echo "stage 8 is left out: retrieval compares topics, and the net has learnt $embedding"
elif [ -d "$data/Wikipedia" ]; then
  stage 8 08_multi_modal_retrieval "$results/retrieval.json" -- \
    --data "$data" --work "$work" --topics "$topics" --seed "$seed" --note "$note" ${trust[@]+"${trust[@]}"}
else
  echo "stage 8 is left out: $data/Wikipedia does not exist (data/README.md says what lies there)"
fi
if [ "$to" = 9 ]; then # tables are cheap: they are made again whenever the chain runs to its end
  echo "stage 9: 09_make_tables"
  bash "$ROOT/scripts/09_make_tables.sh" --data "$data" --work "$work" --force
  echo "look at $work/experiments/report.html (and tables.md beside it)"
else
  echo "stages up to $to are done: look into $work"
fi
