//! Brings one receiver its messages, one after the other, each until it is taken or refused for good.

use std::rc::Rc;
use std::time::Duration;

use http::StatusCode;
use tokio::sync::{Notify, watch};

use crate::config::NotificationKind;
use crate::sources::mailbox::Mailbox;
use crate::store::{Letter, Outbox};

/// Who is told.
#[derive(Clone, Debug)]
pub struct Receiver {
    /// What it is called, which is also the name of its queue.
    pub name: String,
    /// How it wants to be told.
    pub kind: NotificationKind,
    /// Where it takes messages.
    pub mailbox: Mailbox,
}

/// How patient a courier is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// How long one attempt may take.
    pub within: Duration,
    /// The pause after the first failed attempt; it doubles up to `longest`.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { within: Duration::from_secs(5), first: Duration::from_millis(200), longest: Duration::from_secs(60) }
    }
}

/// Brings one receiver its messages.
pub(super) struct Courier {
    pub(super) receiver: Receiver,
    pub(super) outbox: Rc<Outbox>,
    pub(super) more: Rc<Notify>,
    pub(super) pace: Pace,
    /// Whether it is to end after what it has in hand.
    pub(super) stopped: watch::Receiver<bool>,
}

impl Courier {
    /// Goes on until it is stopped; what it has in hand then is brought to its end, so that nothing is told again that was taken.
    pub(super) async fn run(self) {
        let (name, mut pause) = (&self.receiver.name, self.pace.first);
        let mut stopped = self.stopped.clone();
        while !*stopped.borrow() {
            let told = match self.outbox.first(name) {
                Ok(None) => {
                    tokio::select! {
                        () = self.more.notified() => {}
                        _ = stopped.changed() => {}
                    }
                    continue;
                }
                Ok(Some((number, letter))) => match self.bring(&letter).await {
                    Ok(()) => self.outbox.taken(name, number, &letter.id).map_err(|error| error.to_string()),
                    Err(why) => Err(why),
                },
                Err(error) => Err(error.to_string()),
            };
            match told {
                Ok(()) => pause = self.pace.first,
                Err(why) => {
                    tracing::debug!(receiver = %name, "a notification waits: {why}");
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        _ = stopped.changed() => {}
                    }
                    pause = (pause * 2).min(self.pace.longest);
                }
            }
        }
    }

    /// Says that it is done also where the receiver will never take it, so that it stands in nobody's way.
    async fn bring(&self, letter: &Letter) -> Result<(), String> {
        let Receiver { name, mailbox, .. } = &self.receiver;
        let status = mailbox.post(&letter.kind, letter.body.clone(), self.pace.within).await?;
        if status.is_success() {
            return Ok(());
        }
        let passing = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS];
        if status.is_server_error() || passing.contains(&status) {
            return Err(format!("it answered with {status}"));
        }
        tracing::warn!(receiver = %name, at = %mailbox, "a notification was refused with {status} and is not sent again");
        Ok(())
    }
}
