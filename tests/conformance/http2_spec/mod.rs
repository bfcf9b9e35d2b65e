//! What RFC 9113 and RFC 7541 ask of a server, case by case, against the built program on a plain and on an encrypted port.
//!
//! The cases have the numbers of h2spec 2.6.0, which cannot run here, and are written from the RFCs. What became of each stands in
//! [`RESULTS-HTTP2.md`](../RESULTS-HTTP2.md); the README beside that file says how to renew it.

mod case;
mod ends;
mod generic;
mod hpack;
mod kinds;
mod messages;
mod peer;
mod streams;
mod suite;
mod table;
mod talk;
