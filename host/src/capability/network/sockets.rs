//! Raw sockets of one call: which names it may look up and which addresses it may talk to.
//!
//! A guest looks a name up first and connects to an address later, so the table remembers which
//! addresses came from which name. An address is open when a grant names it, when a plain `*` means
//! every public address, or when it is the checked answer for a granted name. Listening and
//! accepting are never open: no grant has words for them.

use super::address::{Reach, classify};
use super::host::Host;
use super::pattern::SocketPattern;
use super::resolve::{Refusal, Resolver, addresses_of, permitted};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Answers one call may have recorded: a call that looks up more is scanning.
const RECORDS_MAX: usize = 256;

/// TCP or UDP; each has grants of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Streams.
    Tcp,
    /// Datagrams.
    Udp,
}

impl Transport {
    fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// What a guest wants to do with a socket and an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Intent {
    /// Talk to this address: connect, send to it, or hear from it.
    Talk(Transport),
    /// Take this address as one's own; open only for the one the system picks (`0.0.0.0:0`).
    Bind(Transport),
    /// Wait for connections, or take one.
    Serve(Transport),
}

/// The raw-socket grants of one holder.
#[derive(Clone, Debug, Default)]
pub struct SocketGrants {
    /// What `tcp:` grants say.
    pub tcp: Vec<SocketPattern>,
    /// What `udp:` grants say.
    pub udp: Vec<SocketPattern>,
}

impl SocketGrants {
    fn of(&self, transport: Transport) -> &[SocketPattern] {
        match transport {
            Transport::Tcp => &self.tcp,
            Transport::Udp => &self.udp,
        }
    }

    /// What the grants open for a name they mean, on any port; `None` when they do not mean it.
    fn reach_of_name(&self, name: &Host) -> Option<Reach> {
        let patterns = self.tcp.iter().chain(&self.udp);
        let matching = patterns.filter(|pattern| pattern.matches_name(name));
        matching.map(SocketPattern::reach).reduce(Reach::union)
    }

    /// Whether one grant opens this address, by itself or by a name it was the answer for.
    fn opens(&self, peer: SocketAddr, transport: Transport, names: &[&Host]) -> bool {
        let class = classify(peer.ip());
        self.meaning(peer, transport, names).any(|pattern| pattern.reach().permits(class))
    }

    /// The grants that mean this address, whatever they open.
    fn meaning<'a>(
        &'a self,
        peer: SocketAddr,
        transport: Transport,
        names: &'a [&Host],
    ) -> impl Iterator<Item = &'a SocketPattern> {
        self.of(transport).iter().filter(move |pattern| {
            pattern.matches_port(peer.port())
                && (pattern.matches_address(peer.ip())
                    || names.iter().any(|name| pattern.matches_name(name)))
        })
    }
}

/// What one call may do with raw sockets, and what it has looked up so far.
#[derive(Debug)]
pub struct SocketTable {
    /// What the plugin's manifest asks for; `None` asks for everything. It narrows and opens
    /// nothing: asking for `*:*` is enough to use a grant of 127.0.0.1.
    asked: Option<SocketGrants>,
    /// Every holder must allow: the operator for this plugin, and each caller above it.
    holders: Vec<SocketGrants>,
    /// Which name each address was the answer for. The lock is never held across an await.
    records: Mutex<Vec<(IpAddr, Host)>>,
}

impl SocketTable {
    /// A table for one call. All holders must allow a thing; without any holder, nothing is open.
    pub fn new(asked: Option<SocketGrants>, holders: Vec<SocketGrants>) -> Self {
        Self { asked, holders, records: Mutex::default() }
    }

    /// Looks a granted name up once, checks every address and remembers them for [`Self::may`].
    ///
    /// A literal address is returned as it is: nothing is asked, and connecting is checked later.
    pub async fn lookup(
        &self,
        name: &Host,
        resolver: &dyn Resolver,
        within: Duration,
    ) -> Result<Vec<IpAddr>, Refusal> {
        if let Some(address) = name.address() {
            return Ok(vec![address]);
        }
        let reach = self.reach_of_name(name)?;
        let found = addresses_of(name, resolver, within).await?;
        let advice = || {
            [
                format!("--allow-tcp 'private:{name}:PORT'"),
                format!("--allow-tcp '{name}:PORT'"),
                "--allow-tcp 'ADDRESS:PORT'".to_owned(),
            ]
        };
        permitted(name, &found, reach, advice)?;
        self.record(name, &found)?;
        Ok(found)
    }

