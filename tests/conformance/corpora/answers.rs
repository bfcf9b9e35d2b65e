//! The 50 answers: what the client receives, and that nothing of them waits on a pooled connection.

use std::any::Any;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::data::{self, Answer, Then, Want};
use super::lane::{BODY_IDLE, built, in_lanes};
use super::table::{self, Column};
use crate::support::PATIENCE;
use crate::support::client::{End, exchange};
use crate::support::message::{Message, read_answers};
use crate::support::upstream::{GOOD, Peer, Upstream};

/// The proxy's patience with a head; an answer that drips takes longer.
const RESPONSE: &str = "1500ms";
const BETWEEN_DRIPS: Duration = Duration::from_millis(60);

/// How an answer is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Writing {
    AtOnce,
    ByteByByte,
}

/// Gives the answer that the path asks for, and a good one for any other path.
fn give(peer: &mut Peer, answer: &Answer, writing: Writing) -> bool {
    let bytes = &answer.bytes.0;
    match (answer.end, writing) {
        (Then::Hang, _) => peer.until_closed(),
        (Then::Drip, _) => {
            let _ = peer.socket().set_read_timeout(Some(BETWEEN_DRIPS));
            for byte in bytes {
                // Waits for the proxy to close, a little, and then drips on.
                if !peer.send(&[*byte]) || peer.swallow(1) > 0 {
                    break;
                }
            }
        }
        (_, Writing::AtOnce) => drop(peer.send(bytes)),
        (_, Writing::ByteByByte) => {
            for byte in bytes {
                if !peer.send(&[*byte]) {
                    break;
                }
                std::thread::yield_now();
            }
        }
    }
    if answer.end == Then::Reset {
        peer.reset();
    }
    answer.end == Then::Wait
}

struct Lane {
    address: SocketAddr,
    _upstream: Upstream,
    _proxy: Box<dyn Any>,
}

fn lane(answers: &[Answer], writing: Writing, response: &str) -> Lane {
    let answers: HashMap<String, Answer> = answers.iter().map(|a| (format!("/{}", a.id), a.clone())).collect();
    let upstream = Upstream::start(move |peer| {
        while let Some(request) = peer.request() {
            let goes_on = match answers.get(request.target()) {
                Some(answer) => give(peer, answer, writing),
                None => peer.send(GOOD),
            };
            if !goes_on {
                return;
            }
        }
    });
    let (address, proxy) = built(upstream.address, false, response, BODY_IDLE);
    Lane { address, _upstream: upstream, _proxy: proxy }
}

/// Asks for a path; returns the last final answer, all bytes and how the connection ended.
fn ask(lane: &Lane, path: &str) -> (Option<Message>, Vec<u8>, End) {
    let request = format!("GET /{path} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
    let (bytes, end) = exchange(lane.address, request.as_bytes(), PATIENCE);
    let last = read_answers(&bytes, &[], end == End::Closed).into_iter().rfind(|a| a.status() >= 200 || a.status() == 101);
    (last, bytes, end)
}

/// Returns what deviates; nothing when all is as expected.
fn judge(case: &Answer, got: Option<&Message>, end: End) -> Vec<String> {
    let Some(got) = got else {
        return if case.want == Want::Cut && end != End::Open { vec![] } else { vec![format!("no valid answer ({end:?})")] };
    };
    let mut wrong: Vec<String> = got.violations.iter().map(|v| format!("the client got a {v}")).collect();
    wrong.extend(case.gone.iter().filter(|name| !got.all(name).is_empty()).map(|name| format!("{name} reached the client")));
    let mut check = |good: bool, what: &str| {
        if !good {
            wrong.push(format!("{what}: {} {:?}", got.status(), String::from_utf8_lossy(&got.body)));
        }
    };
    match case.want {
        Want::Refuse => check(got.status() == case.status && got.all("proxy-status").len() == 1, "not the proxy's own answer"),
        Want::Cut => check(!got.complete || got.status() == 502, "an incomplete body ended cleanly"),
        Want::Empty => {
            check(got.status() == case.status && got.body.is_empty(), "not an empty answer");
            let framed = !got.all("content-length").is_empty() || !got.all("transfer-encoding").is_empty();
            check(got.status() != 204 || !framed, "204 with a framing");
        }
        Want::Either if got.status() == 502 => {}
        Want::Pass | Want::Either => {
            check(got.status() == case.status && got.body == case.body.as_bytes(), "another answer");
            check(got.complete, "not complete");
        }
    }
    wrong
}

/// Shows what the client got: status, bytes of the body, end of the connection, framing, and whether it was cut.
fn cell(got: Option<&Message>, bytes: &[u8], end: End) -> String {
    let end = match end {
        End::Closed => "fin",
        End::Reset => "rst",
        End::Open => "timeout",
    };
    let Some(got) = got else {
        return if bytes.is_empty() { format!("- {end}") } else { format!("junk {}B {end}", bytes.len()) };
    };
    let names = [("transfer-encoding", "te"), ("content-length", "cl")];
    let framing: Vec<&str> = names.iter().filter(|(name, _)| !got.all(name).is_empty()).map(|(_, short)| *short).collect();
    let framing = if framing.is_empty() { "-".to_owned() } else { framing.join("+") };
    format!("{} {}B {end} {framing}{}", got.status(), got.body.len(), if got.complete { "" } else { " cut" })
}

/// Asks for all answers, fails with all that deviate, and returns their cells of the table.
fn all_as_expected(cases: &[Answer], writing: Writing, response: &str) -> Vec<String> {
    let judged = in_lanes(
        cases.len(),
        || lane(cases, writing, response),
        |lane, number| {
            let case = &cases[number];
            let (got, bytes, end) = ask(lane, &case.id);
            let mut wrong = judge(case, got.as_ref(), end);
            for _ in 0..2 {
                let (next, _, _) = ask(lane, "next");
                if next.as_ref().is_none_or(|next| next.body != b"good") {
                    wrong.push(format!("the next request got {next:?}: the pool is poisoned or blocked"));
                }
            }
            let shown = cell(got.as_ref(), &bytes, end);
            (shown, (!wrong.is_empty()).then(|| format!("{} ({}): {}", case.id, case.line, wrong.join("; "))))
        },
    );
    let (cells, wrong): (Vec<String>, Vec<Option<String>>) = judged.into_iter().unzip();
    let wrong: Vec<String> = wrong.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{} of {} answers deviate:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    cells
}

#[test]
fn all_answers_reach_the_client_as_expected_and_poison_no_pool() {
    let cells = all_as_expected(&data::answers(), Writing::AtOnce, RESPONSE);
    table::check(Column::Answers, &cells);
}

#[test]
fn answers_in_single_bytes_become_what_they_are_at_once() {
    // Bytes behind the end of an answer that come after the next request was sent are that request's answer for all one can tell.
    let ends = |a: &Answer| a.line != "F-12" && a.id != "304-body";
    let fit = |a: &Answer| a.bytes.0.len() < 4096 && ends(a) && !matches!(a.end, Then::Hang | Then::Drip);
    let short: Vec<Answer> = data::answers().into_iter().filter(fit).collect();
    assert!(short.len() > 40, "{}", short.len());
    all_as_expected(&short, Writing::ByteByByte, "20s");
}
