//! Quotas: what is set aside, what is charged, when room comes back.

use std::time::Duration;

use super::*;

fn limited(limits: Limits) -> World {
    let mut world = World::new(options(8));
    world.admit(Admission { limits: Some(limits), ..admission(1, 50) });
    world
}

fn output_max(world: &World) -> u64 {
    match &world.last[..] {
        [Action::StartModel { output_tokens_max, .. }] => *output_tokens_max,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_output_maximum_is_the_smallest_of_all_that_bind_it() {
    let mut world = limited(Limits { total_tokens: Some(20_000), ..Limits::AGENT });
    world.want(call(1, 1, 1_000));
    assert_eq!(output_max(&world), 4_096, "nobody asked: the default");
    world.want(ModelCall { output_tokens_asked: Some(5_000), ..call(2, 1, 1_000) });
    assert_eq!(output_max(&world), 5_000, "what was asked");
    world.want(ModelCall { output_tokens_model: Some(300), ..call(3, 1, 1_000) });
    assert_eq!(output_max(&world), 300, "what the model can");
    world.want(call(4, 1, 6_500));
    assert_eq!(output_max(&world), 20_000 - 5_096 - 6_000 - 1_300 - 6_500, "what is left");
    let mut world = limited(Limits::AGENT);
    world.want(call(5, 1, 9_000));
    assert_eq!(output_max(&world), 1_000, "the cap of a request less the input");
}

#[test]
fn a_spent_total_pauses_until_it_is_raised() {
    let mut world = limited(Limits { total_tokens: Some(1_000), ..Limits::FREE });
    world.want(call(1, 1, 500));
    world.end(1, usage(500, 400));
    world.want(call(2, 1, 500));
    let why = world.paused[&Ticket(2)];
    assert_eq!((why.quota, why.opens), (Quota::TotalTokens, Opens::WhenRaised));
    assert_eq!(world.scheduler.next_deadline(), None, "time does not help");
    let raised = Limits { total_tokens: Some(2_000), ..Limits::FREE };
    world.step(Event::LimitsSet(Scope::Agent(Pid(1)), raised)).expect("is raised");
    assert!(world.running.contains_key(&Ticket(2)));
}

#[test]
fn a_window_slides_within_a_bucket_and_never_holds_more() {
    let mut world = limited(Limits { window_tokens: Some(1_000), ..Limits::FREE });
    world.pass_to(at(30));
    world.want(call(1, 1, 500));
    world.end(1, usage(500, 400));
    world.pass_to(at(1_000));
    world.want(call(2, 1, 300));
    let Opens::At(opens) = world.paused[&Ticket(2)].opens else { panic!("{:?}", world.paused) };
    let exact = at(30 + 3_600);
    assert!(opens >= exact && opens <= Moment(exact.0 + 60 * SECOND), "{opens:?}");
    world.pass_to(Moment(opens.0 - 1));
    assert!(world.pending.contains(&Ticket(2)));
    world.pass_to(opens);
    assert!(world.running.contains_key(&Ticket(2)));
}

#[test]
fn what_calls_in_flight_hold_comes_back_when_they_end() {
    let mut world = limited(Limits { total_tokens: Some(5_000), ..Limits::FREE });
    world.want(call(1, 1, 900));
    world.want(call(2, 1, 900));
    assert_eq!(world.paused[&Ticket(2)].opens, Opens::WhenCallsEnd);
    world.end(1, usage(900, 100));
    assert!(world.running.contains_key(&Ticket(2)));
    world.want(call(3, 1, 900));
    world.end(2, usage(900, 3_000));
    assert_eq!(world.paused[&Ticket(3)].opens, Opens::WhenRaised, "the reason has changed");
}

#[test]
fn cache_reads_weigh_a_tenth_and_money_follows_the_price() {
    let mut world = limited(Limits::FREE);
    let price = Price { input: 3_000_000, cache_read: 300_000, output: 15_000_000 };
    world.want(ModelCall { price, ..call(1, 1, 1_000) });
    let cached = ModelUsage { cache_read_tokens: 901, ..usage(1_000, 100) };
    world.end(1, cached);
    // 99 fresh at 3, 901 cached at 0.3, 100 out at 15: 297 + 270.3 + 1,500, rounded up.
    assert_eq!(world.charged, Amounts { tokens: 99 + 91 + 100, calls: 1, microdollars: 2_068 });
}

#[test]
fn a_call_that_was_never_sent_costs_nothing() {
    let mut world = limited(Limits::AGENT);
    world.want(call(1, 1, 1_000));
    world.end_as(1, ModelEnding::Failed, ModelUsage::default());
    let usage = world.scheduler.usage(Scope::Agent(Pid(1)), world.now).expect("known");
    assert_eq!((usage.total, usage.reserved), (Amounts::default(), Amounts::default()));
}

#[test]
fn children_draw_on_their_parents_tree() {
    let mut world = World::new(options(8));
    let tree_limits = Limits { total_tokens: Some(2_000), ..Limits::FREE };
    world.admit(Admission { tree_limits, ..admission(1, 50) });
    world.admit(Admission { parent: Some(Pid(1)), ..admission(2, 50) });
    world.admit(Admission { parent: Some(Pid(2)), ..admission(3, 50) });
    world.want(call(1, 3, 1_500));
    world.end(1, usage(1_500, 200));
    world.step(Event::Left(Pid(3))).expect("leaves");
    world.want(call(2, 2, 200));
    let why = world.paused[&Ticket(2)];
    assert_eq!((why.scope, why.quota), (Scope::Tree(Pid(1)), Quota::TotalTokens));
    let tree = world.scheduler.usage(Scope::Tree(Pid(2)), world.now).expect("known");
    assert_eq!(tree.total.tokens, 1_700, "what the dead child used stays");
}

#[test]
fn wall_time_pauses_an_agent_and_its_children_and_stands_still_while_paused() {
    let mut world = World::new(options(8));
    let tree_limits = Limits { total_wall_ms: Some(10_000), ..Limits::FREE };
    world.admit(Admission { tree_limits, ..admission(1, 50) });
    world.admit(Admission { parent: Some(Pid(1)), ..admission(2, 50) });
    world.pass_to(at(4));
    world.step(Event::Paused(Pid(1))).expect("pauses");
    world.pass_to(at(100));
    world.step(Event::Resumed(Pid(1))).expect("goes on");
    world.pass_to(at(105));
    world.want(call(1, 2, 10));
    assert!(world.running.contains_key(&Ticket(1)));
    world.pass_to(at(107));
    world.want(call(2, 2, 10));
    assert!(world.pending.contains(&Ticket(2)), "the tree's ten seconds are over");
    let raised = Limits { total_wall_ms: Some(60_000), ..Limits::FREE };
    world.step(Event::LimitsSet(Scope::Tree(Pid(1)), raised)).expect("is raised");
    assert!(world.running.contains_key(&Ticket(2)));
}

#[test]
fn a_crash_charges_open_reservations_in_full_once() {
    let mut world = limited(Limits { window_tokens: Some(10_000), ..Limits::FREE });
    world.want(call(1, 1, 1_000));
    world.want(call(2, 1, 500));
    world.end(2, usage(500, 100));
    world.want(call(3, 1, 300));
    let taken = world.scheduler.snapshot(world.now);
    let text = serde_json::to_string(&taken).expect("is data");
    let taken: LedgerSnapshot = serde_json::from_str(&text).expect("is data");
    let limits = Some(Limits { window_tokens: Some(10_000), ..Limits::FREE });
    let slept = Duration::from_secs(600);
    let mut world = World::with(Scheduler::restore(options(8), &taken, slept, at(5)));
    world.now = at(5);
    world.admit(Admission { limits, ..admission(1, 50) });
    let charged = Amounts { tokens: 310, calls: 1, microdollars: 0 };
    let settled = Event::RecoveredSettlement { ticket: Ticket(3), charged };
    world.step(settled.clone()).expect("was open");
    assert_eq!(world.step(settled), Err(Misuse::WrongCall(Ticket(3))), "never twice");
    let reserved = Amounts { tokens: 900, calls: 1, microdollars: 0 };
    let (ticket, pid) = (Ticket(4), Pid(1));
    world.step(Event::RecoveredReservation { ticket, pid, reserved }).expect("is new");
    world.step(Event::RecoveryEnded).expect("ends");
    let usage = world.scheduler.usage(Scope::Agent(Pid(1)), world.now).expect("known");
    assert_eq!(usage.total.tokens, 600 + 310 + 5_096 + 900);
    assert_eq!(usage.window.tokens, usage.total.tokens);
    assert_eq!(usage.reserved, Amounts::default());
    // What was charged before the crash leaves an hour after that, not after the restart: at most
    // one bucket late, and one more for the new clock.
    let later = Moment(world.now.0 + (3_000 + 2 * 60) * SECOND);
    let usage = world.scheduler.usage(Scope::Agent(Pid(1)), later).expect("known");
    assert_eq!(usage.window.tokens, 310 + 5_096 + 900);
}

#[test]
fn nothing_is_left_of_agents_that_are_gone() {
    let mut world = World::new(options(2));
    for pid in 1..2_000 {
        world.admit(Admission { owner: OwnerId(pid as u32 % 7), ..admission(pid, 50) });
        world.want(call(pid, pid, 100));
        if pid > 10 {
            world.step(Event::Killed(Pid(pid - 5))).expect("is killed");
            world.step(Event::Left(Pid(pid - 5))).expect("leaves");
        }
        for ticket in world.running.keys().map(|ticket| ticket.0).collect::<Vec<_>>() {
            world.end(ticket, usage(100, 10));
        }
    }
    let left = &world.scheduler;
    assert!(left.agents.len() < 20 && left.calls.len() < 20 && left.timers.len() < 20);
    assert!(left.ledger.len() < 2 * 20 + 7 + 1, "{} meters", left.ledger.len());
}
