//! One call's life: order, pacing, cutting, pausing, refusing.

use super::*;

fn started(actions: &[Action]) -> Vec<u64> {
    let ticket = |action: &Action| match action {
        Action::StartModel { ticket, .. } | Action::StartTool { ticket, .. } => Some(ticket.0),
        _ => None,
    };
    actions.iter().filter_map(ticket).collect()
}

#[test]
fn the_more_urgent_call_starts_first() {
    let mut world = World::new(options(1));
    for (pid, priority) in [(1, 50), (2, 50), (3, 10)] {
        world.admit(admission(pid, priority));
    }
    world.want(call(1, 1, 100));
    world.want(call(2, 2, 100));
    world.want(call(3, 3, 100));
    world.end(1, usage(100, 10));
    assert_eq!(started(&world.last), [3]);
    world.end(3, usage(100, 10));
    assert_eq!(started(&world.last), [2]);
}

#[test]
fn a_paced_call_keeps_its_place_and_its_reservation() {
    let mut world = World::new(options(2));
    for pid in 1..=3 {
        world.admit(admission(pid, 50));
        world.want(call(pid, pid, 1_000));
    }
    let until = at(10);
    world.step(Event::ModelPaced { ticket: Ticket(1), until }).expect("was running");
    assert_eq!(started(&world.last), [0_u64; 0], "nothing starts before the pace allows it");
    world.end(2, usage(1_000, 10));
    assert_eq!(started(&world.last), [0_u64; 0]);
    assert_eq!(world.scheduler.next_deadline(), Some(until));
    world.pass_to(until);
    assert_eq!(started(&world.last), [0_u64; 0], "the deadline itself had started them");
    assert_eq!(world.running.keys().copied().collect::<Vec<_>>(), [Ticket(1), Ticket(3)]);
}

#[test]
fn a_call_is_cut_once_for_a_far_more_urgent_one_and_starts_again() {
    let cut = Some(CutOptions { points: 30 });
    let mut world = World::new(Options { cut, ..options(1) });
    world.admit(admission(1, 80));
    world.admit(admission(2, 60));
    world.admit(admission(3, 10));
    world.want(call(1, 1, 100));
    world.want(call(2, 2, 100));
    assert!(world.cut.is_empty(), "20 points are not far");
    world.want(call(3, 3, 100));
    assert!(world.cut.contains(&Ticket(1)));
    world.end_as(1, ModelEnding::Cut, usage(100, 7));
    assert_eq!(started(&world.last), [3]);
    assert_eq!(world.wasted, Amounts { tokens: 107, calls: 1, microdollars: 0 });
    world.end(3, usage(100, 5));
    world.end(2, usage(100, 5));
    assert_eq!(started(&world.last), [1], "it is the same call, made again");
    world.want(call(4, 3, 100));
    assert_eq!(world.cut.len(), 1, "never twice");
}

#[test]
fn nothing_is_cut_unless_the_operator_allows_it() {
    let mut world = World::new(options(1));
    world.admit(admission(1, 100));
    world.admit(admission(2, 0));
    world.want(call(1, 1, 100));
    world.want(call(2, 2, 100));
    assert!(world.cut.is_empty());
}

#[test]
fn a_call_that_had_its_time_slice_may_be_cut_by_any_more_urgent_one() {
    let cut = Some(CutOptions { points: 30 });
    let mut world = World::new(Options { cut, ..options(1) });
    world.admit(admission(1, 51));
    world.admit(admission(2, 50));
    world.want(call(1, 1, 100));
    world.now = at(59);
    world.want(call(2, 2, 100));
    assert!(world.cut.is_empty());
    world.now = at(61);
    world.want(call(3, 2, 100));
    assert!(world.cut.contains(&Ticket(1)));
}

#[test]
fn calls_of_a_paused_agent_wait_and_go_on() {
    let mut world = World::new(options(4));
    world.admit(admission(1, 50));
    world.step(Event::Paused(Pid(1))).expect("pauses");
    world.want(call(1, 1, 100));
    assert!(world.pending.contains(&Ticket(1)));
    world.step(Event::Resumed(Pid(1))).expect("goes on");
    assert_eq!(started(&world.last), [1]);
}

