#!/usr/bin/env bash
# What authors get wrong, in every language: sources that do not compile, types that have no schema,
# exceptions, memory that is corrupted. Each is told in words that name the file or the type, and
# harms nobody else.
#
#   tests/bad-input.sh HOST DIR    HOST is the program; DIR is where tests/projects.sh has been
set -euo pipefail
host=$(realpath "${1:?the program}")
cd "${2:?the folder of the projects}"
export AOS_STORE=memory:

fail() { echo "bad-input.sh: $1" >&2; exit 1; }

# expect CODE WORDS COMMAND...: it ends with the code, and says the words
expect() {
    local code=0 wanted=$1 words=$2 said
    shift 2
    said=$("$@" 2>&1) || code=$?
    [ "$code" = "$wanted" ] || fail "$*: code $code instead of $wanted: $said"
    grep -qF -- "$words" <<<"$said" || fail "$*: no '$words' in: $said"
}

begin() { # LANGUAGE: a new project, with the toolchain of the others, in ./bad-LANGUAGE
    rm -rf "bad-$1"
    "$host" new "bad-$1" --lang "$1" >/dev/null
    ln -s ../venv "bad-$1/.venv"
    [ ! -f "bad-$1/package.json" ] || ln -s ../npm/node_modules "bad-$1/node_modules"
    echo "== bad-$1" >&2
}

call() { # LANGUAGE CODE WORDS
    expect "$2" "$3" "$host" run "bad-$1/dist/bad-$1.wasm" --input '{"text":"a"}'
}

# A source that does not compile: the toolchain's own message, with the file.
for pair in python:tools.py javascript:src/tools.js typescript:src/tools.ts c:src/tools.c \
    zig:src/tools.zig go:tools.go; do
    language=${pair%%:*} file=${pair#*:}
    begin "$language"
    echo ')) it is not a program' >>"bad-$language/$file"
    expect 1 "$(basename "$file")" "$host" build "bad-$language"
    [ ! -e "bad-$language/dist" ] || fail "$language: a broken source left a plugin"
done

# A type that has no JSON Schema.
begin python
printf '\n\n@tool\ndef odd(x: complex) -> str:\n    """Odd."""\n    return ""\n' >>bad-python/tools.py
expect 1 "odd(x): <class 'complex'> has no JSON schema" "$host" build bad-python

begin javascript
sed -i 's/type: "integer"/type: "complex"/' bad-javascript/src/tools.js
expect 5 "count_words" "$host" build bad-javascript

begin typescript
sed -i 's/words: words.length/words: "many"/' bad-typescript/src/tools.ts
expect 1 "error TS" "$host" build bad-typescript

begin c
sed -i 's/ARGUMENT(OF, integer,/ARGUMENT(OF, complex,/' bad-c/src/tools.c
expect 1 "aos_type_complex" "$host" build bad-c

begin zig
sed -i 's/letters_max: ?i64 = null,/letters_max: ?*anyopaque = null,/' bad-zig/src/tools.zig
expect 1 "anyopaque" "$host" build bad-zig

begin go
sed -i 's/^\tText  .*/&\n\tOdd chan int `json:"odd"`/' bad-go/tools.go
expect 1 "chan int has no JSON schema" "$host" build bad-go

# An exception inside a tool: a typed error with its message, and the traceback for the author.
begin python
sed -i 's/    words = \[word/    1 \/ 0\n    words = [word/' bad-python/tools.py
"$host" build bad-python >/dev/null 2>&1
call python 1 'ZeroDivisionError: division by zero'
call python 1 'in count_words'

begin javascript
sed -i 's/const all = text.split/null.x; const all = text.split/' bad-javascript/src/tools.js
"$host" build bad-javascript >/dev/null 2>&1
call javascript 1 'TypeError'

begin go
sed -i 's/^\tcounts, seen := /\tvar nothing *int; _ = *nothing\n\tcounts, seen := /' bad-go/tools.go
"$host" build bad-go >/dev/null 2>&1
call go 1 'nil pointer'

# A program that corrupts its own memory: only itself, and only this call.
begin c
sed -i 's/^    size_t words = 0, distinct = 0;/    if (in->text.length == 1) for (volatile char *p = (char *)1024;; p++) *p = 77;\n&/' \
    bad-c/src/tools.c
"$host" build bad-c >/dev/null 2>&1
call c 1 'crashed'
said=$("$host" run bad-c/dist/bad-c.wasm --input '{"text":"to be or not to be"}')
[ "$said" = '{"words":6,"distinct":4}' ] || fail "a call after the crash: $said"

echo "what is wrong is told, and harms nobody else"
