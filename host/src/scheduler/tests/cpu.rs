//! Turns of CPU.

use super::*;

fn machine(workers: u16) -> World {
    World::new(Options { workers, ..options(1) })
}

fn ready(world: &mut World, pid: u64) {
    world.step(Event::Ready(Pid(pid))).expect("is admitted");
}

fn next(world: &mut World, worker: u16) -> Option<u64> {
    let now = world.now;
    world.scheduler.next_cpu(WorkerId(worker), now).map(|slice| slice.pid.0)
}

fn stop(world: &mut World, worker: u16, ran_ms: u64, why: Stop) {
    world.now = Moment(world.now.0 + ran_ms * 1_000_000);
    let (worker, ran_ns) = (WorkerId(worker), ran_ms * 1_000_000);
    world.step(Event::Stopped { worker, ran_ns, why }).expect("was running");
}

#[test]
fn a_sleeping_worker_is_woken_and_asks() {
    let mut world = machine(1);
    world.admit(admission(1, 50));
    assert_eq!(next(&mut world, 0), None);
    ready(&mut world, 1);
    assert_eq!(world.last, [Action::WakeWorker(WorkerId(0))]);
    assert_eq!(next(&mut world, 0), Some(1));
    assert_eq!(next(&mut world, 0), Some(1), "until it gives it back");
}

#[test]
fn the_least_urgent_guest_is_stopped_for_a_more_urgent_one() {
    let mut world = machine(2);
    for (pid, priority) in [(1, 50), (2, 80), (3, 10), (4, 50)] {
        world.admit(admission(pid, priority));
    }
    ready(&mut world, 1);
    ready(&mut world, 2);
    assert_eq!((next(&mut world, 0), next(&mut world, 1)), (Some(1), Some(2)));
    ready(&mut world, 4);
    assert_eq!(world.last, [Action::Preempt { worker: WorkerId(1), pid: Pid(2) }]);
    ready(&mut world, 3);
    assert_eq!(world.last, [Action::Preempt { worker: WorkerId(0), pid: Pid(1) }]);
    stop(&mut world, 0, 1, Stop::StillReady);
    assert_eq!(next(&mut world, 0), Some(3));
}

#[test]
fn an_equal_one_waits_for_the_slices_end() {
    let mut world = machine(1);
    world.admit(admission(1, 50));
    world.admit(admission(2, 50));
    ready(&mut world, 1);
    assert_eq!(next(&mut world, 0), Some(1));
    ready(&mut world, 2);
    assert_eq!(world.last, []);
    stop(&mut world, 0, 10, Stop::StillReady);
    assert_eq!(next(&mut world, 0), Some(2));
}

#[test]
fn one_that_is_woken_while_it_runs_is_ready_again() {
    let mut world = machine(1);
    world.admit(admission(1, 50));
    ready(&mut world, 1);
    assert_eq!(next(&mut world, 0), Some(1));
    ready(&mut world, 1);
    stop(&mut world, 0, 1, Stop::Blocked);
    assert_eq!(next(&mut world, 0), Some(1), "the wake was not lost");
    stop(&mut world, 0, 1, Stop::Blocked);
    assert_eq!(next(&mut world, 0), None);
}

#[test]
fn a_paused_guest_is_stopped_and_goes_on_later() {
    let mut world = machine(1);
    world.admit(admission(1, 50));
    ready(&mut world, 1);
    assert_eq!(next(&mut world, 0), Some(1));
    world.step(Event::Paused(Pid(1))).expect("pauses");
    assert_eq!(world.last, [Action::Preempt { worker: WorkerId(0), pid: Pid(1) }]);
    stop(&mut world, 0, 1, Stop::StillReady);
    assert_eq!(next(&mut world, 0), None);
    world.step(Event::Resumed(Pid(1))).expect("goes on");
    assert_eq!(next(&mut world, 0), Some(1));
}

#[test]
fn a_guest_that_left_while_it_ran_frees_its_worker() {
    let mut world = machine(1);
    world.admit(admission(1, 50));
    world.admit(admission(2, 50));
    ready(&mut world, 1);
    ready(&mut world, 2);
    assert_eq!(next(&mut world, 0), Some(1));
    world.step(Event::Left(Pid(1))).expect("leaves");
    stop(&mut world, 0, 1, Stop::StillReady);
    assert_eq!(next(&mut world, 0), Some(2));
}