#[test]
fn a_killed_agents_calls_are_withdrawn_or_aborted() {
    let mut world = World::new(options(1));
    world.admit(admission(1, 50));
    world.want(call(1, 1, 100));
    world.want(call(2, 1, 100));
    world.step(Event::Killed(Pid(1))).expect("is killed");
    assert!(world.last.contains(&Action::Abort(Ticket(1))));
    assert!(world.last.contains(&Action::Withdraw { ticket: Ticket(2), pid: Pid(1) }));
    world.want(call(3, 1, 100));
    let why = Rejection::Ending;
    assert_eq!(world.last, [Action::Reject { ticket: Ticket(3), pid: Pid(1), why }]);
    world.step(Event::Left(Pid(1))).expect("leaves");
    world.end_as(1, ModelEnding::Failed, usage(100, 3));
    assert_eq!(world.wasted.tokens, 103);
}

#[test]
fn a_renice_moves_waiting_calls() {
    let mut world = World::new(options(1));
    for pid in 1..=3 {
        world.admit(admission(pid, 50));
        world.want(call(pid, pid, 100));
    }
    world.step(Event::Reniced(Pid(3), Priority::new(5).expect("5"))).expect("is reniced");
    world.end(1, usage(100, 10));
    assert_eq!(started(&world.last), [3]);
}

#[test]
fn a_tool_that_waits_for_a_tool_lends_its_slot() {
    let mut world = World::new(Options { tool_slots: 1, ..options(1) });
    world.admit(admission(1, 50));
    world.step(Event::ToolWanted { ticket: Ticket(1), pid: Pid(1) }).expect("wanted");
    world.step(Event::ToolWanted { ticket: Ticket(2), pid: Pid(1) }).expect("wanted");
    assert!(world.pending.contains(&Ticket(2)));
    world.step(Event::ToolBlocked(Ticket(1))).expect("waits");
    assert!(world.running.contains_key(&Ticket(2)));
    world.step(Event::ToolUnblocked(Ticket(1))).expect("goes on");
    assert_eq!(world.scheduler.tool_slots().running, 2, "one too many for a while");
    world.step(Event::ToolEnded(Ticket(2))).expect("ends");
    world.step(Event::ToolEnded(Ticket(1))).expect("ends");
    assert_eq!(world.scheduler.tool_slots().running, 0);
}

#[test]
fn refused_where_waiting_cannot_help() {
    let limits = Some(Limits { window_tokens: Some(2_000), ..Limits::AGENT });
    let mut world = World::new(options(1));
    world.admit(Admission { limits, ..admission(1, 50) });
    world.want(call(1, 1, 9_900));
    let refused = |world: &World| match &world.last[..] {
        [Action::Reject { why, .. }] => why.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        refused(&world),
        "a request of 10156 tokens is over the limit of 10000 a request of agent 1"
    );
    world.want(call(2, 1, 1_900));
    assert_eq!(refused(&world), "2156 tokens in a window can never fit into the 2000 of agent 1");
    world.want(ModelCall { provider: ProviderId(9), ..call(3, 1, 10) });
    assert_eq!(refused(&world), "no such provider, or it has no slots");
    for ticket in 10..74 {
        world.want(call(ticket, 1, 10));
    }
    world.want(call(99, 1, 10));
    assert_eq!(refused(&world), "64 calls of one agent wait or run already");
}

#[test]
fn an_event_that_fits_nothing_is_told_and_changes_nothing() {
    let mut world = World::new(options(1));
    assert_eq!(world.step(Event::Ready(Pid(7))), Err(Misuse::NoAgent(Pid(7))));
    assert_eq!(world.step(Event::ToolEnded(Ticket(7))), Err(Misuse::WrongCall(Ticket(7))));
    world.admit(admission(1, 50));
    let twice = Event::Admitted(Box::new(admission(1, 50)));
    assert_eq!(world.step(twice), Err(Misuse::AgentTwice(Pid(1))));
    let child = Admission { parent: Some(Pid(1)), owner: OwnerId(9), ..admission(2, 50) };
    let child = Event::Admitted(Box::new(child));
    assert_eq!(world.step(child), Err(Misuse::WrongParent(Pid(2))));
    world.want(call(1, 1, 10));
    let again = world.step(Event::ModelWanted(call(1, 1, 10)));
    assert_eq!(again, Err(Misuse::CallTwice(Ticket(1))));
}
