#!/usr/bin/env bash
# Runs the Autobahn fuzzing client, which needs Python 2.7, against the hub's WebSocket frames.
#
#   tests/autobahn.sh                   every case
#   AUTOBAHN_CASES=6.*,7.* tests/autobahn.sh
#   AUTOBAHN_LIB=/var/tmp/autobahn tests/autobahn.sh    installs there, once
set -euo pipefail
cd "$(dirname "$0")/.."

# autobahntestsuite and what it was written for; newer ones do not read Python 2.
release=autobahntestsuite==25.10.1
python=${PYTHON2:-python2.7}
if ! "$python" -c 'import pip' 2>/dev/null; then
    echo "$python with pip is needed: set PYTHON2, or see github.com/pyenv/pyenv" >&2
    exit 1
fi

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
lib=${AUTOBAHN_LIB:-$folder/lib}
if [ ! -d "$lib" ]; then
    "$python" -m pip install --quiet --target "$lib" "$release"
fi
# `site` reads the .pth files, by which zope.interface is found.
cat >"$folder/wstest.py" <<PYTHON
import site
site.addsitedir("$lib")
from autobahntestsuite import wstest
wstest.run()
PYTHON
export STAFFETTA_TEST_AUTOBAHN="$python $folder/wstest.py"
cargo test --locked --test it autobahn -- --nocapture
