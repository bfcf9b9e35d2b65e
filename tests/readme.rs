//! Holds the README to the code: the table of secure defaults tells the values that are built in.

#![cfg(test)]

use std::time::Duration;

use portcullis::domain::timeouts::Timeouts;
use portcullis::proxy::patrol::ROUND;
use portcullis::proxy::settings::{
    LEAST_UPLOAD, MAX_FIELDS, MAX_HEAD, MAX_INFORMATIONAL, MAX_TARGET, MAX_VALUE, POOL_IDLE, POOL_SIZE, UPLOAD_GRACE, http2, upstream_http2,
};

const README: &str = include_str!("../README.md");

fn kib(bytes: usize) -> String {
    assert_eq!(bytes % 1024, 0, "{bytes} is no whole number of KiB");
    format!("{} KiB", bytes / 1024)
}

fn seconds(time: Duration) -> String {
    assert_eq!(time.subsec_nanos(), 0, "{time:?} is no whole number of seconds");
    format!("{} s", time.as_secs())
}

#[test]
fn the_readme_tells_the_defaults_of_the_data_plane() {
    let Timeouts { connect, response, body_idle, header, detect, keep_alive, write_stall, connection_age, drain } = Timeouts::default();
    let rows = [
        format!(
            "| head of a request | {} in all (431), {MAX_FIELDS} fields, {} for the target (414), {} for one field |",
            kib(MAX_HEAD),
            kib(MAX_TARGET),
            kib(MAX_VALUE)
        ),
        format!(
            "| head of an upstream's answer | {}, {MAX_FIELDS} fields, at most {MAX_INFORMATIONAL} informational answers before it |",
            kib(MAX_HEAD)
        ),
        format!("| time for a request's head / idle between requests | {} (408) / {} |", seconds(header), seconds(keep_alive)),
        format!("| time to connect to an upstream | {} |", seconds(connect)),
        format!("| time from the request sent to the head of the answer | {} (504) |", seconds(response)),
        format!(
            "| time between two pieces of a body / until the client takes what it is sent | {} / {} |",
            seconds(body_idle),
            seconds(write_stall)
        ),
        format!(
            "| least rate of an upload, after {} of waiting for it | {}/s (408); gRPC messages may rest |",
            seconds(UPLOAD_GRACE),
            kib(LEAST_UPLOAD as usize)
        ),
        format!(
            "| HTTP/2 from clients | {} streams at once, {} per frame, {} for the fields, windows of {} and {}, {} of an answer waiting; {} a connection |",
            http2::STREAMS,
            kib(http2::FRAME as usize),
            kib(http2::HEADER_LIST as usize),
            kib(http2::STREAM_WINDOW as usize),
            kib(http2::CONNECTION_WINDOW as usize),
            kib(http2::SEND_BUFFER),
            seconds(connection_age)
        ),
        format!(
            "| versions over HTTP/2 | off unless asked for, or agreed on over TLS; {} streams on each of {} connections per worker and endpoint, windows of {} and {}, of {} for each answer while more than {} share a connection or {} a worker; idle connections close after {} |",
            upstream_http2::STREAMS,
            upstream_http2::LANES,
            kib(upstream_http2::STREAM_WINDOW as usize),
            kib(upstream_http2::CONNECTION_WINDOW as usize),
            kib(upstream_http2::NARROW_WINDOW as usize),
            upstream_http2::FEW,
            upstream_http2::FEW_IN_ALL,
            seconds(ROUND * upstream_http2::IDLE_SWEEPS)
        ),
        format!(
            "| redirected connections (`intercepted: true`) | off. When on: what a service answers is split and judged, any other host and what is no HTTP goes where it was going, which is connected to after {} ms of silence because it may speak first, or after {} of half a word; requests that go elsewhere keep all their fields but those of one hop, and nothing is said of their client; what was not redirected, or would come back, is closed |",
            detect.as_millis(),
            seconds(header)
        ),
        format!("| drain after SIGTERM | {} |", seconds(drain)),
        format!("| idle upstream connections | {POOL_SIZE} per worker and endpoint, for {} each |", seconds(POOL_IDLE)),
    ];
    let missing: Vec<&String> = rows.iter().filter(|row| !README.lines().any(|line| line == row.as_str())).collect();
    assert!(missing.is_empty(), "README.md must have these rows under \"Secure defaults\":\n{missing:#?}");
}
