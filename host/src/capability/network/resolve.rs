//! From a granted target to addresses that were looked up once and checked one by one.
//!
//! The rule is closed: if **one** address of a name is not open to the grant, the whole name is
//! refused. A name that mixes public and internal addresses is what an attack by rebinding looks
//! like, and an honest one can be granted with `private:`.

use super::address::{Class, Reach, classify};
use super::host::{Host, Target};
use futures::future::BoxFuture;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Addresses taken from one answer: more than the largest real services give, so that a hostile
/// zone cannot make a connect try hundreds of hosts.
const ADDRESSES_MAX: usize = 16;

/// Why a connection may not be made, or where it would go is not known.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// No grant means this at all.
    #[error("no grant allows {what}; `{grant}` would")]
    NotGranted {
        /// What was tried.
        what: String,
        /// The grant that would allow it.
        grant: String,
    },
    /// A grant means the host, but not this address of it.
    #[error("{host} is at {address}, a {class} address; {advice}")]
    Address {
        /// The host as it was asked for.
        host: Host,
        /// The first address that is not open.
        address: IpAddr,
        /// What that address is.
        class: Class,
        /// Which grant would open it.
        advice: String,
    },
    /// The resolver has no answer.
    #[error("{host} could not be resolved: {source}")]
    Lookup {
        /// The name.
        host: Host,
        /// What the resolver said.
        source: io::Error,
    },
    /// The resolver answered with no address.
    #[error("{0} has no address")]
    NoAddress(Host),
    /// The resolver took too long.
    #[error("{host} was not resolved within {after:?}")]
    Timeout {
        /// The name.
        host: Host,
        /// The time it had.
        after: Duration,
    },
    /// A call looked up more addresses than its table holds.
    #[error("a call may look up at most {limit} addresses")]
    TooMany {
        /// The table's size.
        limit: usize,
    },
}

/// Asks for the addresses of a name. The answer is not trusted: every address is checked.
pub trait Resolver: Send + Sync {
    /// All addresses of a name that is in normal form.
    fn lookup<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;
}

/// The operating system's resolver.
///
/// `getaddrinfo` cannot be cancelled: a lookup that was given up still holds a blocking thread
/// until it returns. So at most a fixed number run at once; the rest wait within their own time.
#[derive(Debug)]
pub struct SystemResolver {
    slots: Arc<Semaphore>,
}

impl SystemResolver {
    /// A resolver that runs at most this many lookups at once.
    pub fn new(lookups_max: usize) -> Self {
        Self { slots: Arc::new(Semaphore::new(lookups_max)) }
    }
}

impl Default for SystemResolver {
    /// 32 at once: a small part of tokio's 512 blocking threads, which files need too.
    fn default() -> Self {
        Self::new(32)
    }
}

impl Resolver for SystemResolver {
    fn lookup<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let slots = Arc::clone(&self.slots);
            let slot = slots.acquire_owned().await.map_err(io::Error::other)?;
            let name = name.to_owned();
            // A task of its own, so that the slot stays taken as long as the thread is.
            let task = tokio::spawn(async move {
                let found = tokio::net::lookup_host((name.as_str(), 0)).await;
                drop(slot);
                found.map(|found| found.map(|socket| socket.ip()).collect())
            });
            task.await.map_err(io::Error::other)?
        })
    }
}

/// Where a request goes: a target and its checked addresses. Only [`check`] makes one.
#[derive(Debug, PartialEq, Eq)]
pub struct Destination {
    target: Target,
    addresses: Vec<SocketAddr>,
}

