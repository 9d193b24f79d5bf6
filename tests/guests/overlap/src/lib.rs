//! A command of WASI 0.3: `overlap WHAT ARGUMENTS…`. What it is asked for it does by streams,
//! futures and calls that are under way at once, and directly, so that no library softens what
//! reaches the host.
//!
//! It prints what it was given, one line a step, in the words of `misbehave`, its elder of WASI
//! 0.2; which lines are right is for the tests to say.

mod files;
mod flood;
mod http;
mod output;
mod sockets;

use wasip3::cli::environment::{get_arguments, get_environment};
use wasip3::clocks::{monotonic_clock, system_clock};

use output::say;

struct Overlap;

wasip3::cli::command::export!(Overlap);

impl wasip3::exports::cli::run::Guest for Overlap {
    async fn run() -> Result<(), ()> {
        let arguments = get_arguments();
        let words: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
        match words[..] {
            ["print", text] => say(text).await,
            ["print-late", text] => output::say_late(text),
            ["exit", code] => wasip3::cli::exit::exit_with_code(number(code) as u8),
            ["fail"] => return Err(()),
            ["environment"] => say(&format!("{:?}", get_environment())).await,
            ["stdin"] => output::echo().await,
            ["clocks"] => clocks().await,
            ["random", bytes] => random(number(bytes) as u64).await,
            ["sleep"] => flood::sleep().await,
            ["spin"] => flood::spin().await,
            ["deadlock"] => flood::deadlock().await,
            ["sleepers", count] => flood::sleepers(number(count)).await,
            ["streams", count] => flood::streams(number(count)).await,
            ["print-for-ever"] => output::flood().await,
            ["files", root, ref steps @ ..] => return files::steps(root, steps).await,
            ["append", root, path, count] => files::append(root, path, number(count)).await,
            ["hold", root, path, count] => files::hold(root, path, number(count)).await,
            ["open-at-once", root, path, count] => {
                files::open_at_once(root, path, number(count)).await;
            }
            ["lists", root, count] => files::lists(root, number(count)).await,
            ["headers"] => http::headers().await,
            ["http-post", url, bytes] => http::post(url, number(bytes)).await,
            ["http", ref urls @ ..] => http::requests(urls).await,
            ["http-at-once", url, count] => http::at_once(url, number(count)).await,
            ["tcp", address] => sockets::talk(address).await,
            ["tcp-hold", address, count] => sockets::hold(address, number(count)).await,
            ["udp", address] => sockets::datagram(address).await,
            ["receivers", count] => sockets::receivers(number(count)).await,
            ["listen"] => sockets::listen().await,
            ["long-name", bytes] => sockets::look_up(&"x".repeat(number(bytes))).await,
            ["look-up", name] => sockets::look_up(name).await,
            ["addresses", name] => sockets::addresses(name).await,
            _ => panic!("no such thing: {words:?}"),
        }
        Ok(())
    }
}

fn number(text: &str) -> usize {
    text.parse().expect("a number")
}

async fn clocks() {
    let before = monotonic_clock::now();
    monotonic_clock::wait_for(2_000_000).await;
    let passed = monotonic_clock::now() - before;
    let seconds = system_clock::now().seconds;
    say(&format!("{} {} {seconds}", before < 1_000_000_000, passed >= 2_000_000)).await;
}

async fn random(bytes: u64) {
    let given = wasip3::random::random::get_random_bytes(bytes);
    say(&format!("{} bytes {:?}", given.len(), &given[..given.len().min(4)])).await;
}
