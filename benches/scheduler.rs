//! A step of the scheduler with 10,000 agents: `cargo bench --bench scheduler`
fn main() {}
