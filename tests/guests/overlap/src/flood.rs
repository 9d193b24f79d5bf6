//! Too much under way, or nothing that ever ends.

use std::future::Future;
use std::pin::Pin;
use std::task::Poll;

use wasip3::cli::stdin;
use wasip3::clocks::monotonic_clock::wait_for;
use wasip3::wit_bindgen::yield_async;
use wasip3::wit_future;

use crate::output::say;

/// Five centuries.
const FOR_EVER_NS: u64 = u64::MAX;

pub async fn sleep() {
    wait_for(FOR_EVER_NS).await;
}

/// Never waits for anything and never ends.
pub async fn spin() {
    loop {
        yield_async().await;
    }
}

/// Waits for what nobody will ever say.
pub async fn deadlock() {
    let (_never_written, waited_for) =
        wit_future::new::<Result<(), wasip3::cli::types::ErrorCode>>(|| {
            unreachable!("it is never dropped")
        });
    let _ended = waited_for.await;
}

/// Calls that are under way until the host says no.
pub async fn sleepers(count: usize) {
    let mut sleeping: Vec<Pin<Box<dyn Future<Output = ()>>>> =
        (0..count).map(|_| Box::pin(wait_for(FOR_EVER_NS)) as Pin<Box<_>>).collect();
    std::future::poll_fn(|context| {
        for sleeper in &mut sleeping {
            assert!(sleeper.as_mut().poll(context).is_pending());
        }
        Poll::Ready(())
    })
    .await;
    say(&format!("{count} sleep")).await;
}

/// Streams of the host until it says no.
pub async fn streams(count: usize) {
    let held: Vec<_> = (0..count).map(|_| stdin::read_via_stream()).collect();
    say(&format!("{} streams", held.len())).await;
}
