#!/usr/bin/env bash
# Runs every test with a private Postgres, and ends with one count.
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
echo "$passed passed, $failed failed, $skipped skipped"
exit "$status"
