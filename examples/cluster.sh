#!/usr/bin/env bash
# Runs three nodes here, with a Postgres and a NATS of their own, until Ctrl-C.
#
#   examples/cluster.sh
#   examples/cluster.sh --set cluster.lease_ms=3000 --set cluster.renew_ms=1000
#
# Arguments go to each node. STAFFETTA names the program; without, that of target/ is taken, or built. Needs Debian's postgresql
# and nats-server. Everything is kept in a temporary folder, which goes at the end.
set -euo pipefail

if [ -z "${STAFFETTA_TEST_POSTGRES:-}" ]; then
    root=$(dirname "$(dirname "$(readlink -f "$0")")")
    exec "$root/tests/postgres.sh" "$root/examples/cluster.sh" "$@"
fi
cd "$(dirname "$0")/.."

program=${STAFFETTA:-}
for built in target/release/staffetta target/debug/staffetta; do
    if [ -z "$program" ] && [ -x "$built" ]; then
        program=$PWD/$built
    fi
done
if [ -z "$program" ]; then
    cargo build --release --locked
    program=$PWD/target/release/staffetta
fi
nats=$(PATH=$PATH:/usr/sbin command -v nats-server || true)
if [ -z "$nats" ]; then
    echo "no nats-server here: apt-get install nats-server" >&2
    exit 1
fi

program=$(readlink -f "$program")
folder=$(mktemp -d)
# Away from config.toml, which is for one node.
cd "$folder"
started=()
urls=()

stop() {
    status=$?
    trap - EXIT INT TERM
    # Nobody may be reading what is said of their ends.
    trap '' PIPE
    # Nodes first, so that they let their slots go and say so.
    for pid in "${started[@]:1}"; do
        kill -TERM "$pid" 2>/dev/null || true
    done
    for pid in "${started[@]:1}"; do
        wait "$pid" 2>/dev/null || true
    done
    [ ${#started[@]} -eq 0 ] || kill "${started[0]}" 2>/dev/null || true
    cd / && rm -rf "$folder"
    exit "$status"
}
trap stop EXIT
trap 'exit 0' INT TERM

# The next port nobody listens on.
port=4221
next_port() {
    port=$((port + 1))
    while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
        port=$((port + 1))
    done
}

# Asks the node that was started last until it is ready.
wait_for() {
    for _ in $(seq 300); do
        if curl --fail --silent --output /dev/null "$1/readyz"; then
            return
        fi
        kill -0 "${started[-1]}" 2>/dev/null || break
        sleep 0.1
    done
    echo "$1 does not start" >&2
    exit 1
}

# In a session of its own, so that Ctrl-C reaches the nodes first.
next_port
nats_port=$port port=3000
setsid "$nats" -a 127.0.0.1 -p "$nats_port" >"$folder/nats.log" 2>&1 &
started+=($!)

# One secret for all of them: a token that one node signs is good on every node.
(umask 077 && head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$folder/staffetta.secret")
secret="auth.secret_file=$folder/staffetta.secret"

table=""
for name in a b c; do
    next_port
    "$program" serve --listen "127.0.0.1:$port" --database-url "$STAFFETTA_TEST_POSTGRES" \
        --set "$secret" --set cluster.mode=nats --set "cluster.node=$name" \
        --set "cluster.nats_url=nats://127.0.0.1:$nats_port" \
        --set "cluster.advertise=http://127.0.0.1:$port" "$@" \
        > >(exec sed -u "s/^/$name | /") 2>&1 &
    started+=($!)
    table+="  node $name  http://127.0.0.1:$port  pid $!"$'\n'
    urls+=("http://127.0.0.1:$port")
    # One after the other: the first brings the schema up to date.
    wait_for "http://127.0.0.1:$port"
done
token=$("$program" token app --scope publish --scope admin --set "$secret")

cat <<END

Three nodes, one Postgres, one NATS:
$table
  TOKEN=$token

Another terminal: a device of alice on node a, and events for her that are published on b.

  $program tail --user alice --set $secret --state $folder/tail.json --url ${urls[0]}
  $program publish alice added '{"id":"photo-1"}' --set $secret --url ${urls[1]}

Where alice is at home, as node c sees it:

  curl -H "Authorization: Bearer \$TOKEN" '${urls[2]}/api/v1/route?user=alice'

Then kill -9 the pid of her home and publish again: 503 until its lease ends (10 s), and then by her
next home. If tail was on that node, start it again with the --url of another: it gets what it missed.

The console: ${urls[0]}/console (with the token). Ctrl-C ends everything.

END

for pid in "${started[@]:1}"; do
    wait "$pid" || true
done
echo "every node has ended"
