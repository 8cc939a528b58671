#!/usr/bin/env bash
# Adds to the seeds what was found on the way: of the corpus the fewest inputs that reach every place
# the corpus reaches, however often. `fuzz/keep.sh` after `fuzz/run.sh`; or `fuzz/keep.sh native`.
set -euo pipefail
cd "$(dirname "$0")"

program=${CARGO_TARGET_DIR:-target}/$(rustc -vV | sed -n 's/^host: //p')/release/decoders
[ $# -gt 0 ] || set -- $(ls corpus)
kept=$(mktemp -d)
trap 'rm -rf "$kept"' EXIT
for decoder in "$@"; do
    mkdir "$kept/$decoder"
    FUZZ_DECODER=$decoder "$program" -set_cover_merge=1 -use_counters=0 -max_len=16384 \
        "$kept/$decoder" "seeds/$decoder" "corpus/$decoder" >/dev/null 2>&1
    had=$(sha1sum "seeds/$decoder"/* | cut -d ' ' -f 1)
    for input in "$kept/$decoder"/*; do
        # The fuzzer names an input by its hash; seeds with names of their own are there already.
        grep -qxF "${input##*/}" <<<"$had" || cp "$input" "seeds/$decoder/"
    done
    echo "$decoder: $(wc -l <<<"$had") seeds before, $(ls "seeds/$decoder" | wc -l) now"
done
