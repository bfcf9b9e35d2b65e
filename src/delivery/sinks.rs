//! Tells other systems what happened, in keptn's events: each of them by a task of its own, one event after the other, again and again
//! until it is taken, also after a restart, and never in the way of a decision.

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tokio::sync::Notify;

use crate::delivery::http as client;
use crate::delivery::intake;
use crate::store::{Letter, Outbox};

/// The most events that wait for one sink; of more the oldest are dropped, and that is told.
const MOST: u64 = 10_000;
/// How long one attempt may take.
const WITHIN: Duration = Duration::from_secs(5);
/// The pause after the first failed attempt; it doubles up to [`LONGEST`].
const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(60);

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
}

impl Sinks {
    /// Begins with the sinks at these URLs, and with what they were not told before; to be called on the engine's thread.
    ///
    /// # Errors
    ///
    /// Says why the outbox cannot be opened.
    pub(super) fn new(urls: &[String], state: &Path) -> Result<Self, String> {
        let (outbox, warning) = Outbox::open(state, MOST).map_err(|error| error.to_string())?;
        warning.into_iter().for_each(|warning| tracing::error!("{warning}"));
        let outbox = Rc::new(outbox);
        let sinks = urls.iter().filter_map(|name| Some((name.clone(), name.parse().ok()?))).map(|(name, url)| {
            let sink = Rc::new(Sink { name, url, outbox: Rc::clone(&outbox), more: Notify::new() });
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
    /// Sends one event after the other, each until it is taken.
    async fn send(self: Rc<Self>) {
        let mut pause = FIRST;
        loop {
            let told = match self.outbox.first(&self.name) {
                Ok(None) => {
                    self.more.notified().await;
                    continue;
                }
                Ok(Some((number, letter))) => match self.post(&letter).await {
                    Ok(()) => self.outbox.taken(&self.name, number, &letter.id).map_err(|error| error.to_string()),
                    Err(why) => Err(why),
                },
                Err(error) => Err(error.to_string()),
            };
            match told {
                Ok(()) => pause = FIRST,
                Err(why) => {
                    tracing::debug!("{} did not take an event: {why}", self.name);
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST);
                }
            }
        }
    }

    async fn post(&self, letter: &Letter) -> Result<(), String> {
        let authority = self.url.authority().ok_or("no host")?;
        let (host, port) = (authority.host().to_owned(), authority.port_u16().unwrap_or(80));
        let address = intake::resolve(host.trim_start_matches('[').trim_end_matches(']').to_owned(), port).await?;
        let request = Request::post(self.url.path_and_query().map_or("/", |path| path.as_str()))
            .header(http::header::HOST, authority.as_str())
            .header(http::header::CONTENT_TYPE, letter.kind.as_str())
            .body(Full::new(Bytes::from(letter.body.clone())))
            .map_err(|error| error.to_string())?;
        let status = client::ask(address, request, WITHIN).await?.status();
        // What is refused for good is not sent again.
        let taken = status.is_success() || (status.is_client_error() && ![408, 425, 429].contains(&status.as_u16()));
        if taken { Ok(()) } else { Err(format!("it answered with {status}")) }
    }
}
