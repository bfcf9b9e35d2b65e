//! Hostile, odd and unlucky HTTP/1.1 on real sockets, line by line of the catalogue; see the README beside this file.

#![cfg(test)]

#[path = "../support/mod.rs"]
mod support;

#[path = "../support/process.rs"]
#[expect(dead_code, reason = "shared with other test targets, each of which uses a part")]
mod process;

mod authority;
mod charges;
mod choices_http2;
mod chunked;
mod corpora;
mod cuts;
mod encrypted;
mod endpoints;
mod exchanges;
mod fault_list;
mod faults;
mod forced;
mod framing;
mod grpc;
mod guards;
mod http2;
mod http2_bomb;
mod http2_floods;
mod http2_spec;
mod identity;
mod intercepted;
mod life;
mod mirror;
mod oracle;
mod overdue;
mod redirected_ends;
mod repeats;
mod rescues;
mod resting;
mod routing;
mod sharing;
mod slow;
mod sockets;
mod split;
mod sticky;
mod streams;
mod targets;
mod trace_context;
mod trailers;
mod tunnels;
mod upstream_http2;
mod upstream_tls;
mod websocket;
