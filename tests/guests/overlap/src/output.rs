//! Standard streams.

use wasip3::cli::{stdin, stdout};
use wasip3::wit_bindgen::spawn_local;
use wasip3::wit_stream;

/// One line on stdout, whole when this returns.
pub async fn say(line: &str) {
    let (mut sending, receiving) = wit_stream::new();
    let printed = stdout::write_via_stream(receiving);
    sending.write_all(format!("{line}\n").into_bytes()).await;
    drop(sending);
    printed.await.expect("printed");
}

/// One line that is printed after the command has returned.
pub fn say_late(line: &str) {
    let line = line.to_owned();
    spawn_local(async move {
        wasip3::clocks::monotonic_clock::wait_for(20_000_000).await;
        say(&line).await;
    });
}

/// Prints for ever.
pub async fn flood() {
    let (mut sending, receiving) = wit_stream::new();
    let _printed = stdout::write_via_stream(receiving);
    loop {
        let left = sending.write_all(vec![b'x'; 64 * 1024]).await;
        assert!(left.is_empty(), "stdout is closed");
    }
}

/// What comes in goes out: the host's stream is handed back to it, and no byte is read here.
pub async fn echo() {
    let (coming, ended) = stdin::read_via_stream();
    stdout::write_via_stream(coming).await.expect("printed");
    ended.await.expect("read");
}
