#!/usr/bin/env bash
# Trains the study of docs/findings.md, one condition of it, into runs/findings. What was cut off goes on when the
# command is repeated.
#
#   bash docs/findings/train.sh natural_x4                             # the three clips of docs/data.md in clips
#   ROOT=data bash docs/findings/train.sh digits_x4 trainer=default    # MovingMNIST in data; further words go to train
#   STARTS=docs/runs/findings/natural_x4/start LOSSES="l1 mse" ...     # on from the kept starts, paired with ours
#   NETWORK=recurrent_small SEEDS=0,1,2 LOSSES="l1 p01" bash docs/findings/train.sh digits_x2
set -euo pipefail
condition=${1:?name a condition: natural_x4, digits_x4 or digits_x2}
shift
further=("$@") into=runs/findings/$condition network=${NETWORK:-residual_fusion_small}
starts=${STARTS:-$into/start}
seeds=${SEEDS:-0,1,2,3,4} python=${PYTHON:-python}
rates=${RATES:-3e-4,1e-3,3e-3} outer=${OUTER:-1e-4,1e-2} # one of which is tried, too, where the best is at an end
all="l1 mse p001 p003 p01 p03 p1 perceptual adv advp01"
more="lite0_p01 lite0_perceptual bundled_p01 bundled_perceptual relu2_2 relu5_4 conv5_4 squared normalized \
scratch_l1 scratch_p01 scratch_perceptual" # not trained unless LOSSES names them

losses=${LOSSES:-$all}
for loss in $losses; do
  if [[ " $all $more " != *" $loss "* ]]; then
    echo "error: there is no loss $loss: choose among $all $more" >&2
    exit 2
  fi
done
case $condition in
natural_x4)
  data=(data.root="${CLIPS:-clips}") judges=vmaf
  trained_on=("${data[@]}" data.used_share=0.667) # of which the last third tests rates, and trains later
  tuned=("${trained_on[@]}" "starts=$into/tune_start" "metrics=[patch_distance]")
  ;;
digits_x2 | digits_x4)
  data=(data.source=published data.root="${ROOT:-data}" data.test_videos=100) judges=legibility
  tuned=("${data[@]}" "starts=$starts")
  ;;
*)
  echo "error: there is no condition $condition: choose natural_x4, digits_x4 or digits_x2" >&2
  exit 2
  ;;
esac
metrics=told_apart,patch_distance,kernel_distance,tlp,tof,warping_error,jod,lite0_distance,lite1_distance
metrics="metrics=[$metrics,$judges]"

train() { # FOLDER NAME OVERRIDE...: a sweep into that folder, each run named by what it sweeps
  local folder=$1 name=$2
  shift 2
  "$python" -m vsr_lightning.train -m resume=auto "model=$network" "hydra.sweep.dir=$folder" \
    "hydra.sweep.subdir=\${hydra:runtime.choices.model}_$name" "$@" ${further[@]+"${further[@]}"}
}

treatment() { # NAME OVERRIDE...: choose the rate on held-out videos, then go on from each start
  local name=$1 rate
  tune "$rates" "$@" || echo "some rates of $1 failed: the best of the others is taken" >&2
  rate=$(chosen "$name" --next "$outer")
  if [[ -n $rate ]]; then
    tune "$rate" "$@" || echo "the rate $rate of $1 failed: the best of the others is taken" >&2
  fi
  rate=$(chosen "$name")
  shift
  train "$into/$name" 'seed${seed}' "experiment=findings_${condition}_on" "${data[@]}" "starts=$starts" \
    "seed=$seeds" "optimizer.lr=$rate" "$metrics" "$@"
}

tune() { # RATES NAME OVERRIDE...
  local tried=$1 name=$2 failed=0
  shift 2
  train "$into/tune_$name" 'lr${optimizer.lr}' "experiment=findings_${condition}_on" "${tuned[@]}" seed=0 \
    "optimizer.lr=$tried" "$@" || failed=1
  if [[ $name == adv* && $condition != natural_x4 ]]; then # a discriminator's opinion can't be compared between rates
    for run in "$into/tune_$name/${network}_lr"*/; do
      score_held_out "${run%/}" "$into/tune_${name}_held_out/$(basename "$run")"
    done
  fi
  return $failed
}

