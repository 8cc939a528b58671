#!/usr/bin/env bash
# Runs a command with a private Postgres, named in STAFFETTA_TEST_POSTGRES, and cleans up after it.
#
#   tests/postgres.sh cargo test
set -euo pipefail

bin=$(dirname "$(readlink -f "$(command -v postgres || true)")")
if [ ! -x "$bin/initdb" ]; then
    bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
fi
if [ ! -x "$bin/initdb" ]; then
    echo "no Postgres here: make test installs it" >&2
    exit 1
fi

# Postgres refuses to run as root.
as_postgres=()
if [ "$(id -u)" -eq 0 ]; then
    owner=postgres
    id "$owner" >/dev/null 2>&1 || owner=nobody
    as_postgres=(setpriv --reuid="$owner" --regid="$(id -g "$owner")" --clear-groups)
fi

folder=$(mktemp -d)
chmod 755 "$folder"
mkdir "$folder/data" "$folder/socket"
if [ "$(id -u)" -eq 0 ]; then
    chown "$owner" "$folder/data" "$folder/socket"
fi

stop() {
    status=$?
    trap - EXIT INT TERM
    "${as_postgres[@]}" "$bin/pg_ctl" -D "$folder/data" -m immediate -w stop >/dev/null 2>&1 || true
    rm -rf "$folder"
    exit "$status"
}
trap stop EXIT INT TERM

cd "$folder"
"${as_postgres[@]}" "$bin/initdb" -D "$folder/data" -U staffetta -A trust -E UTF8 --no-locale \
    >/dev/null
# Any free port: another process may take it first, so a few are tried.
for _ in 1 2 3 4 5; do
    port=$((20000 + RANDOM % 20000))
    if "${as_postgres[@]}" "$bin/pg_ctl" -D "$folder/data" -w -t 30 -l "$folder/socket/log" start \
        -o "-p $port -h 127.0.0.1 -k $folder/socket -c max_connections=500 -c fsync=off" \
        >/dev/null 2>&1; then
        export STAFFETTA_TEST_POSTGRES="postgres://staffetta@127.0.0.1:$port/postgres"
        break
    fi
done
if [ -z "${STAFFETTA_TEST_POSTGRES:-}" ]; then
    cat "$folder/socket/log" >&2
    exit 1
fi
cd "$OLDPWD"
"$@"
