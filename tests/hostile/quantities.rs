//! Guests that want too much of one thing in a call.

use aos_host::kernel::Fault;
use aos_host::sandbox::limits::Limits;
use aos_host::types::Reply;

use super::house::{Ending, command, guest, house, limits, misbehave, options};

fn ending(limits: Limits, arguments: &[&str]) -> Ending {
    house().beside_a_neighbour(misbehave(), &options(limits, &[]), &command(arguments))
}

#[test]
fn a_flood_of_stdout_ends_at_its_limit_and_not_a_byte_later() {
    let limits = Limits { stdio_bytes: 1_000_000, ..limits() };
    let ending =
        house().beside_a_neighbour(&guest("stdout.wat"), &options(limits, &[]), &command(&[]));
    ending.by_limit("stdio");
    assert_eq!(ending.stdout.len(), 1_000_000);
}

#[test]
fn a_million_handles_end_at_their_limit() {
    let ending = ending(limits(), &["handles"]);
    ending.by_limit("handles");
    assert!(ending.sentence().contains("--max-handles"), "{}", ending.sentence());
}

#[test]
fn a_huge_random_request_ends_at_its_limit() {
    ending(limits(), &["random", "1048577"]).by_limit("random");
    assert_eq!(ending(limits(), &["random", "1048576"]).printed(), "1048576 bytes\n");
}

#[test]
fn a_huge_set_of_fields_ends_at_its_limit() {
    let ending = ending(limits(), &["headers"]);
    ending.by_limit("http-fields");
    assert!(ending.sentence().contains("--max-http-fields"), "{}", ending.sentence());
}

#[test]
fn a_huge_host_call_ends_at_its_limit() {
    let limits = Limits { hostcall_bytes: 1 << 20, ..limits() };
    ending(limits, &["host-call", "2000000"]).by_limit("host-call");
}

#[test]
fn a_list_that_names_one_handle_millions_of_times_is_bounded() {
    let ending = ending(limits(), &["poll-same", "2000000"]);
    match &ending.reply {
        Ok(Reply::Exit(0, _)) => assert_eq!(ending.stdout, "ready: 2000000\n"),
        Ok(_) => panic!("{ending:?}"),
        Err(Fault::Ended(_)) => {}
        Err(_) => panic!("{ending:?}"),
    }
}
