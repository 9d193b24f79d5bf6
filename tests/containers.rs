//! Native command lines as tools: what Docker is told, what a container may not do, and what is
//! left when a host dies.
//!
//! [`fake`] is a Docker of the tests' own that writes down all that it is sent, so these run
//! everywhere. Those of [`real`] need a daemon: `tests/docker.sh` starts one.

mod fake;
mod real;
mod sent;