/// Runs CPU-bound guests for so long on one worker and returns the milliseconds each got.
fn run(world: &mut World, for_ms: u64) -> BTreeMap<u64, u64> {
    let end = Moment(world.now.0 + for_ms * 1_000_000);
    let mut ran = BTreeMap::new();
    while world.now < end {
        match next(world, 0) {
            Some(pid) => {
                *ran.entry(pid).or_default() += 10;
                stop(world, 0, 10, Stop::StillReady);
            }
            None => {
                let due = world.scheduler.next_deadline().expect("somebody is throttled");
                world.pass_to(due);
            }
        }
    }
    ran
}

#[test]
fn equal_guests_get_equal_time() {
    for guests in [2, 3, 7, 16] {
        let mut world = machine(1);
        for pid in 1..=guests {
            world.admit(admission(pid, 50));
            ready(&mut world, pid);
        }
        let ran = run(&mut world, 160_000);
        for (pid, ms) in &ran {
            let share = *ms as f64 * guests as f64 / 160_000.0;
            assert!((share - 1.0).abs() < 0.01, "guest {pid} of {guests}: {share}");
        }
        assert_eq!(ran.len() as u64, guests);
    }
}

#[test]
fn weights_are_shares() {
    let mut world = machine(1);
    for (pid, weight) in [(1, 1), (2, 2), (3, 4)] {
        world.admit(Admission { weight, ..admission(pid, 50) });
        ready(&mut world, pid);
    }
    let ran = run(&mut world, 70_000);
    for (pid, weight) in [(1, 1.0), (2, 2.0), (3, 4.0)] {
        let share = ran[&pid] as f64 / (10_000.0 * weight);
        assert!((share - 1.0).abs() < 0.03, "guest {pid}: {share}");
    }
}

#[test]
fn a_new_guest_neither_starves_the_old_nor_waits_for_them() {
    let mut world = machine(1);
    for pid in 1..=4 {
        world.admit(admission(pid, 50));
        ready(&mut world, pid);
    }
    run(&mut world, 60_000);
    world.admit(admission(5, 50));
    ready(&mut world, 5);
    let ran = run(&mut world, 1_000);
    for pid in 1..=5 {
        let ms = ran.get(&pid).copied().unwrap_or_default();
        assert!((180..=220).contains(&ms), "guest {pid} got {ms} of 200 ms: {ran:?}");
    }
}

#[test]
fn a_cpu_share_is_kept() {
    let mut world = machine(1);
    let cpu_share_permille = Some(300);
    world.admit(Admission { cpu_share_permille, ..admission(1, 50) });
    ready(&mut world, 1);
    let alone = run(&mut world, 10_000);
    assert!((2_900..=3_100).contains(&alone[&1]), "{alone:?}");
    world.admit(admission(2, 50));
    ready(&mut world, 2);
    let both = run(&mut world, 10_000);
    assert!((2_900..=3_100).contains(&both[&1]) && both[&2] >= 6_800, "{both:?}");
}

#[test]
fn a_cpu_share_holds_for_an_agent_and_all_below_it() {
    let mut world = machine(1);
    let below = |pid, parent| Admission { parent: Some(Pid(parent)), ..admission(pid, 50) };
    world.admit(Admission { cpu_share_permille: Some(300), ..admission(1, 50) });
    world.admit(below(2, 1));
    world.admit(below(3, 2));
    for pid in 1..=3 {
        ready(&mut world, pid);
    }
    let ran = run(&mut world, 10_000);
    let all: u64 = ran.values().sum();
    assert!((2_900..=3_200).contains(&all), "{ran:?}");
    // Their own may be less, and beside them others have theirs.
    world.admit(below(4, 1));
    world.admit(Admission { cpu_share_permille: Some(500), ..admission(5, 50) });
    world.admit(Admission { cpu_share_permille: Some(100), ..below(6, 5) });
    for pid in 4..=6 {
        ready(&mut world, pid);
    }
    let ran = run(&mut world, 10_000);
    let of = |pids: &[u64]| -> u64 { pids.iter().filter_map(|pid| ran.get(pid)).sum() };
    assert!((2_900..=3_200).contains(&of(&[1, 2, 3, 4])), "{ran:?}");
    assert!((4_900..=5_200).contains(&of(&[5, 6])), "{ran:?}");
    assert!((900..=1_100).contains(&of(&[6])), "{ran:?}");
}

#[test]
fn the_least_urgent_gets_its_turn_within_its_patience() {
    let mut world = machine(1);
    world.admit(admission(1, 0));
    world.admit(admission(2, 100));
    ready(&mut world, 1);
    ready(&mut world, 2);
    let ran = run(&mut world, 20_000);
    // 100 points of 20 ms: a slice every 2 s at the least, and never more than half.
    assert!((90..=200).contains(&ran[&2]), "{ran:?}");
}
