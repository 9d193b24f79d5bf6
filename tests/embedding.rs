//! The host inside another program, as `aos_host::kernel::Kernel` offers it.

use aos_host::kernel::{Fault, Kernel, SessionOptions};
use aos_host::sandbox::engine::Profile;
use aos_host::sandbox::program::BadPlugin;
use aos_host::types::{Output, Reply, Syscall};
use serde_json::{Value, json};

use crate::support::plugin;

async fn call(kernel: &Kernel, component: &[u8], tool: &str, arguments: Value) -> Output {
    let plugin = kernel.load("guest", component.to_vec()).await.expect("loads");
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

/// A component of so many functions: each of them takes the compiler some time.
fn with_functions(functions: usize) -> Vec<u8> {
    let one = |n: usize| {
        let steps = "local.get 0 i32.const 3 i32.mul i32.const 7 i32.add local.set 0\n".repeat(40);
        format!("(func (export \"f{n}\") (param i32) (result i32) {steps} local.get 0)\n")
    };
    let functions: String = (0..functions).map(one).collect();
    let text = format!(
        "(component
            (core module $m {functions})
            (core instance $i (instantiate $m))
            (func (export \"f\") (param \"x\" u32) (result u32)
                (canon lift (core func $i \"f0\"))))"
    );
    wat::parse_str(text).expect("a component")
}

#[tokio::test]
async fn loading_leaves_the_callers_thread_free() {
    let kernel = Kernel::builder().build().await.expect("a kernel");
    let mut loading = std::pin::pin!(kernel.load("guest", with_functions(1)));
    // On this one thread, whatever is done at the first poll is done before anything else.
    assert!(futures::poll!(&mut loading).is_pending());
    loading.await.expect("loads");
}

#[tokio::test]
async fn a_component_that_takes_too_long_to_load_is_given_up_and_another_loads() {
    let time = std::time::Duration::from_millis(100);
    let kernel = Kernel::builder().load_time(time).build().await.expect("a kernel");
    let error = kernel.load("slow", with_functions(20_000)).await.expect_err("too slow");
    let wanted = "loading it: limit load of 100 ms reached; --max-load raises it";
    assert_eq!(error.to_string(), wanted);
    assert!(matches!(error, Fault::Plugin(BadPlugin::Budget(_))), "{error:?}");
    // What was given up goes on in its own slot; the next one has time to wait for one.
    let kernel = Kernel::builder().build().await.expect("a kernel");
    kernel.load("guest", with_functions(1)).await.expect("loads");
}

#[tokio::test]
async fn a_component_that_is_too_large_is_refused_before_anything_reads_it() {
    let kernel = Kernel::builder().build().await.expect("a kernel");
    let error = kernel.load("large", vec![0; (256 << 20) + 1]).await.expect_err("too large");
    assert!(error.to_string().contains("limit component of 268435456 bytes"), "{error}");
}

#[tokio::test]
async fn a_core_module_that_is_not_valid_does_not_reach_the_adapter() {
    let kernel = Kernel::builder().build().await.expect("a kernel");
    let module = "(module (func (export \"_start\") i32.add drop))";
    let error = kernel.load("wrong", module.as_bytes()).await.expect_err("not valid");
    let sentence = error.to_string();
    assert!(sentence.starts_with("it is not valid: type mismatch"), "{sentence}");
    assert!(sentence.contains("(at byte "), "{sentence}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_run_side_by_side() {
    let kernel = Kernel::builder().profile(Profile::Daemon).build().await.expect("a kernel");
    let calculator = std::fs::read(plugin("calculator")).expect("reads");
    let plugin = kernel.load("calculator", calculator).await.expect("loads");
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
