//! The `aos-host` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    aos_host::cli::main()
}
