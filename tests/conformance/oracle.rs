//! What is asked of every input: who gets what, what reaches the upstream, what becomes of the connections, who is blamed.

use std::time::Duration;

use portcullis::domain::outcome::Role;

use crate::support::client::{Client, End};
use crate::support::eventually;
use crate::support::message::{Message, read_answers};
use crate::support::proxy::{self, Proxy, Setup};
use crate::support::upstream::Upstream;

/// What must become of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Refused with one of these statuses; nothing complete reaches the upstream and the connection closes.
    Refused(&'static [u16]),
    /// Forwarded as this many clean requests, each answered.
    Forwarded(usize),
    /// The first so many are forwarded and answered, what follows is refused with 400 and the connection closes.
    ThenRefused(usize),
}

/// One input.
pub struct Case {
    /// The line of the catalogue and a word.
    pub id: String,
    /// The bytes a client sends.
    pub bytes: Vec<u8>,
    /// What must become of them.
    pub expect: Expect,
}

/// Refused as malformed.
pub const BAD: Expect = Expect::Refused(&[400]);
/// Forwarded as one request.
pub const ONE: Expect = Expect::Forwarded(1);

/// Makes a case.
pub fn case(id: impl Into<String>, bytes: impl Into<Vec<u8>>, expect: Expect) -> Case {
    Case { id: id.into(), bytes: bytes.into(), expect }
}

/// Makes a head from a request line and lines of fields, with a Host.
pub fn head(line: &[u8], fields: &[u8]) -> Vec<u8> {
    [line, b"\r\nHost: a.test\r\n", fields, b"\r\n"].concat()
}

/// A GET with these field lines.
pub fn get(fields: impl AsRef<[u8]>) -> Vec<u8> {
    head(b"GET /t HTTP/1.1", fields.as_ref())
}

/// A POST with these field lines and body.
pub fn post(fields: impl AsRef<[u8]>, body: impl AsRef<[u8]>) -> Vec<u8> {
    [&head(b"POST /t HTTP/1.1", fields.as_ref()), body.as_ref()].concat()
}

/// An upstream that answers each request with its own method and target, and a proxy in front of it.
pub struct Bench {
    /// The upstream.
    pub upstream: Upstream,
    /// The proxy.
    pub proxy: Proxy,
}

/// An upstream whose answers say what they answer.
pub fn telling() -> Upstream {
    Upstream::start(|peer| {
        while let Some(request) = peer.request() {
            let body = if request.line[0] == "HEAD" { String::new() } else { format!("{} {}", request.line[0], request.line[1]) };
            if !peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes()) {
                return;
            }
        }
    })
}

impl Bench {
    /// Starts both with default settings.
    pub fn new() -> Self {
        Self::with(|setup| setup)
    }

    /// Starts both.
    pub fn with(change: impl FnOnce(Setup) -> Setup) -> Self {
        let upstream = telling();
        let proxy = change(proxy::to([upstream.address])).start();
        Self { upstream, proxy }
    }

