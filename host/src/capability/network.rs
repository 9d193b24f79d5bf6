//! The network: what a grant says, which address a request may reach, and the request itself.
//!
//! It knows nothing of the gate, the journal or a guest. Its protocol, in the order a caller keeps:
//!
//! 1. [`host::Target::from_uri`] brings what the guest wrote to one normal form.
//! 2. [`pattern::reach`] says whether the grants match, and which addresses they open.
//! 3. [`resolve::check`] resolves the name **once** and returns a [`resolve::Destination`], the
//!    only value that [`egress::Egress::send`] takes: a request cannot skip the check, and what is
//!    connected to is the checked address, not the name.
//! 4. Raw sockets go through [`sockets::SocketTable`], which remembers the checked answers.
//!
//! # What a grant reaches
//! Every grant opens public addresses only, except for what it names as such:
//!
//! | the pattern's host | opens, beyond public addresses |
//! |---|---|
//! | a literal address, `http://127.0.0.1:8080`, `http://[fd00::1]` | exactly that address |
//! | `localhost` | loopback addresses |
//! | an exact name, `private:https://wiki.corp` | private networks (RFC 1918, 6598, 4193) |
//! | `*`, `*.suffix`, any other name | nothing |
//!
//! No name opens link-local or metadata addresses, and only `localhost` opens loopback.
//! A name with several addresses is refused as a whole when one of them is not open to the grant.

pub mod address;
pub mod body;
pub mod egress;
pub mod host;
pub mod pattern;
pub mod request;
pub mod resolve;
pub mod sockets;
pub mod tls;
pub mod verdict;
