//! The host inside another program, as `aos_host::kernel::Kernel` offers it.

use aos_host::kernel::{Kernel, SessionOptions};
use aos_host::sandbox::engine::Profile;
use aos_host::types::{Output, Reply, Syscall};
use serde_json::{Value, json};

use crate::support::plugin;

async fn call(kernel: &Kernel, component: &[u8], tool: &str, arguments: Value) -> Output {
    let plugin = kernel.load("guest", component).expect("loads");
    let session = kernel.session(plugin, SessionOptions::default()).expect("opens");
    let call = Syscall::Call { tool: Some(tool.into()), arguments };
    match kernel.submit(&session, call).await.expect("answers") {
        Reply::Output(output, _) => output,
        other => panic!("{other:?}"),
    }
}

/// A component with `memories` memories, whose function says how many there are.
fn with_memories(memories: usize) -> Vec<u8> {
    let modules: String =
        (0..memories).map(|n| format!("(core instance $i{n} (instantiate $m))\n")).collect();
    let text = format!(
        "(component
            (core module $m
                (memory 1)
                (func (export \"count\") (result i32) i32.const {memories}))
            {modules}
            (func (export \"count\") (result u32) (canon lift (core func $i0 \"count\"))))"
    );
    wat::parse_str(text).expect("a component")
}

#[tokio::test]
async fn a_guest_larger_than_the_pools_slots_runs_in_a_daemon_beside_those_that_fit() {
    let kernel = Kernel::builder().profile(Profile::Daemon).build().await.expect("a kernel");
    for memories in [1, 2, 40] {
        let output = call(&kernel, &with_memories(memories), "count", json!({})).await;
        assert_eq!(output.structured, Some(json!(memories)));
    }
    let calculator = std::fs::read(plugin("calculator")).expect("reads");
    let output = call(&kernel, &calculator, "calculate", json!({ "expression": "6*7" })).await;
    assert_eq!(output.structured, Some(json!({ "result": 42 })));
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_run_side_by_side() {
    let kernel = Kernel::builder().profile(Profile::Daemon).build().await.expect("a kernel");
    let calculator = std::fs::read(plugin("calculator")).expect("reads");
    let plugin = kernel.load("calculator", &calculator).expect("loads");
    let calls: Vec<_> = (0..64)
        .map(|n| {
            let (kernel, plugin) = (kernel.clone(), plugin.clone());
            tokio::spawn(async move {
                let session = kernel.session(plugin, SessionOptions::default()).expect("opens");
                let arguments = json!({ "expression": format!("{n} + 1") });
                let call = Syscall::Call { tool: None, arguments };
                let reply = kernel.submit(&session, call).await.expect("answers");
                kernel.close_session(session, "ok").await.expect("written");
                reply
            })
        })
        .collect();
    for (n, call) in calls.into_iter().enumerate() {
        let Reply::Output(output, _) = call.await.expect("no panic") else { panic!("no output") };
        assert_eq!(output.structured, Some(json!({ "result": n + 1 })));
    }
}
