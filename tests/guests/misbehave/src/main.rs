//! A guest that misbehaves: `misbehave WHAT ARGUMENTS…`. Each misbehaviour is a few lines that
//! call WASI directly, so that no library softens what reaches the host.
//!
//! It prints what it was given, one line a step, and ends with 0 when the host let it be; which
//! lines are right is for `tests/hostile` to say.

mod files;
mod http;
mod names;
mod resources;
mod sockets;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["sleep"] => resources::sleep(),
        ["handles"] => resources::handles(),
        ["poll", count] => resources::poll_sleepers(number(count)),
        ["poll-same", count] => resources::poll_one_often(number(count)),
        ["random", bytes] => resources::random(number(bytes) as u64),
        ["headers"] => resources::headers(),
        ["host-call", bytes] => resources::host_call(number(bytes)),
        ["exit", code] => std::process::exit(number(code) as i32),
        ["print", text] => println!("{text}"),
        ["stdin"] => resources::read_stdin(),
        ["files", root, ref steps @ ..] => files::steps(root, steps),
        ["hold", root, path, count] => files::hold(root, path, number(count)),
        ["lists", root, count] => files::lists(root, number(count)),
        ["race", root, path, count] => files::race(root, path, number(count)),
        ["append", root, path, count] => files::append(root, path, number(count)),
        ["long-names", root, count] => files::long_names(root, number(count)),
        ["long-path", root, bytes] => files::long_path(root, number(bytes)),
        ["long-link", root, bytes] => files::long_link(root, number(bytes)),
        ["http", ref requests @ ..] => http::requests(requests),
        ["http-drop", request] => http::let_go(request),
        ["env", ref wanted @ ..] => names::environment(wanted),
        ["config", ref wanted @ ..] => names::config(wanted),
        ["keyvalue", bucket, ref steps @ ..] => names::keys(bucket, steps),
        ["tcp", address] => sockets::talk(address),
        ["udp", address] => sockets::datagram(address),
        ["look-up", name] => sockets::look_up(name),
        ["sockets", count] => sockets::hold(number(count)),
        _ => panic!("no such misbehaviour: {words:?}"),
    }
}

fn number(text: &str) -> usize {
    text.parse().expect("a number")
}