    /// Whether a socket may do this with that address.
    pub fn may(&self, peer: SocketAddr, intent: Intent) -> Result<(), Refusal> {
        match intent {
            Intent::Talk(transport) => self.may_connect(peer, transport),
            Intent::Bind(_) if peer.ip().is_unspecified() && peer.port() == 0 => Ok(()),
            Intent::Bind(transport) => Err(Refusal::NotGranted {
                what: format!("binding {} {peer}", transport.word()),
                grant: "0.0.0.0:0, which needs no grant,".to_owned(),
            }),
            Intent::Serve(transport) => Err(Refusal::NotGranted {
                what: format!("listening on {} {peer}", transport.word()),
                grant: "no grant".to_owned(),
            }),
        }
    }

    /// Whether every holder opens this address and port.
    pub fn may_connect(&self, peer: SocketAddr, transport: Transport) -> Result<(), Refusal> {
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let of_peer = records.iter().filter(|(address, _)| *address == peer.ip());
        let names: Vec<&Host> = of_peer.map(|(_, name)| name).collect();
        let asked = |asked: &SocketGrants| asked.meaning(peer, transport, &names).next().is_some();
        let open = |holder: &SocketGrants| holder.opens(peer, transport, &names);
        if self.asked.as_ref().is_none_or(asked)
            && !self.holders.is_empty()
            && self.holders.iter().all(open)
        {
            return Ok(());
        }
        Err(Refusal::NotGranted {
            what: format!("{} to {peer}", transport.word()),
            grant: format!("{}:{peer}", transport.word()),
        })
    }

    fn reach_of_name(&self, name: &Host) -> Result<Reach, Refusal> {
        let asked = self.asked.as_ref().is_none_or(|asked| asked.reach_of_name(name).is_some());
        let reaches: Option<Vec<Reach>> =
            self.holders.iter().map(|holder| holder.reach_of_name(name)).collect();
        let reach = reaches.and_then(|all| all.into_iter().reduce(Reach::intersection));
        reach.filter(|_| asked).ok_or_else(|| Refusal::NotGranted {
            what: format!("looking up {name}"),
            grant: format!("tcp:{name}:PORT"),
        })
    }

