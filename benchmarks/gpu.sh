#!/usr/bin/env bash
# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
#
# Everything that must be measured on a GPU, in under eight minutes, on a machine that may have nothing but Python, torch
# and a driver: no network, nothing installed outside a temporary folder.
#
#   benchmarks/gpu.sh [WHEELS_DIR] [options of python -m anacrusis.benchmarks.gpu]
#
# WHEELS_DIR: wheels for what the machine lacks (onnxruntime-gpu, tensorrt-rtx-cu13-libs and -bindings, cuda-bindings,
# cuda-pathfinder, safetensors, matplotlib, onnx, onnxscript, ...). What is in neither place is recorded as not run.
# OUT: where the records go (default out/gpu). PYTHON: which interpreter (default: this checkout's .venv, else python3).
# Exit code 1 where an item of a dry run failed. ANACRUSIS_COMMIT: said in the records where the tree is no git checkout.
set -uo pipefail
cd "$(dirname "$0")/.."

began=$SECONDS
python=${PYTHON:-$([ -x .venv/bin/python ] && echo "$PWD/.venv/bin/python" || echo python3)}
out=${OUT:-out/gpu}
mkdir -p "$out"
wheels=""
if [ $# -gt 0 ] && [ "${1#-}" = "$1" ]; then
  wheels=$1
  shift
  [ -d "$wheels" ] || { echo "benchmarks/gpu.sh: $wheels is not a directory" >&2; exit 2; }
fi

site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT
if [ -n "$wheels" ]; then
  # One at a time: a wheel for another Python must not keep the others out.
  for wheel in "$wheels"/*.whl; do
    [ -e "$wheel" ] || continue
    if ! "$python" -m pip install --quiet --no-index --find-links "$wheels" --no-deps --no-compile --upgrade \
      --target "$site" "$wheel" >&2; then
      echo "benchmarks/gpu.sh: $(basename "$wheel") does not install here" | tee -a "$out/wheels.txt" >&2
    fi
  done
fi

# The rooms are one namespace package; a build backend would be one more thing to bring.
here=$PWD
export PYTHONPATH="$here/engine:$here/export:$here/server:$here/max:$here/cli:$here/benchmarks:$site${PYTHONPATH:+:$PYTHONPATH}"
seconds=$((460 - (SECONDS - began)))
"$python" -m anacrusis.benchmarks.gpu --out "$out/gpu.jsonl" --seconds "$seconds" "$@" | tee "$out/gpu.txt"
code=${PIPESTATUS[0]}
# The pictures go beside the records; the last line of stdout stays the one above.
"$python" -m anacrusis.benchmarks.gpu_report "$out/gpu.jsonl" --png "$out" >/dev/null 2>"$out/plot.txt" || echo "no plots: see $out/plot.txt" >&2
exit "$code"
