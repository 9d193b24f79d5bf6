//! The figure of a budget: one benchmark's median against another's of the same run.

use std::path::Path;

/// Prints `name` as the ratio of two criterion results, and whether it is within its budget.
pub fn print(name: &str, group: &str, this: &str, against: &str, at_most: f64) {
    let (this_ns, against_ns) = (median_ns(group, this), median_ns(group, against));
    let ratio = this_ns / against_ns;
    let verdict = if ratio <= at_most { "met" } else { "MISSED" };
    println!(
        "{name}: {:.1} µs against {:.1} µs = {ratio:.2} x (at most {at_most} x): {verdict}",
        this_ns / 1e3,
        against_ns / 1e3
    );
}

/// Prints `name` as the ratio of a criterion result to `bare`; it has no budget.
#[allow(dead_code, reason = "each bench is a program with this module")]
pub fn tell(name: &str, group: &str, this: &str) {
    let (this_ns, bare_ns) = (median_ns(group, this), median_ns(group, "bare"));
    let ratio = this_ns / bare_ns;
    println!("{name}: {:.1} µs against {:.1} µs = {ratio:.2} x", this_ns / 1e3, bare_ns / 1e3);
}

/// Criterion's own estimate, from the file it writes beside its report.
fn median_ns(group: &str, id: &str) -> f64 {
    let folder = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"),
        std::path::PathBuf::from,
    );
    let path = folder.join(format!("criterion/{group}/{id}/new/estimates.json"));
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let estimates: serde_json::Value = serde_json::from_str(&text).expect("criterion writes JSON");
    estimates["median"]["point_estimate"].as_f64().expect("a number")
}
