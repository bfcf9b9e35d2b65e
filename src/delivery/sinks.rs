//! Tells other systems what happened, in keptn's events: each of them by a task of its own, one event after the other, again and again
//! until it is taken, also after a restart, and never in the way of a decision.

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use tokio::sync::Notify;

use crate::delivery::http as client;
use crate::delivery::intake;
use crate::store::{Letter, Outbox};

/// The most events that wait for one sink; of more the oldest are dropped, and that is told.
const MOST: u64 = 10_000;
/// How long one attempt may take.
const WITHIN: Duration = Duration::from_secs(5);

/// How often, and after what pauses, an event is sent again.
#[derive(Clone, Copy, Debug)]
struct Patience {
    /// The pause after the first failed attempt; it doubles up to `longest`.
    first: Duration,
    longest: Duration,
    /// An event that a sink has answered so often without taking it is put aside: those behind it are not to wait for ever. A sink that
    /// cannot be reached has answered nothing.
    most: u32,
}

impl Default for Patience {
    /// About a quarter of an hour for one event.
    fn default() -> Self {
        Self { first: Duration::from_millis(200), longest: Duration::from_secs(60), most: 22 }
    }
}

/// Everybody who is told.
pub(super) struct Sinks {
    outbox: Rc<Outbox>,
    sinks: Vec<Rc<Sink>>,
}

struct Sink {
    /// Its URL as it is written, which is the name of its queue.
    name: String,
    url: http::Uri,
    outbox: Rc<Outbox>,
    more: Notify,
    patience: Patience,
}

/// Why an event was not taken.
enum Untaken {
    /// The sink has said so.
    Answered(String),
    /// Anything else.
    Otherwise(String),
}

impl Sinks {
    /// Begins with the sinks at these URLs, and with what they were not told before; to be called on the engine's thread.
    ///
    /// # Errors
    ///
    /// Says why the outbox cannot be opened.
    pub(super) fn new(urls: &[String], state: &Path) -> Result<Self, String> {
        Self::with(urls, state, Patience::default())
    }

    fn with(urls: &[String], state: &Path, patience: Patience) -> Result<Self, String> {
        let (outbox, warning) = Outbox::open(state, MOST).map_err(|error| error.to_string())?;
        warning.into_iter().for_each(|warning| tracing::error!("{warning}"));
        let outbox = Rc::new(outbox);
        let sinks = urls.iter().filter_map(|name| Some((name.clone(), name.parse().ok()?))).map(|(name, url)| {
            let sink = Rc::new(Sink { name, url, outbox: Rc::clone(&outbox), more: Notify::new(), patience });
            tokio::task::spawn_local(Rc::clone(&sink).send());
            sink
        });
        let sinks = sinks.collect();
        Ok(Self { outbox, sinks })
    }

    /// Says whether there is nobody to tell.
    pub(super) fn is_empty(&self) -> bool {
        self.sinks.is_empty()
    }

    /// Tells everybody who does not know it yet. What is held is told once it is settled.
    pub(super) fn tell(&self, letters: &[Letter]) {
        if letters.is_empty() || self.sinks.is_empty() {
            return;
        }
        let receivers: Vec<&str> = self.sinks.iter().map(|sink| sink.name.as_str()).collect();
        match self.outbox.put(&receivers, letters) {
            Ok(0) => {}
            Ok(dropped) => tracing::warn!("{dropped} events were dropped, the oldest of more than {MOST} that a sink has not taken"),
            Err(error) => tracing::error!("{} events are not told: {error}", letters.len()),
        }
        self.wake();
    }

    /// Decides about what is held of a holder: what waits for just this is told, the rest never came about.
    pub(super) fn settle(&self, holder: &str, come_about: &str) {
        if self.sinks.is_empty() {
            return;
        }
        if let Err(error) = self.outbox.settle(holder, come_about) {
            tracing::error!("events of {holder} are told after a restart only: {error}");
        }
        self.wake();
    }

    fn wake(&self) {
        self.sinks.iter().for_each(|sink| sink.more.notify_one());
    }
}