impl Destination {
    /// The target that was checked.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The addresses that were checked, in the order to try them; never empty.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

/// Resolves a target once and checks every address against what its grants open.
pub async fn check(
    target: Target,
    reach: Reach,
    resolver: &dyn Resolver,
    within: Duration,
) -> Result<Destination, Refusal> {
    let found = addresses_of(&target.host, resolver, within).await?;
    permitted(&target.host, &found, reach, || advice(&target))?;
    let addresses = found.into_iter().map(|ip| SocketAddr::new(ip, target.port)).collect();
    Ok(Destination { target, addresses })
}

/// Resolves a host once: an address is itself, `localhost` is loopback, a name asks the resolver.
pub(super) async fn addresses_of(
    host: &Host,
    resolver: &dyn Resolver,
    within: Duration,
) -> Result<Vec<IpAddr>, Refusal> {
    if let Some(address) = host.address() {
        return Ok(vec![address]);
    }
    if host.is_localhost() {
        return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    }
    let name = host.name().unwrap_or_default();
    let answer = match tokio::time::timeout(within, resolver.lookup(name)).await {
        Ok(answer) => answer.map_err(|source| Refusal::Lookup { host: host.clone(), source })?,
        Err(_) => {
            return Err(Refusal::Timeout { host: host.clone(), after: within });
        }
    };
    let mut found: Vec<IpAddr> = Vec::new();
    for address in answer.into_iter().map(|address| address.to_canonical()) {
        if !found.contains(&address) && found.len() < ADDRESSES_MAX {
            found.push(address);
        }
    }
    if found.is_empty() { Err(Refusal::NoAddress(host.clone())) } else { Ok(found) }
}

/// Refuses the host if one of its addresses is not open to the grant.
pub(super) fn permitted(
    host: &Host,
    addresses: &[IpAddr],
    reach: Reach,
    advice: impl Fn() -> [String; 3],
) -> Result<(), Refusal> {
    let classes = addresses.iter().map(|address| (*address, classify(*address)));
    let Some((address, class)) = classes.into_iter().find(|(_, class)| !reach.permits(*class))
    else {
        return Ok(());
    };
    let [by_name, by_host, by_address] = advice();
    let advice = match (host.address(), class) {
        (None, Class::Private | Class::Shared | Class::UniqueLocal) if !host.is_localhost() => {
            format!("only `{by_name}` would open it")
        }
        (None, Class::Loopback) if host.is_localhost() => {
            format!("only a grant that names it, `{by_host}`, would open it")
        }
        (None | Some(_), _) => {
            format!("only a grant of the address, `{by_address}`, would open it")
        }
    };
    Err(Refusal::Address { host: host.clone(), address, class, advice })
}

/// The flags that could open a target's name as private, the name itself, and an address in its
/// place.
fn advice(target: &Target) -> [String; 3] {
    let host = match target.host.address() {
        Some(_) => target.host.to_string(),
        None => "ADDRESS".to_owned(),
    };
    let (scheme, port) = (&target.scheme, target.port);
    [
        format!("--allow-net 'private:{target}'"),
        format!("--allow-net '{scheme}://{}:{port}'", target.host),
        format!("--allow-net '{scheme}://{host}:{port}'"),
    ]
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Long enough that a busy machine does not fail a test that waits for something to happen.
    pub(in super::super) const SOON: Duration = Duration::from_secs(20);

    /// Answers each question with the next of its answers, and counts the questions.
    pub(in super::super) struct Rebinding {
        answers: Vec<Vec<IpAddr>>,
        pub(in super::super) asked: AtomicUsize,
    }

    impl Rebinding {
        pub(in super::super) fn new(answers: &[&[&str]]) -> Self {
            let parse = |text: &&str| text.parse().expect("an address");
            let answers = answers.iter().map(|answer| answer.iter().map(parse).collect()).collect();
            Self { answers, asked: AtomicUsize::new(0) }
        }
    }

    impl Resolver for Rebinding {
        fn lookup<'a>(&'a self, _: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
            let turn = self.asked.fetch_add(1, Ordering::SeqCst);
            let answer = self.answers.get(turn).cloned();
            Box::pin(async move { answer.ok_or_else(|| io::Error::other("asked too often")) })
        }
    }

    struct Silent;

