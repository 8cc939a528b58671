#!/usr/bin/env bash
# Runs every test with a private Postgres, then those in JavaScript, and ends with one count.
set -uo pipefail
cd "$(dirname "$0")/.."

log=$(mktemp)
trap 'rm -f "$log"' EXIT

tests/postgres.sh cargo test --locked --no-fail-fast 2>&1 | tee "$log"
status=${PIPESTATUS[0]}

# "test result: ok. 12 passed; 0 failed; 1 ignored; …", one per test binary.
read -r passed failed skipped < <(
    awk '/^test result:/ { for (i = 1; i <= NF; i++) {
             if ($(i + 1) ~ /^passed/) p += $i
             if ($(i + 1) ~ /^failed/) f += $i
             if ($(i + 1) ~ /^ignored/) s += $i } }
         END { print p + 0, f + 0, s + 0 }' "$log"
)
if [ "$status" -ne 0 ] && [ "$failed" -eq 0 ]; then
    echo "the tests did not run to their end (exit $status)"
fi

# Runs the tests of a folder, those named by a pattern, in Node, and adds what they count:
# "# pass 12", once each at the end.
in_node() {
    # shellcheck disable=SC2086 # a pattern of the folder's
    (cd "$1" && node --test --test-concurrency=1 --test-reporter=tap $2) 2>&1 | tee "$log"
    local js_status=${PIPESTATUS[0]} js_passed js_failed js_skipped
    read -r js_passed js_failed js_skipped < <(
        awk '/^# pass [0-9]+$/ { p = $3 } /^# (fail|cancelled) [0-9]+$/ { f += $3 }
             /^# (skipped|todo) [0-9]+$/ { s += $3 } END { print p + 0, f + 0, s + 0 }' "$log"
    )
    if [ "$js_status" -ne 0 ]; then
        status=$js_status
        [ "$js_failed" -gt 0 ] || echo "the tests in $1 did not run to their end (exit $js_status)"
    fi
    passed=$((passed + js_passed)) failed=$((failed + js_failed)) skipped=$((skipped + js_skipped))
}

# The hub just built, with its own client and with the real one of Socket.IO, in Node and Chromium.
if scripts/has-node.sh; then
    in_node clients/js 'test/*.test.js test/hub/*.test.js test/browser/*.test.js'
    in_node tests/js '*.test.js'
else
    echo "left out: the tests in JavaScript need Node 20 or newer"
    skipped=$((skipped + 1))
fi
echo "$passed passed, $failed failed, $skipped skipped"
exit "$status"
