//! The same guests in a kernel that serves for long: its memories, tables and stacks come from a
//! pool, and what one guest leaves behind could be found by the next.

use std::process::{Command, Stdio};

use super::house::PROFILE;

/// Modules whose guests run in this process. The others run the real program, which has no such
/// kernel.
const MODULES: [&str; 9] =
    ["answers", "endless", "files", "liar", "memory", "network", "quantities", "races", "schemas"];

#[test]
fn what_holds_for_one_run_holds_in_a_daemon() {
    if std::env::var_os(PROFILE).is_some() {
        // This is the child, whose other tests are what counts.
        return;
    }
    let filters = MODULES.map(|module| format!("hostile::{module}::"));
    let ran = Command::new(std::env::current_exe().expect("this program"))
        .args(filters)
        .env(PROFILE, "daemon")
        .stdin(Stdio::null())
        .output()
        .expect("starts");
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{said}");
    let passed = said.lines().find_map(|line| {
        let count = line.strip_prefix("test result: ok. ")?.split(' ').next()?;
        count.parse::<usize>().ok()
    });
    // A filter that matches nothing must not look like a success.
    assert!(passed.is_some_and(|passed| passed > 50), "{said}");
}
