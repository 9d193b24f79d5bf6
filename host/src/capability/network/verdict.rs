//! The wishes about the network that the gate decides.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

use http::Method;

use super::address::Reach;
use super::host::{Host, Target};
use super::pattern::{HttpPattern, SocketPattern, reach};
use super::resolve::Refusal;
use super::sockets::{Intent, SocketGrants, SocketTable, Transport};
use crate::capability::authority::Authority;
use crate::capability::gate::{Never, Request};
use crate::capability::grant::{AskPattern, Capability};
use crate::journal::Class;
use crate::types::{Denial, MissingIn};

/// A wish to send one HTTP request.
#[derive(Clone, Debug)]
pub struct HttpRequest {
    /// Its method.
    pub method: Method,
    /// Where it goes, in normal form.
    pub target: Target,
}

impl Request for HttpRequest {
    /// The target, and which of its addresses may be connected to.
    type Checked = (Target, Reach);

    fn capability(&self) -> Capability {
        Capability::Net
    }

    fn target(&self) -> Cow<'_, str> {
        HttpPattern::exactly(&self.method, &self.target).to_string().into()
    }

    fn class(&self) -> Class {
        // What went out must be in the journal when the host dies right after.
        Class::Written
    }

    fn check(self, authority: &Authority) -> Result<Self::Checked, Denial> {
        let reached = reach(authority.net(), &self.method, &self.target);
        let asked = |pattern: &AskPattern| match pattern {
            AskPattern::Anything => true,
            AskPattern::Http(pattern) => pattern.matches(&self.method, &self.target),
            AskPattern::Path(_) | AskPattern::Socket(_) | AskPattern::Name(_) => false,
        };
        let target = || self.target().into_owned();
        authority.decide(Capability::Net, reached.is_some(), asked, target)?;
        // `decide` has refused what no grant reaches.
        Ok((self.target, reached.unwrap_or(Reach::PUBLIC)))
    }
}

/// A request that was granted by name and whose name leads to an address that was not.
#[derive(Clone, Debug)]
pub struct UnreachableRequest {
    target: String,
    remedy: String,
}

impl UnreachableRequest {
    /// None when the refusal is no verdict: a name that does not resolve is nobody's denial.
    pub fn of(refusal: &Refusal) -> Option<Self> {
        match refusal {
            Refusal::Address { host, address, class, advice } => Some(Self {
                target: format!("{host} at {address}, a {class} address"),
                // The advice is half a sentence of its own.
                remedy: advice
                    .trim_start_matches("only ")
                    .trim_end_matches(" would open it")
                    .trim_end_matches(',')
                    .to_owned(),
            }),
            Refusal::NotGranted { .. }
            | Refusal::Lookup { .. }
            | Refusal::NoAddress(_)
            | Refusal::Timeout { .. }
            | Refusal::TooMany { .. } => None,
        }
    }
}

impl Request for UnreachableRequest {
    type Checked = Never;

    fn capability(&self) -> Capability {
        Capability::Net
    }

    fn target(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.target)
    }

    fn class(&self) -> Class {
        Class::Queued
    }

    fn check(self, _: &Authority) -> Result<Never, Denial> {
        Err(Denial {
            capability: Capability::Net.to_string(),
            target: self.target,
            missing_in: MissingIn::Operator,
            remedy: self.remedy,
        })
    }
}

/// The raw-socket table of one call of a program with this authority.
pub fn socket_table(authority: &Authority) -> SocketTable {
    let granted = SocketGrants { tcp: authority.tcp().to_vec(), udp: authority.udp().to_vec() };
    SocketTable::new(asked(authority), vec![granted])
}

/// What the manifest asks of sockets; none when it asks for everything.
fn asked(authority: &Authority) -> Option<SocketGrants> {
    let mut asked = SocketGrants::default();
    for ask in authority.asks()? {
        let patterns = match ask.capability {
            Capability::Tcp => &mut asked.tcp,
            Capability::Udp => &mut asked.udp,
            Capability::Read
            | Capability::Write
            | Capability::Net
            | Capability::Env
            | Capability::Config
            | Capability::KeyValue
            | Capability::Secret
            | Capability::Tool
            | Capability::Model
            | Capability::Spawn => continue,
        };
        match &ask.pattern {
            AskPattern::Anything => patterns.extend("*:*".parse::<SocketPattern>().ok()),
            AskPattern::Socket(pattern) => patterns.push(pattern.clone()),
            AskPattern::Path(_) | AskPattern::Http(_) | AskPattern::Name(_) => {}
        }
    }
    Some(asked)
}

/// A wish to do something with a raw socket and an address.
#[derive(Clone, Debug)]
pub struct SocketRequest {
    /// The call's table.
    pub table: Arc<SocketTable>,
    /// The address.
    pub peer: SocketAddr,
    /// What is wanted.
    pub intent: Intent,
}

impl Request for SocketRequest {
    type Checked = ();

    fn capability(&self) -> Capability {
        match self.intent {
            Intent::Talk(transport) | Intent::Bind(transport) | Intent::Serve(transport) => {
                capability(transport)
            }
        }
    }

    fn target(&self) -> Cow<'_, str> {
        self.peer.to_string().into()
    }

    fn class(&self) -> Class {
        Class::Written
    }

    fn tally(&self) -> Option<String> {
        // A datagram each would be a row each.
        matches!(self.intent, Intent::Talk(Transport::Udp)).then(|| format!("udp {}", self.peer))
    }

    fn has_outcome(&self) -> bool {
        // The engine connects afterwards, and does not tell how it went.
        false
    }

    fn check(self, authority: &Authority) -> Result<(), Denial> {
        let capability = self.capability();
        let allowed = self.table.may(self.peer, self.intent);
        let asked = |pattern: &AskPattern| match pattern {
            AskPattern::Anything => true,
            // A name's addresses are known to the table alone; the name was asked for when it
            // was looked up.
            AskPattern::Socket(pattern) => pattern.matches_port(self.peer.port()),
            AskPattern::Path(_) | AskPattern::Http(_) | AskPattern::Name(_) => false,
        };
        let target = || self.target().into_owned();
        authority.decide(capability, allowed.is_ok(), asked, target)
    }
}

/// A wish to look a name up for raw sockets.
#[derive(Clone, Debug)]
pub struct LookupRequest {
    /// The name.
    pub name: Host,
}

impl Request for LookupRequest {
    /// The name, which may be sent to a resolver.
    type Checked = Host;

    fn capability(&self) -> Capability {
        Capability::Tcp
    }

    fn target(&self) -> Cow<'_, str> {
        format!("{}:*", self.name).into()
    }

    fn class(&self) -> Class {
        // A look-up leaves the machine: its name can carry a message.
        Class::Written
    }

    fn check(self, authority: &Authority) -> Result<Host, Denial> {
        let patterns = authority.tcp().iter().chain(authority.udp());
        let granted = patterns.into_iter().any(|pattern| pattern.matches_name(&self.name));
        let asked = |pattern: &AskPattern| match pattern {
            AskPattern::Anything => true,
            AskPattern::Socket(pattern) => pattern.matches_name(&self.name),
            AskPattern::Path(_) | AskPattern::Http(_) | AskPattern::Name(_) => false,
        };
        let target = || self.target().into_owned();
        authority.decide(Capability::Tcp, granted, asked, target)?;
        Ok(self.name)
    }
}

fn capability(transport: Transport) -> Capability {
    match transport {
        Transport::Tcp => Capability::Tcp,
        Transport::Udp => Capability::Udp,
    }
}
