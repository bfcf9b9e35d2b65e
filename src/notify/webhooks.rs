//! Asks the webhooks of a rollout and brings the answer: 2xx from every one of them, in their order, lets it go on.
//!
//! Each question is asked on a thread of its own, for as long as its webhooks may take; no decision waits here.

use std::io;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::json;

use crate::control::command::Commands;
use crate::control::inquiry::Inquiry;
use crate::domain::rollout::Phase;
use crate::domain::webhook::{Occasion, Webhook};
use crate::sources::mailbox::Mailbox;

/// The way back to the controller, which ends only when nobody can reach it any more: it is shut before that is waited for.
#[derive(Clone)]
pub struct Webhooks {
    /// Guards the way back; shut once, at the end. Never held across I/O.
    commands: Arc<Mutex<Option<Commands>>>,
}

impl Webhooks {
    /// Asks until nobody has questions any more.
    ///
    /// # Errors
    ///
    /// Fails when the thread cannot be made.
    pub fn start(inquiries: Receiver<Inquiry>, commands: Commands) -> io::Result<Self> {
        let webhooks = Self { commands: Arc::new(Mutex::new(Some(commands))) };
        let asking = webhooks.clone();
        std::thread::Builder::new().name("webhooks".to_owned()).spawn(move || asking.run(inquiries))?;
        Ok(webhooks)
    }

    /// Brings no answer any more.
    pub fn end(&self) {
        self.way_back().take();
    }

    fn way_back(&self) -> MutexGuard<'_, Option<Commands>> {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, inquiries: Receiver<Inquiry>) {
        for inquiry in inquiries {
            let webhooks = self.clone();
            let asked = std::thread::Builder::new().name("webhook".to_owned()).spawn(move || webhooks.ask(&inquiry));
            if let Err(error) = asked {
                // Nobody answers, which counts as a refusal in time.
                tracing::error!("a webhook cannot be asked: {error}");
            }
        }
    }

    /// Asks all webhooks of an occasion and passes the answer on.
    fn ask(&self, inquiry: &Inquiry) {
        let refusal = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(consult(inquiry)).err(),
            Err(error) => Some(error.to_string()),
        };
        match (inquiry.occasion, refusal) {
            (Occasion::End, Some(why)) => tracing::warn!(service = %inquiry.service, "a webhook was not told of the end: {why}"),
            (Occasion::End, None) => {}
            (_, refusal) => {
                if let Some(commands) = &*self.way_back() {
                    commands.consulted(inquiry.service.clone(), inquiry.record.id, inquiry.number, refusal);
                }
            }
        }
    }
}

/// Asks one after the other; the first that does not let it go on has the last word, unless the rollout is over.
async fn consult(inquiry: &Inquiry) -> Result<(), String> {
    let mut outcome = Ok(());
    for webhook in inquiry.webhooks.iter().filter(|webhook| webhook.occasion == inquiry.occasion) {
        let answer = insist(webhook, &payload(inquiry, webhook)).await.map_err(|why| format!("{}: {why}", webhook.name));
        if inquiry.occasion != Occasion::End {
            answer?;
        } else if answer.is_err() {
            outcome = answer;
        }
    }
    outcome
}

/// Asks one of them, again and again where it does not answer with 2xx, as often as it may be.
async fn insist(webhook: &Webhook, body: &str) -> Result<(), String> {
    let mailbox = Mailbox::new(&webhook.url, None).map_err(|error| error.to_string())?;
    let mut why = String::new();
    for attempt in 0..=webhook.retries {
        let pause = Webhook::pause(attempt);
        if pause > Duration::ZERO {
            tokio::time::sleep(pause).await;
        }
        match mailbox.post("application/json", body.to_owned(), webhook.timeout).await {
            Ok(status) if status.is_success() => return Ok(()),
            Ok(status) => why = format!("{mailbox} answered with {status}"),
            Err(error) => why = format!("{mailbox}: {error}"),
        }
    }
    Err(why)
}

/// Writes what a webhook is told, in the form of Flagger's.
fn payload(inquiry: &Inquiry, webhook: &Webhook) -> String {
    let record = &inquiry.record;
    let phase = match (inquiry.occasion, record.phase) {
        (Occasion::Start, _) => "Waiting",
        (Occasion::Raise, _) => "WaitingTrafficIncrease",
        (Occasion::Promotion, _) => "WaitingPromotion",
        (Occasion::End, Phase::Promoted) => "Succeeded",
        (Occasion::End, _) => "Failed",
    };
    let text = format!("{} {} {} {}", inquiry.service, record.id, record.stable.name, record.canary.name);
    json!({
        "name": inquiry.service, "namespace": "default", "phase": phase,
        "checksum": format!("{:016x}", checksum(text.as_bytes())), "metadata": webhook.metadata,
    })
    .to_string()
}

/// FNV-1a of 64 bits (Fowler, Noll and Vo): the same for every question of one rollout.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_published_one() {
        assert_eq!((checksum(b""), checksum(b"foobar")), (0xcbf2_9ce4_8422_2325, 0x8594_4171_f739_67e8));
    }
}
