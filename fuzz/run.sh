#!/usr/bin/env bash
# Builds the decoders under libFuzzer with the compiler at hand, and runs them:
# `fuzz/run.sh` builds, `fuzz/run.sh 600` runs each for 600 s, `fuzz/run.sh 600 native` that one.
# With 0 s it runs what is in seeds and corpus once. JOBS=3 runs three at a time, and NICE="nice -n 19"
# comes before each. Needs a C++ compiler, no nightly.
set -euo pipefail
cd "$(dirname "$0")"

target=$(rustc -vV | sed -n 's/^host: //p')
coverage=(
    -Cpasses=sancov-module
    -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
    -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares
    --cfg fuzzing
)
# Each version is the hub's own; what only the fuzzer needs is added.
[ Cargo.lock -nt ../Cargo.lock ] || cp ../Cargo.lock Cargo.lock
# With --target, build scripts and macros are spared the counters.
RUSTFLAGS="${coverage[*]}" cargo build --release --target "$target"
[ $# -gt 0 ] || exit 0

seconds=$1
shift
[ $# -gt 0 ] || set -- $(ls seeds)
program=${CARGO_TARGET_DIR:-target}/$target/release/decoders

# Runs one decoder; says what it did in a few lines, and all of it when it broke.
run() {
    local decoder=$1 log=artifacts/$1.log limits=(-max_total_time="$seconds")
    [ "$seconds" -gt 0 ] || limits=(-runs=0)
    mkdir -p "corpus/$decoder" "artifacts/$decoder"
    # shellcheck disable=SC2086 # a command and its arguments
    if FUZZ_DECODER=$decoder ${NICE:-} "$program" "${limits[@]}" -max_len=16384 -timeout=5 \
        -rss_limit_mb=512 -malloc_limit_mb=128 -artifact_prefix="artifacts/$decoder/" \
        -print_final_stats=1 "corpus/$decoder" "seeds/$decoder" >"$log" 2>&1; then
        echo "$decoder: $(grep -Eo 'DONE.*cov: [0-9]+ ft: [0-9]+|INITED.*cov: [0-9]+ ft: [0-9]+' "$log" |
            tail -n 1), $(sed -n 's/^stat::\(number_of_executed_units\|peak_rss_mb\): */\1 /p' "$log" |
            paste -sd ' ')"
    else
        cat "$log"
        echo "$decoder: broken by what is in fuzz/artifacts/$decoder"
        return 1
    fi
}
export -f run
export seconds program

printf '%s\n' "$@" | xargs -P "${JOBS:-1}" -I '{}' bash -c 'set -euo pipefail; run {}'