    fn record(&self, name: &Host, found: &[IpAddr]) -> Result<(), Refusal> {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        for address in found {
            if records.iter().any(|(known, by)| known == address && by == name) {
                continue;
            }
            if records.len() == RECORDS_MAX {
                return Err(Refusal::TooMany { limit: RECORDS_MAX });
            }
            records.push((*address, name.clone()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::resolve::tests::{Rebinding, SOON};
    use super::*;
    use std::sync::atomic::Ordering;

    fn grants(tcp: &[&str], udp: &[&str]) -> SocketGrants {
        let parse = |text: &&str| text.parse().expect("a pattern");
        SocketGrants { tcp: tcp.iter().map(parse).collect(), udp: udp.iter().map(parse).collect() }
    }

    fn table(tcp: &[&str], udp: &[&str]) -> SocketTable {
        SocketTable::new(None, vec![grants(tcp, udp)])
    }

    fn tcp(table: &SocketTable, peer: &str) -> bool {
        table.may_connect(peer.parse().expect("an address"), Transport::Tcp).is_ok()
    }

    fn udp(table: &SocketTable, peer: &str) -> bool {
        table.may_connect(peer.parse().expect("an address"), Transport::Udp).is_ok()
    }

    fn host(text: &str) -> Host {
        Host::parse_bare(text).expect("a host")
    }

    #[test]
    fn a_literal_grant_opens_that_address_and_port_alone() {
        let table = table(&["127.0.0.1:5432"], &["[2a00::1]:53"]);
        assert!(tcp(&table, "127.0.0.1:5432"));
        assert!(tcp(&table, "[::ffff:127.0.0.1]:5432"));
        assert!(!tcp(&table, "127.0.0.1:5433"));
        assert!(!tcp(&table, "127.0.0.2:5432"));
        assert!(!udp(&table, "127.0.0.1:5432"));
        assert!(udp(&table, "[2a00::1]:53"));
        assert!(!tcp(&table, "[2a00::1]:53"));
    }

    #[test]
    fn a_star_opens_public_addresses_alone() {
        let table = table(&["*:443"], &[]);
        assert!(tcp(&table, "8.8.8.8:443"));
        for shut in
            ["127.0.0.1:443", "10.0.0.1:443", "169.254.169.254:443", "[::1]:443", "0.0.0.0:443"]
        {
            assert!(!tcp(&table, shut), "{shut}");
        }
        assert!(!tcp(&table, "8.8.8.8:80"));
    }

    #[test]
    fn nothing_is_open_without_a_holder_or_to_one_holder_alone() {
        assert!(!tcp(&SocketTable::new(None, Vec::new()), "8.8.8.8:443"));
        let holders = vec![grants(&["127.0.0.1:1"], &[]), grants(&["*:*"], &[])];
        assert!(!tcp(&SocketTable::new(None, holders), "127.0.0.1:1"));
        let asked = Some(grants(&["*:1"], &[]));
        let narrow = SocketTable::new(asked, vec![grants(&["127.0.0.1:*"], &[])]);
        assert!(tcp(&narrow, "127.0.0.1:1"));
        assert!(!tcp(&narrow, "127.0.0.1:2"));
    }

    #[tokio::test]
    async fn an_address_is_open_after_its_granted_name_was_looked_up() {
        let table = table(&["db.example.org:5432"], &[]);
        assert!(!tcp(&table, "8.8.8.8:5432"));
        let resolver = Rebinding::new(&[&["8.8.8.8"], &["127.0.0.1"]]);
        let name = host("DB.example.org");
        let found = table.lookup(&name, &resolver, SOON).await.expect("granted");
        assert_eq!(found, [IpAddr::from([8, 8, 8, 8])]);
        assert!(tcp(&table, "8.8.8.8:5432"));
        assert!(!tcp(&table, "8.8.8.8:22"));
        assert!(!udp(&table, "8.8.8.8:5432"));
        // The name turns to the host itself: refused, and not remembered.
        assert!(table.lookup(&name, &resolver, SOON).await.is_err());
        assert!(!tcp(&table, "127.0.0.1:5432"));
    }

    #[tokio::test]
    async fn a_name_without_a_grant_is_not_even_asked_for() {
        let table = table(&["db.example.org:5432"], &[]);
        let resolver = Rebinding::new(&[&["8.8.8.8"]]);
        let asked = table.lookup(&host("secret.evil.example"), &resolver, SOON).await;
        assert!(matches!(asked, Err(Refusal::NotGranted { .. })));
        assert_eq!(resolver.asked.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn a_private_name_opens_its_private_address() {
        let table = table(&["private:db.corp:5432", "localhost:6379"], &[]);
        let resolver = Rebinding::new(&[&["10.0.0.7"]]);
        table.lookup(&host("db.corp"), &resolver, SOON).await.expect("granted");
        assert!(tcp(&table, "10.0.0.7:5432"));
        assert!(!tcp(&table, "10.0.0.8:5432"));
        assert!(!tcp(&table, "127.0.0.1:6379"));
        table.lookup(&host("localhost"), &resolver, SOON).await.expect("granted");
        assert!(tcp(&table, "127.0.0.1:6379"));
        assert!(!tcp(&table, "127.0.0.1:5432"));
    }

    #[tokio::test]
    async fn lookups_of_one_call_are_bounded() {
        let table = table(&["*:1"], &[]);
        let mut refused = None;
        for n in 0..=RECORDS_MAX {
            let resolver = Rebinding::new(&[&["8.8.8.8"]]);
            let asked = table.lookup(&host(&format!("n{n}.example")), &resolver, SOON).await;
            refused = asked.err();
        }
        assert!(matches!(refused, Some(Refusal::TooMany { .. })), "{refused:?}");
    }

    #[test]
    fn serving_is_never_open_and_binding_only_to_what_the_system_picks() {
        let table = table(&["*:*", "0.0.0.0:8080"], &["*:*"]);
        let may = |peer: &str, intent| table.may(peer.parse().expect("an address"), intent).is_ok();
        assert!(may("0.0.0.0:0", Intent::Bind(Transport::Tcp)));
        assert!(may("[::]:0", Intent::Bind(Transport::Udp)));
        assert!(!may("0.0.0.0:8080", Intent::Bind(Transport::Tcp)));
        assert!(!may("127.0.0.1:0", Intent::Bind(Transport::Udp)));
        assert!(!may("0.0.0.0:0", Intent::Serve(Transport::Tcp)));
        assert!(!may("8.8.8.8:1", Intent::Serve(Transport::Tcp)));
        assert!(may("8.8.8.8:1", Intent::Talk(Transport::Udp)));
    }
}