    /// Sends the bytes and judges what happens; `Err` says what is wrong.
    fn try_judge(&self, case: &Case, pieces: usize) -> Result<(), String> {
        let charged_before = self.charged();
        self.upstream.forget();
        let mut client = Client::connect(self.proxy.address);
        client.send_in_pieces(&case.bytes, pieces);
        let (end, answers) = match case.expect {
            Expect::Forwarded(count) => {
                let enough = |bytes: &[u8]| finals(&read_answers(bytes, &[], false)).len() >= count;
                let end = client.read_until(enough);
                (end, read_answers(&client.received, &[], end == End::Closed))
            }
            _ => {
                let end = client.read_to_end(Duration::from_secs(5));
                (end, read_answers(&client.received, &[], end == End::Closed))
            }
        };
        let got = finals(&answers);
        let statuses: Vec<u16> = got.iter().map(|a| a.status()).collect();
        if let Some(wrong) = answers.iter().find(|a| !a.violations.is_empty()) {
            return Err(format!("the client got {:?}", wrong.violations));
        }
        let (good, refusals) = match case.expect {
            Expect::Forwarded(count) => (count, None),
            Expect::Refused(allowed) => (0, Some(allowed)),
            Expect::ThenRefused(count) => (count, Some(&[400_u16][..])),
        };
        if statuses.len() < good || statuses[..good].iter().any(|s| *s != 200) {
            return Err(format!("answers {statuses:?} ({end:?}), {good} good ones are wanted"));
        }
        if let Some(allowed) = refusals {
            // Some clients learn of a refusal only by the closed connection; an answer must say the right thing.
            if statuses[good..].iter().any(|s| !allowed.contains(s)) || statuses.len() > good + 1 {
                return Err(format!("answers {statuses:?} ({end:?}), one of {allowed:?} is wanted"));
            }
            if statuses.len() == good && end != End::Closed {
                return Err(format!("no answer, and the connection is {end:?}"));
            }
            if end == End::Open {
                return Err("the connection stays open after a refusal".to_owned());
            }
            drop(client);
            eventually(&format!("{}: the refusal is counted, before a version is decided or as a failure after that", case.id), || {
                (self.charged() > charged_before).then_some(())
            });
        }
        self.judge_upstream(good)?;
        self.judge_next()
    }

    /// Requests refused, and decided requests that failed; the upstream of these tests never fails by itself.
    fn charged(&self) -> u64 {
        self.proxy.refused() + self.proxy.window(Role::Stable).failed
    }

    fn forwarded(&self) -> Vec<Message> {
        self.upstream.requests().into_iter().filter(|r| r.target() != "/next").collect()
    }

    /// The upstream saw as many complete, clean requests; an incomplete one is on a closed connection.
    fn judge_upstream(&self, good: usize) -> Result<(), String> {
        for seen in self.upstream.seen() {
            let requests = seen.requests();
            if let Some(wrong) = requests.iter().find(|r| !r.violations.is_empty()) {
                return Err(format!("the upstream got {:?}", wrong.violations));
            }
        }
        let complete = self.forwarded().iter().filter(|r| r.complete).count();
        if complete != good {
            return Err(format!("{complete} complete requests reached the upstream, {good} are wanted: {:?}", self.forwarded()));
        }
        eventually("connections with an incomplete request are closed", || {
            let broken = |seen: &crate::support::upstream::Seen| seen.requests().last().is_some_and(|r| !r.complete);
            self.upstream.seen().iter().all(|seen| !broken(seen) || seen.closed).then_some(())
        });
        Ok(())
    }

    /// The next request, on a connection of its own, gets its own answer.
    fn judge_next(&self) -> Result<(), String> {
        let answer = Client::connect(self.proxy.address).ask("GET /next HTTP/1.1\r\nHost: a.test\r\n\r\n");
        if answer.body != b"GET /next" { Err(format!("the next request got {answer:?}")) } else { Ok(()) }
    }

    /// Judges cases and fails with all that deviate.
    #[track_caller]
    pub fn judge(&self, cases: &[Case]) {
        let wrong: Vec<String> =
            cases.iter().filter_map(|case| self.try_judge(case, usize::MAX).err().map(|why| format!("{}: {why}", case.id))).collect();
        assert!(wrong.is_empty(), "{} of {} cases deviate:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    }

    /// Judges one case whose bytes arrive in pieces of this size.
    #[track_caller]
    pub fn judge_in_pieces(&self, case: &Case, pieces: usize) {
        if let Err(why) = self.try_judge(case, pieces) {
            panic!("{} in pieces of {pieces}: {why}", case.id);
        }
    }
}

fn finals(answers: &[Message]) -> Vec<&Message> {
    answers.iter().filter(|a| a.status() >= 200 && a.complete).collect()
}
