#!/usr/bin/env bash
# Installs what is missing, rebuilds every guest from source, and runs everything.
#
#   bash tests/run.sh                 all of it
#   bash tests/run.sh --without NAME  leaves out one part: guests, lint, project,
#                                     languages, postgres, docker, install
#   bash tests/run.sh --long          also what takes long: guests and projects in other languages, and
#                                     the benches with their budgets
#
# It ends with a failure when something is missing that was not left out by name.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

without=()
long=no
while [ $# -gt 0 ]; do
    case $1 in
        --without) without+=("${2:?--without needs a name}"); shift 2 ;;
        --long) long=yes; shift ;;
        -h | --help) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 0 ;;
        *) echo "run.sh: there is no option $1" >&2; exit 2 ;;
    esac
done

wanted() { # NAME: whether a part was not left out
    local name
    for name in ${without[@]+"${without[@]}"}; do
        if [ "$name" = "$1" ]; then
            echo "== left out: $1"
            return 1
        fi
    done
    echo "== $1 ($SECONDS s)"
}

need() { # COMMAND WHERE-FROM
    command -v "$1" >/dev/null || { echo "run.sh: $1 is missing: $2" >&2; exit 1; }
}

need cargo "install Rust 1.95 or newer with rustup"
need cc "install a C compiler: SQLite and the engine's runtime are built with it"

# One profile builds everything the tests run, so that the engine is compiled once. The host itself is
# not optimised, which takes minutes each time and changes no test; --long and the README's command do.
of=profile.release.package.aos-host
quick=(--config "$of.opt-level=0" --config "$of.codegen-units=256")
[ "$long" = no ] || quick=()
tests() { cargo test --release --locked -p aos-host "${quick[@]}" "$@"; }

# What is started or made here goes with the script, however it ends.
folder=
postgres=
docker=
clean_up() {
    [ -z "$docker" ] || { bash tests/docker.sh stop "$docker"; rm -rf "$docker"; }
    [ -z "$postgres" ] || bash tests/postgres.sh stop "$postgres"
    [ -z "$folder" ] || rm -rf "$folder"
}
trap clean_up EXIT

if wanted lint; then
    cargo fmt --all --check
    (cd plugins && cargo fmt --all --check)
    cargo clippy --locked -p aos-host --all-targets -- -D warnings
    cargo clippy --locked -p aos-sdk -p aos-sdk-macros --all-targets -- -D warnings
fi

if wanted guests; then
    # The tests run against components that were just built, not against the committed ones.
    dist=$PWD/target/rebuilt
    mkdir -p "$dist"
    # One folder for all guests, so that their standard library is built once.
    guests=${CARGO_TARGET_DIR:-$PWD/plugins/target}
    CARGO_TARGET_DIR=$guests bash plugins/build.sh --out "$dist"
    bash plugins/build.sh --check
    bash tests/guests/build.sh --check
    CARGO_TARGET_DIR=$guests bash tests/guests/build.sh --out "$dist"
    export AOS_TEST_DIST=$dist
    (cd plugins && cargo test --locked --workspace)
    # The plugin that runs Python, natively.
    need python3 "install Python 3.11 or newer"
    (cd plugins/python && python3 -m unittest --quiet)
    cargo test --locked -p aos-sdk -p aos-sdk-macros
fi

echo "== host ($SECONDS s)"
tests

if wanted postgres; then
    # A server that is there is used; else one is started for these tests alone.
    if [ -z "${AOS_TEST_POSTGRES:-}" ]; then
        postgres=$(mktemp -d)
        started=$(bash tests/postgres.sh start "$postgres") || {
            echo "run.sh: without a server, leave these tests out: --without postgres" >&2
            exit 1
        }
        while read -r line; do export "${line?}"; done <<<"$started"
    fi
    tests -- --ignored postgres
fi

if wanted docker; then
    # A daemon that is there and has the image is used; else one is started for these tests alone.
    # Where the system lets none start (it takes privileges that a build machine may lack), the same
    # tools were tested above against the tests' own Docker, and --long insists.
    if [ -z "${AOS_TEST_DOCKER:-}" ]; then
        docker=$(mktemp -d)
        if started=$(bash tests/docker.sh start "$docker"); then
            export "${started?}"
        fi
    fi
    if [ -n "${AOS_TEST_DOCKER:-}" ]; then
        tests --test aos -- --ignored docker
    else
        echo "run.sh: LEFT OUT, no Docker starts here: container tools against a real one" >&2
        [ "$long" = no ] || exit 1
    fi
fi

echo "== the README's first command ($SECONDS s)"
answer=$(cargo run --release --locked -p aos-host "${quick[@]}" -- \
    run plugins/dist/calculator.wasm \
    --store memory: --input '{"expression":"(2+3)*4^2"}')
[ "$answer" = 80 ] || { echo "run.sh: it printed $answer instead of 80" >&2; exit 1; }

if wanted project; then
    # A new tool: every command that `aos-host new` prints.
    host=$PWD/target/release/aos-host
    folder=$(mktemp -d)
    (
        cd "$folder"
        export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$OLDPWD/target/new-tool}
        "$host" new my-tool --kind tool
        cd my-tool
        cargo test
        "$host" build
        "$host" run dist/my-tool.wasm --store memory:
        "$host" test dist/my-tool.wasm
    )
    # The same as the guide tells it, with what each command prints.
    tests --test aos guide::commands::rust -- --ignored
fi

if [ $long = yes ] && wanted languages; then
    need python3 "install Python 3 with its venv module"
    need npm "install Node.js 20 or newer with npm"
    languages=$PWD/target/languages
    bash tests/guests/languages/build.sh "$languages"
    bash tests/projects.sh target/release/aos-host "$languages/projects"
    # The plugin that is too large to be committed, by the toolchain of the projects.
    PATH=$languages/projects/venv/bin:$PATH target/release/aos-host plugin build python \
        --output "$languages/plugin-python.wasm"
    target/release/aos-host test "$languages/plugin-python.wasm" --timeout 60s
    AOS_TEST_LANGUAGES=$languages tests --test aos languages:: -- --ignored
    AOS_TEST_LANGUAGES=$languages tests --test aos execution:: -- --ignored
    tests --test aos guide::commands:: -- --ignored
    bash tests/bad-input.sh target/release/aos-host "$languages/projects"
    bash tests/third-party.sh target/release/aos-host "$languages/third-party"
fi

if [ $long = yes ] && wanted install; then
    # As the README says, into a folder of its own.
    installed=$PWD/target/installed
    cargo install --path host --locked --root "$installed" --target-dir target
    answer=$("$installed/bin/aos-host" run calculator --store memory: --arg 'expression=(2+3)*4^2')
    [ "$answer" = 80 ] || { echo "run.sh: it printed $answer instead of 80" >&2; exit 1; }
fi

if [ $long = yes ]; then
    echo "== a thousand kills ($SECONDS s)"
    tests --test aos thousand_kills -- --ignored --nocapture
    echo "== benches ($SECONDS s)"
    cargo bench --locked -p aos-host
    # The journal's own measurements, which assert nothing and so are left out above.
    tests --lib -- --ignored --nocapture --test-threads=1 timing
fi
echo "== all of it passed in $SECONDS s"
