//! The whole host inside another Rust program: load a plugin, call a tool, read the answer.
//!
//! `cargo run --release --example embed`

use aos_host::kernel::{Kernel, SessionOptions};
use aos_host::types::{Content, Reply, Syscall};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let kernel = Kernel::builder().build().await?;
    let bytes = include_bytes!("../../plugins/dist/calculator.wasm");
    let plugin = kernel.load("calculator", &bytes[..]).await?;
    // Nothing is granted; `SessionOptions::grants` is where that would change.
    let session = kernel.session(plugin, SessionOptions::default())?;
    let arguments = serde_json::json!({ "expression": "6 * 7" });
    let call = Syscall::Call { tool: Some("calculate".into()), arguments };
    if let Reply::Output(output, usage) = kernel.submit(&session, call).await? {
        for content in &output.content {
            if let Content::Text(text) = content {
                eprintln!("{text} (in {} µs, {} bytes)", usage.wall_us, usage.memory_bytes);
            }
        }
    }
    kernel.close_session(session, "ok").await?;
    Ok(())
}