chosen() { # NAME OPTION...: the rate that did best, or what the options ask for
  "$python" -m vsr_lightning.findings runs/findings --rate "$condition" "$1" "$network" "${@:2}"
}

score_held_out() { # RUN FOLDER
  grep -q '"status": "finished"' "$2/metrics.json" 2>/dev/null && return
  rm -rf "$2" # of an evaluation that was cut off
  "$python" -m vsr_lightning.evaluate "run=$1" held_out=true 'metrics=[patch_distance]' \
    "hydra.run.dir=$2"
}

term() { echo "loss.terms={mse: $1, l1: $2, perceptual: $3}"; }
perceptual=loss.losses.perceptual
lite0=(features=efficientnet_lite0 "$perceptual.layers=[stem,block0,block2,block4,block10]"
  "$perceptual.difference=normalized")
bundled=(features=bundled "$perceptual.layers=all" "$perceptual.difference=absolute")
scratch=(init_from=null trainer.max_epochs=6 trainer.limit_train_batches=500) # as the starts are trained
adversarial=(module=adversarial module.weight=0.003 module.discriminator_optimizer.lr=4e-4)

if [[ -z ${STARTS:-} ]]; then
  train "$into/start" 'seed${seed}' "experiment=findings_$condition" "${data[@]}" "seed=$seeds" "$metrics"
fi
if [[ $condition == natural_x4 ]]; then
  train "$into/tune_start" 'seed${seed}' "experiment=findings_$condition" "${trained_on[@]}" seed=0
fi
for loss in $losses; do
  case $loss in
  mse) treatment mse "$(term 1 0 0)" ;;
  l1) treatment l1 "$(term 0 1 0)" ;;
  p001) treatment p001 "$(term 0 1 0.001)" ;;
  p003) treatment p003 "$(term 0 1 0.003)" ;;
  p01) treatment p01 "$(term 0 1 0.01)" ;;
  p03) treatment p03 "$(term 0 1 0.03)" ;;
  p1) treatment p1 "$(term 0 1 0.1)" ;;
  perceptual) treatment perceptual "$(term 0 0 1)" ;;
  adv) treatment adv "$(term 0 1 0)" "${adversarial[@]}" ;;
  advp01) treatment advp01 "$(term 0 1 0.01)" "${adversarial[@]}" ;;
  lite0_p01) treatment "$loss" "$(term 0 1 0.01)" "${lite0[@]}" ;;
  lite0_perceptual) treatment "$loss" "$(term 0 0 1)" "${lite0[@]}" ;;
  bundled_p01) treatment "$loss" "$(term 0 1 0.01)" "${bundled[@]}" ;;
  bundled_perceptual) treatment "$loss" "$(term 0 0 1)" "${bundled[@]}" ;;
  relu2_2 | relu5_4 | conv5_4) treatment "$loss" "$(term 0 0 1)" "$perceptual.layers=[$loss]" ;; # of all sixteen
  squared | normalized) treatment "$loss" "$(term 0 0 1)" "$perceptual.difference=$loss" ;;      # instead of absolute
  scratch_l1) rates=1.5e-3,4.5e-3 outer=5e-4,1.35e-2 treatment "$loss" "$(term 0 1 0)" "${scratch[@]}" ;;
  scratch_p01) rates=1.5e-3,4.5e-3 outer=5e-4,1.35e-2 treatment "$loss" "$(term 0 1 0.01)" "${scratch[@]}" ;;
  scratch_perceptual) rates=1.5e-3,4.5e-3 outer=5e-4,1.35e-2 treatment "$loss" "$(term 0 0 1)" "${scratch[@]}" ;;
  esac
done
network=bicubic train "$into/bicubic" 'rows' "experiment=findings_$condition" "${data[@]}" "$metrics" # and the ceiling:
network=truth train "$into/truth" 'rows' "experiment=findings_$condition" "${data[@]}" "$metrics"
