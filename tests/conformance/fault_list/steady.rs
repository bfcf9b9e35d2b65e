//! The other traffic: a few clients of the stable version and of another service, each of which checks every answer it gets.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::runtime::Runtime;
use tokio::task::LocalSet;

use super::fault::{Got, Want};
use crate::support::PATIENCE;
use crate::support::client::{Client, End};
use crate::support::message::read_answers;
use crate::support::multiplexed::{self, collect, request};

/// How many clients there are.
pub const CLIENTS: usize = 4;
/// The most requests of one client beside one fault.
const MOST: usize = 5_000;
/// How many requests each client sends once the fault is over.
const AFTER: usize = 2;
/// How many requests share an HTTP/2 connection.
const PER_CONNECTION: usize = 20;
/// Keeps the clients from taking the whole machine.
const PAUSE: Duration = Duration::from_millis(2);

/// What the clients share.
pub struct Traffic<'a> {
    /// The proxy.
    pub to: SocketAddr,
    /// Users of the stable version.
    pub users: &'a [String],
    /// Whether there is no stable version, so that everybody asks the other service.
    pub gone: bool,
    /// Set when the fault is over; read by the clients.
    pub over: AtomicBool,
    /// How many clients have had their first answer; written by them.
    pub begun: AtomicUsize,
}

/// What one client sent.
#[derive(Default)]
pub struct Sent {
    /// How many requests.
    pub requests: u64,
    /// What was wrong with their answers.
    pub wrong: Vec<String>,
}

/// How a client reaches the proxy.
enum Link {
    /// Over one connection as long as it lasts.
    Kept(Option<Client>),
    /// Over a connection for every request, with a body.
    Fresh,
    /// Over HTTP/2.
    Http2(Box<Multiplexed>),
}

/// An HTTP/2 connection that a thread drives while it waits for an answer.
struct Multiplexed {
    runtime: Runtime,
    tasks: LocalSet,
    sender: Option<SendRequest<Bytes>>,
}

impl Multiplexed {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { runtime, tasks: LocalSet::new(), sender: None }
    }

    fn ask(&mut self, to: SocketAddr, head: http::Request<()>) -> Got {
        let sender = self.sender.take();
        let asked = async {
            let sender = match sender {
                Some(sender) => sender,
                None => multiplexed::connect(to).await,
            };
            ask_http2(sender, head).await
        };
        let asked = async { tokio::time::timeout(PATIENCE, asked).await };
        let (got, sender) = self.tasks.block_on(&self.runtime, asked).unwrap_or_default();
        self.sender = sender;
        got
    }
}

/// Asks over HTTP/2; returns what was got, and the sender for the next request.
pub async fn ask_http2(sender: SendRequest<Bytes>, head: http::Request<()>) -> (Got, Option<SendRequest<Bytes>>) {
    let Ok(mut sender) = sender.ready().await else { return Default::default() };
    let Ok((answer, _)) = sender.send_request(head, true) else { return Default::default() };
    let Ok(answer) = answer.await else { return (Got::default(), Some(sender)) };
    let (head, body) = answer.into_parts();
    let reason = head.headers.get("proxy-status").and_then(|value| reason(value.to_str().ok()?));
    let body = collect(body).await;
    let whole = body.is_some();
    let got = Got { status: head.status.as_u16(), body: body.unwrap_or_default().0, reason, whole, violations: Vec::new() };
    (got, Some(sender))
}

/// Asks over HTTP/1.1 and reads one answer, or to the end of the connection.
pub fn ask_http1(client: &mut Client, request: &[u8], to_end: bool) -> (Got, End) {
    client.received.clear();
    client.send(request);
    let end = if to_end {
        client.read_to_end(PATIENCE)
    } else {
        client.read_until(|bytes| read_answers(bytes, &[], false).iter().any(|answer| answer.complete && answer.status() >= 200))
    };
    let answers = read_answers(&client.received, &[], end == End::Closed);
    let mut violations: Vec<String> = answers.iter().flat_map(|answer| answer.violations.clone()).collect();
    if answers.len() > 1 {
        violations.push(format!("{} answers to one request", answers.len()));
    }
    let Some(answer) = answers.into_iter().next_back() else { return (Got { violations, ..Got::default() }, end) };
    if end == End::Open && !answer.complete {
        violations.push("the connection hangs".to_owned());
    }
    let reason = answer.all("proxy-status").first().and_then(|value| reason(value));
    (Got { status: answer.status(), whole: answer.complete, body: answer.body, reason, violations }, end)
}

/// Returns the error of a `Proxy-Status` field of the proxy's own.
fn reason(field: &str) -> Option<String> {
    field.strip_prefix("gate-1; error=").map(|rest| rest.split(';').next().unwrap_or_default().to_owned())
}

impl Traffic<'_> {
    /// Sends requests until the fault is over and a few after that, and checks that each gets its own good answer.
    pub fn run(&self, index: usize) -> Sent {
        let mut link = match index {
            1 => Link::Fresh,
            2 => Link::Http2(Box::new(Multiplexed::new())),
            _ => Link::Kept(None),
        };
        let (mut sent, mut after) = (Sent::default(), 0);
        for number in 0..MOST {
            after += usize::from(self.over.load(Ordering::Acquire));
            if after > AFTER {
                break;
            }
            if let Err(wrong) = self.ask(index, number, &mut link) {
                sent.wrong.push(wrong);
            }
            sent.requests += 1;
            if number == 0 {
                self.begun.fetch_add(1, Ordering::AcqRel);
            }
            std::thread::park_timeout(PAUSE);
        }
        sent
    }

    fn ask(&self, index: usize, number: usize, link: &mut Link) -> Result<(), String> {
        let host = if self.gone || index == 3 { "other.test" } else { "a.test" };
        let (user, target) = (&self.users[index], format!("/steady-{index}-{number}"));
        let (method, fields, body) = if matches!(link, Link::Fresh) { ("POST", "Content-Length: 5\r\n", "hello") } else { ("GET", "", "") };
        let text = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nX-User: {user}\r\n{fields}\r\n{body}");
        let got = match link {
            Link::Fresh => ask_http1(&mut Client::connect(self.to), text.as_bytes(), false).0,
            Link::Kept(kept) => {
                let mut client = kept.take().unwrap_or_else(|| Client::connect(self.to));
                let (got, end) = ask_http1(&mut client, text.as_bytes(), false);
                *kept = Some(client).filter(|_| end == End::Open && got.whole);
                got
            }
            Link::Http2(link) => {
                let mut head = request("GET", "/", &[("x-user", user)]);
                *head.uri_mut() = format!("http://{host}{target}").parse().unwrap();
                if number.is_multiple_of(PER_CONNECTION) {
                    link.sender = None;
                }
                link.ask(self.to, head)
            }
        };
        let expected = format!("{method} {target}");
        let good = got.is(&Want::Long(expected.len())) && got.body == expected.as_bytes();
        if good { Ok(()) } else { Err(format!("other traffic: {expected} got {} {:?}", got.name(), got.violations)) }
    }
}
