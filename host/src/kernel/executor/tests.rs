use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::*;
use crate::scheduler::{Admission, OwnerId, Priority};

fn executor(workers: u16) -> Executor {
    let options = Options { workers, tool_slots: 2, ..Options::default() };
    Executor::start(options, 0, Box::new(|| {})).expect("starts")
}

fn admit(executor: &Executor, pid: u64, priority: u8) {
    let admission = Admission {
        pid: Pid(pid),
        parent: None,
        owner: OwnerId(0),
        priority: Priority::new(priority).expect("in range"),
        weight: 1,
        limits: None,
        tree_limits: crate::scheduler::Limits::FREE,
        cpu_share_permille: None,
    };
    executor.step(Event::Admitted(Box::new(admission))).expect("admitted");
}

/// Runs a future as a guest, and gives how it ended.
async fn ended(
    executor: &Executor,
    pid: u64,
    future: impl Future<Output = ()> + Send + 'static,
) -> Gone {
    let (tell, told) = tokio::sync::oneshot::channel();
    executor.run(Pid(pid), executor.turn(), future, |how| {
        let _gone = tell.send(how);
    });
    told.await.expect("told")
}

/// Computes until its turn is over, and so for `turns` turns.
async fn spin(turn: Arc<Turn>, turns: u64, ran: Arc<AtomicU64>) {
    for _ in 0..turns {
        while !turn.is_over() {
            std::hint::spin_loop();
        }
        ran.fetch_add(1, Ordering::Relaxed);
        yielded().await;
    }
}

async fn yielded() {
    let mut first = true;
    std::future::poll_fn(move |context| {
        if std::mem::take(&mut first) {
            context.waker().wake_by_ref();
            return std::task::Poll::Pending;
        }
        std::task::Poll::Ready(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_runs_to_its_end_and_is_forgotten() {
    let executor = executor(2);
    admit(&executor, 1, 50);
    let slept = async { tokio::time::sleep(Duration::from_millis(5)).await };
    assert_eq!(ended(&executor, 1, slept).await, Gone::Finished);
    assert_eq!(executor.activity(Pid(1)), None);
    admit(&executor, 1, 50);
    executor.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_guest_is_dropped_while_it_sleeps_and_while_it_runs() {
    let executor = executor(2);
    admit(&executor, 1, 50);
    admit(&executor, 2, 50);
    let turn = executor.turn();
    let (tell_asleep, asleep) = tokio::sync::oneshot::channel();
    let (tell_busy, busy) = tokio::sync::oneshot::channel();
    executor.run(Pid(1), executor.turn(), std::future::pending(), |how| {
        let _gone = tell_asleep.send(how);
    });
    let ran = Arc::new(AtomicU64::new(0));
    executor.run(Pid(2), Arc::clone(&turn), spin(turn, u64::MAX, Arc::clone(&ran)), |how| {
        let _gone = tell_busy.send(how);
    });
    while ran.load(Ordering::Relaxed) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    executor.kill(Pid(1));
    executor.kill(Pid(2));
    assert_eq!(asleep.await.expect("told"), Gone::Killed);
    assert_eq!(busy.await.expect("told"), Gone::Killed);
    executor.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_ends_its_guest_alone() {
    let executor = executor(1);
    admit(&executor, 1, 50);
    admit(&executor, 2, 50);
    assert_eq!(ended(&executor, 1, async { panic!("on purpose") }).await, Gone::Panicked);
    assert_eq!(ended(&executor, 2, yielded()).await, Gone::Finished);
    executor.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_guests_that_wake_each_other_all_end() {
    let executor = executor(2);
    let (sender, receiver) = tokio::sync::watch::channel(0_u64);
    let ended = Arc::new(AtomicU64::new(0));
    for pid in 1..=2_000 {
        admit(&executor, pid, 50);
        let (mut receiver, sender) = (receiver.clone(), sender.clone());
        let life = async move {
            receiver.wait_for(|reached| *reached >= pid - 1).await.expect("open");
            sender.send_modify(|reached| *reached = (*reached).max(pid));
        };
        let ended = Arc::clone(&ended);
        executor.run(Pid(pid), executor.turn(), life, move |how| {
            assert_eq!(how, Gone::Finished);
            ended.fetch_add(1, Ordering::Relaxed);
        });
    }
    let began = Instant::now();
    while ended.load(Ordering::Relaxed) < 2_000 {
        assert!(began.elapsed() < Duration::from_secs(60), "{ended:?} ended");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    executor.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_urgent_guest_ends_the_turn_of_another() {
    let executor = executor(1);
    admit(&executor, 1, 90);
    let turn = executor.turn();
    let ran = Arc::new(AtomicU64::new(0));
    let busy = spin(Arc::clone(&turn), u64::MAX, Arc::clone(&ran));
    executor.run(Pid(1), turn, busy, |_| {});
    while executor.activity(Pid(1)) != Some(Activity::Running) {
        std::thread::yield_now();
    }
    // Ten urgent ones in a row need ten ends of a turn; slices alone would be ten times 10 ms.
    for pid in 2..12 {
        admit(&executor, pid, 1);
        assert_eq!(ended(&executor, pid, yielded()).await, Gone::Finished);
    }
    assert!(ran.load(Ordering::Relaxed) > 0);
    executor.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_starts_when_a_slot_is_free_and_is_given_up_when_dropped() {
    let executor = executor(1);
    admit(&executor, 1, 50);
    let mut calls: Vec<Call> = Vec::new();
    for _ in 0..3 {
        let call = executor.call();
        let wanted = Event::ToolWanted { ticket: call.ticket(), pid: Pid(1) };
        executor.step(wanted).expect("wanted");
        calls.push(call);
    }
    assert_eq!(calls[0].signal().await, Signal::Start(0));
    assert_eq!(calls[1].signal().await, Signal::Start(0));
    let waits = tokio::time::timeout(Duration::from_millis(20), calls[2].signal()).await;
    assert!(waits.is_err(), "two slots, three calls");
    executor.step(Event::ToolEnded(calls[0].ticket())).expect("ended");
    assert_eq!(calls[2].signal().await, Signal::Start(0));
    let fourth = executor.call();
    let ticket = fourth.ticket();
    executor.step(Event::ToolWanted { ticket, pid: Pid(1) }).expect("wanted");
    drop(fourth);
    assert!(executor.step(Event::GivenUp(ticket)).is_err(), "it is given up already");
    executor.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_guest_waits_until_it_is_resumed() {
    let executor = executor(1);
    admit(&executor, 1, 50);
    executor.step(Event::Paused(Pid(1))).expect("paused");
    let done = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&done);
    executor.run(Pid(1), executor.turn(), yielded(), move |_| told.store(true, Ordering::Release));
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert!(!done.load(Ordering::Acquire), "it ran while it was paused");
    executor.step(Event::Resumed(Pid(1))).expect("resumed");
    while !done.load(Ordering::Acquire) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    executor.stop();
}