    impl Resolver for Silent {
        fn lookup<'a>(&'a self, _: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
            Box::pin(std::future::pending())
        }
    }

    fn target(uri: &str) -> Target {
        Target::from_uri(&uri.parse().expect("a URI")).expect("a target")
    }

    async fn checked(uri: &str, reach: Reach, answer: &[&str]) -> Result<Vec<String>, String> {
        let destination = check(target(uri), reach, &Rebinding::new(&[answer]), SOON).await;
        destination
            .map(|found| found.addresses().iter().map(ToString::to_string).collect())
            .map_err(|refusal| refusal.to_string())
    }

    #[tokio::test]
    async fn a_public_name_becomes_its_addresses() {
        let found = checked("https://a.example", Reach::PUBLIC, &["8.8.8.8", "2a00::1", "8.8.8.8"]);
        assert_eq!(found.await, Ok(vec!["8.8.8.8:443".to_owned(), "[2a00::1]:443".to_owned()]));
    }

    #[tokio::test]
    async fn one_address_that_is_not_open_refuses_the_name() {
        for hidden in [
            "127.0.0.1",
            "10.0.0.1",
            "169.254.169.254",
            "::1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "0.0.0.0",
            "fd00:ec2::254",
            "224.0.0.1",
        ] {
            let found = checked("http://a.example", Reach::PUBLIC, &["8.8.8.8", hidden]).await;
            assert!(found.is_err(), "{hidden}: {found:?}");
        }
    }

    #[tokio::test]
    async fn private_opens_private_networks_and_no_more() {
        let uri = "http://wiki.corp";
        for open in ["10.0.0.1", "192.168.0.1", "100.64.0.1", "fd00::1", "8.8.8.8"] {
            assert!(checked(uri, Reach::PRIVATE, &[open]).await.is_ok(), "{open}");
        }
        for shut in ["127.0.0.1", "169.254.1.1", "169.254.169.254", "fd00:ec2::254", "fe80::1"] {
            assert!(checked(uri, Reach::PRIVATE, &[shut]).await.is_err(), "{shut}");
        }
        let refusal = checked(uri, Reach::PUBLIC, &["10.0.0.1"]).await.expect_err("refused");
        let flag = "only `--allow-net 'private:http://wiki.corp'` would open it";
        assert!(refusal.contains(flag), "{refusal}");
    }

    #[tokio::test]
    async fn every_notation_of_loopback_is_refused_without_a_grant() {
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f.1",
            "0x7f000001",
            "0177.0.0.1",
            "127.0.0.1.",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[::127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
            "[64:ff9b:1::7f00:1]",
            "localhost",
            "LOCALHOST.",
            "0.0.0.0",
            "[::]",
            "127.255.255.254",
            "[2001:0:7f00:1::]",
            "[2a00::5efe:7f00:1]",
        ] {
            // The resolver has no answer at all: a literal never asks.
            let silent = Rebinding::new(&[]);
            let target = target(&format!("http://{host}/"));
            let refusal = check(target, Reach::PUBLIC, &silent, SOON).await.expect_err(host);
            assert!(matches!(refusal, Refusal::Address { .. }), "{host}: {refusal}");
        }
    }

    #[tokio::test]
    async fn what_a_grant_names_is_open() {
        let literal = checked("http://2130706433:81", Reach::NAMED_ADDRESS, &[]).await;
        assert_eq!(literal, Ok(vec!["127.0.0.1:81".to_owned()]));
        let localhost = checked("http://localhost:81", Reach::LOOPBACK, &[]).await;
        assert_eq!(localhost, Ok(vec!["127.0.0.1:81".to_owned(), "[::1]:81".to_owned()]));
    }

    #[tokio::test]
    async fn a_resolver_that_fails_stalls_or_floods_is_bounded() {
        let stalled =
            check(target("http://a.example"), Reach::PUBLIC, &Silent, Duration::from_millis(20));
        assert!(matches!(stalled.await, Err(Refusal::Timeout { .. })));
        assert!(checked("http://a.example", Reach::PUBLIC, &[]).await.is_err());
        let many: Vec<String> = (0..200).map(|n| format!("8.8.8.{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let found = checked("http://a.example", Reach::PUBLIC, &many).await;
        assert_eq!(found.map(|found| found.len()), Ok(ADDRESSES_MAX));
    }

    #[tokio::test]
    async fn the_system_resolver_answers() {
        let found = SystemResolver::default().lookup("localhost").await.expect("localhost");
        assert!(found.iter().all(|address| address.is_loopback()), "{found:?}");
    }
}
