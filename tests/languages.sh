#!/usr/bin/env bash
# Prints the table of languages that stands in sdk/guide/README.md, with the figures of this machine:
# the template's tool in each language, and the two plugins that run code.
#
#   tests/languages.sh HOST DIR    HOST is the program that builds them; DIR is where
#                                  tests/projects.sh has been, or will be
set -euo pipefail
host=$(realpath "${1:?the program}")
mkdir -p "${2:?a folder}"
folder=$(realpath "$2")
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export AOS_STORE=memory:

[ -f "$folder/python-tool/dist/python-tool.wasm" ] || bash "$top/tests/projects.sh" "$host" "$folder" >&2
if [ ! -f "$folder/rust-tool/dist/rust-tool.wasm" ]; then
    rm -rf "$folder/rust-tool"
    (
        cd "$folder"
        "$host" new rust-tool --lang rust
        CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$top/target/new-tool} "$host" build rust-tool
    ) >&2
fi
if [ ! -f "$folder/python.wasm" ]; then
    PATH=$folder/venv/bin:$PATH "$host" plugin build python --output "$folder/python.wasm" >&2
fi

subjects=()
for language in rust c zig go javascript typescript python; do
    tool=$folder/$language-tool/dist/$language-tool.wasm
    subjects+=("$language=$tool={\"text\":\"to be or not to be\"}")
done
subjects+=("javascript execute=$top/plugins/dist/javascript.wasm={\"code\":\"(2+3)*4**2\"}")
subjects+=("python execute=$folder/python.wasm={\"code\":\"(2+3)*4**2\"}")
cd "$top"
cargo bench --quiet --locked -p aos-host --bench languages -- "${subjects[@]}"
