#!/usr/bin/env bash
# Whether there is a Node the JavaScript client's tests run on.
command -v node >/dev/null && command -v npm >/dev/null &&
    node -e 'process.exit(parseInt(process.versions.node) >= 20 ? 0 : 1)'
