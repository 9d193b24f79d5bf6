#!/usr/bin/env bash
# Builds the guests in Python and JavaScript by their own toolchains, from PyPI and npm.
#
#   tests/guests/languages/build.sh DIR   leaves python.wasm and javascript.wasm in DIR, with the
#                                         toolchains beside them
set -euo pipefail
out=${1:?a directory for the components}
mkdir -p "$out"
out=$(cd "$out" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")"
here=$PWD

# The versions that were tried.
PYTHON_TOOL=componentize-py==0.25.1
JAVASCRIPT_TOOL=@bytecodealliance/componentize-js@0.23.0

if [ ! -x "$out/venv/bin/componentize-py" ]; then
    python3 -m venv "$out/venv"
    "$out/venv/bin/pip" install --quiet "$PYTHON_TOOL"
fi
# It writes compiled code beside the source, so it gets a copy.
mkdir -p "$out/python"
cp python/app.py "$out/python/"
"$out/venv/bin/componentize-py" -d text.wit -w languages componentize -p "$out/python" app \
    -o "$out/python.wasm"

mkdir -p "$out/javascript"
cp javascript/app.js javascript/build.mjs "$out/javascript/"
cd "$out/javascript"
if [ ! -d node_modules/@bytecodealliance/componentize-js ]; then
    npm install --no-audit --no-fund --no-save --silent "$JAVASCRIPT_TOOL"
fi
node build.mjs "$here/text.wit" "$out/javascript.wasm"
