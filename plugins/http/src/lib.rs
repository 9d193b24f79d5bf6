//! HTTP: `fetch` for reading, `send` for all else. It shows a denied request as a typed result.
//!
//! They are two tools because they behave differently: a `GET` may be sent again after a crash and
//! needs no approval, a `POST` may not and may. Redirects are followed here, since the host follows
//! none: so each step passes the operator's grants.

mod fetch;
mod markdown;
mod reply;
mod send;
mod url;

use aos_sdk::plugin;

plugin!(fetch::fetch, send::send);

#[cfg(test)]
mod tests;