impl Sink {
    /// Sends one event after the other, each until it is taken, or put aside.
    async fn send(self: Rc<Self>) {
        let Patience { first, longest, most } = self.patience;
        let mut pause = first;
        // The event that was last answered but not taken, and how often.
        let mut refused = (0, 0);
        loop {
            let told = match self.outbox.first(&self.name) {
                Ok(None) => {
                    self.more.notified().await;
                    continue;
                }
                Ok(Some((number, letter))) => match self.post(&letter).await {
                    Ok(()) => self.outbox.taken(&self.name, number, &letter.id).map_err(|error| error.to_string()),
                    Err(Untaken::Otherwise(why)) => Err(why),
                    Err(Untaken::Answered(why)) => {
                        refused = (number, if refused.0 == number { refused.1 + 1 } else { 1 });
                        if refused.1 < most { Err(why) } else { self.put_aside((number, &letter), &why) }
                    }
                },
                Err(error) => Err(error.to_string()),
            };
            match told {
                Ok(()) => pause = first,
                Err(why) => {
                    tracing::debug!("{} did not take an event: {why}", self.name);
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(longest);
                }
            }
        }
    }

    fn put_aside(&self, (number, letter): (u64, &Letter), why: &str) -> Result<(), String> {
        let why = format!("{why}, {} times", self.patience.most);
        self.outbox.put_aside(&self.name, number, &why).map_err(|error| error.to_string())?;
        tracing::error!("{} never took the event {}: {why}; it is put aside, and those behind it are told", self.name, letter.id);
        Ok(())
    }

    async fn post(&self, letter: &Letter) -> Result<(), Untaken> {
        let status = self.status(letter).await.map_err(Untaken::Otherwise)?;
        // What is refused for good is not sent again.
        let taken = status.is_success() || (status.is_client_error() && ![408, 425, 429].contains(&status.as_u16()));
        if taken { Ok(()) } else { Err(Untaken::Answered(format!("it answered with {status}"))) }
    }

    async fn status(&self, letter: &Letter) -> Result<StatusCode, String> {
        let authority = self.url.authority().ok_or("no host")?;
        let (host, port) = (authority.host().to_owned(), authority.port_u16().unwrap_or(80));
        let address = intake::resolve(host.trim_start_matches('[').trim_end_matches(']').to_owned(), port).await?;
        let request = Request::post(self.url.path_and_query().map_or("/", |path| path.as_str()))
            .header(http::header::HOST, authority.as_str())
            .header(http::header::CONTENT_TYPE, letter.kind.as_str())
            .body(Full::new(Bytes::from(letter.body.clone())))
            .map_err(|error| error.to_string())?;
        Ok(client::ask(address, request, WITHIN).await?.status())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::{Arc, Mutex};

    use super::*;

    /// A sink that takes nothing that says `bad`; returns its URL and what it was sent.
    fn sink() -> (String, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let (url, sent) = (format!("http://{}/events", listener.local_addr().unwrap()), Arc::<Mutex<Vec<String>>>::default());
        let keep = Arc::clone(&sent);
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let (mut socket, mut bytes, mut room) = (socket.unwrap(), Vec::new(), [0; 4096]);
                let body = loop {
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    match text.split_once("\r\n\r\n") {
                        Some((_, body)) if body.ends_with('.') => break body.to_owned(),
                        _ => {
                            let count = socket.read(&mut room).unwrap();
                            bytes.extend_from_slice(&room[..count]);
                        }
                    }
                };
                let status = if body.contains("bad") { "500 No" } else { "200 OK" };
                keep.lock().unwrap().push(body);
                write!(socket, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
            }
        });
        (url, sent)
    }

    fn letter(id: &str) -> Letter {
        Letter { id: id.to_owned(), kind: "text/plain".to_owned(), body: format!("{id}."), hold: None }
    }

    #[tokio::test]
    async fn an_event_that_is_answered_but_never_taken_is_put_aside_and_the_next_one_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let (url, sent) = sink();
        let unreachable = {
            let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
            format!("http://{}/", listener.local_addr().unwrap())
        };
        let quick = Duration::from_millis(1);
        let set = tokio::task::LocalSet::new();
        set.run_until(async {
            let urls = [url.clone(), unreachable.clone()];
            let sinks = Sinks::with(&urls, folder.path(), Patience { first: quick, longest: quick, most: 3 }).unwrap();
            sinks.tell(&[letter("bad"), letter("good")]);
            let told = async {
                while sent.lock().unwrap().last().map(String::as_str) != Some("good.") {
                    tokio::time::sleep(quick).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(20), told).await.expect("the second event is told");
            assert_eq!(*sent.lock().unwrap(), ["bad.", "bad.", "bad.", "good."]);
            let aside = sinks.outbox.aside(&url).unwrap();
            assert_eq!((aside.len(), &aside[0].0), (1, &letter("bad")));
            assert!(aside[0].1.contains("500") && aside[0].1.contains("3 times"), "{}", aside[0].1);
            assert_eq!(sinks.outbox.aside(&unreachable).unwrap(), [], "who is not there has refused nothing");
        })
        .await;
    }
}
