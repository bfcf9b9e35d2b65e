//! Follows the journal and puts what is new into the outbox, on a thread of its own.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::{JoinSet, LocalSet};

use crate::control::controller::ServiceStore;
use crate::domain::rollout::Entry;
use crate::domain::version::Name;
use crate::notify::courier::{Courier, Pace, Receiver};
use crate::notify::message::{Change, is_trouble};
use crate::store::{Letter, Limits, Outbox, Sealed, Stored};

/// How often the journal is looked at.
const EVERY: Duration = Duration::from_millis(100);
/// The most messages that wait for one receiver; of more the oldest are dropped, and that is told.
const MOST: u64 = 1_000;
/// The most entries that are told at once; of more the newest.
const AT_ONCE: usize = 1_000;
/// How long what is in hand at the end may take.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// How long until the outbox is opened again where another process still has it.
const AGAIN: Duration = Duration::from_secs(1);

/// Tells everybody; ends when it is dropped.
pub struct Notifier {
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Notifier {
    /// Begins with what the journal has since it was told last, or with what comes from now on. `state` is the folder of the state.
    ///
    /// # Errors
    ///
    /// Fails when the folder or the thread cannot be made.
    pub fn start(store: Arc<ServiceStore>, state: &Path, receivers: Vec<Receiver>, link: String, pace: Pace) -> io::Result<Self> {
        let folder = state.join("notifications");
        fs::create_dir_all(&folder)?;
        let tail = Tail::begin(store, &folder, receivers.clone(), link);
        let (stop, stopped) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let run = move || {
            LocalSet::new().block_on(&runtime, follow(tail, &folder, receivers, pace, stopped));
        };
        let thread = std::thread::Builder::new().name("notifications".to_owned()).spawn(run)?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has ended too.
            let _ = thread.join();
        }
    }
}

async fn follow(mut tail: Tail, folder: &Path, receivers: Vec<Receiver>, pace: Pace, mut stopped: watch::Receiver<bool>) {
    let outbox = loop {
        if *stopped.borrow() {
            return;
        }
        match Outbox::open(folder, MOST) {
            Ok((outbox, warning)) => {
                warning.into_iter().for_each(|warning| tracing::error!("{warning}"));
                break Rc::new(outbox);
            }
            Err(error) => {
                tracing::warn!("notifications wait: {error}");
                tokio::select! {
                    () = tokio::time::sleep(AGAIN) => {}
                    _ = stopped.changed() => {}
                }
            }
        }
    };
    let mut couriers = JoinSet::new();
    let bells: Vec<Rc<Notify>> = receivers
        .into_iter()
        .map(|receiver| {
            let more = Rc::new(Notify::new());
            let courier = Courier { receiver, outbox: Rc::clone(&outbox), more: Rc::clone(&more), pace, stopped: stopped.clone() };
            couriers.spawn_local(courier.run());
            more
        })
        .collect();
    while !*stopped.borrow() {
        if tail.catch_up(&outbox) {
            bells.iter().for_each(|bell| bell.notify_one());
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            _ = stopped.changed() => {}
        }
    }
    let in_hand = async { while couriers.join_next().await.is_some() {} };
    // Whoever does not answer in time is told again after the next start.
    let _ = tokio::time::timeout(LAST_WORDS, in_hand).await;
}

/// What was told of the journal.
struct Tail {
    store: Arc<ServiceStore>,
    receivers: Vec<Receiver>,
    link: String,
    /// The file that says up to which entry everything was put into the outbox: its number and its sum, which says of which journal.
    file: PathBuf,
    told: u64,
    /// Of each service with trouble, since when.
    trouble: BTreeMap<Name, String>,
}

impl Tail {
    fn begin(store: Arc<ServiceStore>, folder: &Path, receivers: Vec<Receiver>, link: String) -> Self {
        let file = folder.join("told");
        let told = told_before(&store, &file);
        let mut tail = Self { store, receivers, link, file, told, trouble: BTreeMap::new() };
        for entry in tail.entries(0).into_iter().filter(|(number, _)| *number <= told).filter_map(|(_, entry)| entry.known()) {
            tail.note(&entry);
        }
        // Else a start that is killed before the first change would begin anew with what came meanwhile.
        tail.remember();
        tail
    }

    /// Returns the newest entries after this one, oldest first.
    fn entries(&self, after: u64) -> Vec<(u64, Stored<Entry>)> {
        let limits = Limits { entries: AT_ONCE, after, ..Limits::NONE };
        match self.store.excerpt(limits, |_| true) {
            Ok(excerpt) => excerpt.entries,
            Err(error) => {
                tracing::debug!("the journal cannot be read: {error}");
                Vec::new()
            }
        }
    }

    /// Puts what is new into the outbox; says whether something was.
    fn catch_up(&mut self, outbox: &Outbox) -> bool {
        // One look: what comes between two would be passed over.
        let new = self.entries(self.told);
        if new.is_empty() {
            return false;
        }
        for (number, stored) in new {
            let entry = match stored {
                Stored::Known(entry) => entry,
                Stored::Unknown { reason } => {
                    tracing::warn!("entry {number} of the journal is not told: {reason}");
                    self.told = number;
                    continue;
                }
            };
            let trouble = self.trouble.get(&entry.service).map(String::as_str);
            let change = Change { entry: &entry, trouble, link: &self.link };
            for receiver in &self.receivers {
                let Some(letter) = change.letter(receiver.kind) else { continue };
                if !put(outbox, &receiver.name, letter) {
                    return true;
                }
            }
            self.note(&entry);
            self.told = number;
        }
        self.remember();
        true
    }

    /// Notes where the service stands now.
    fn note(&mut self, entry: &Entry) {
        if !is_trouble(entry.phase) {
            self.trouble.remove(&entry.service);
        } else if let Some(at) = &entry.at {
            self.trouble.entry(entry.service.clone()).or_insert_with(|| at.clone());
        }
    }

    /// What is put in once more after a kill stands in the outbox already.
    fn remember(&self) {
        let aside = self.file.with_extension("new");
        let sum = self.store.sealed(self.told).ok().flatten();
        let told = sum.map_or_else(|| self.told.to_string(), |sealed| sealed.text());
        let written = fs::write(&aside, told).and_then(|()| fs::rename(&aside, &self.file));
        if let Err(error) = written {
            tracing::debug!("{} cannot be written: {error}", self.file.display());
        }
    }
}

/// Returns up to which entry everything was told before: the newest where nothing was told of this journal, or of another one that
/// stood in its place.
fn told_before(store: &ServiceStore, file: &Path) -> u64 {
    let newest = store.journal(1).ok().map(|last| last.last().map_or(0, |(number, _)| *number));
    let Some((number, sum)) = fs::read_to_string(file).ok().and_then(|text| noted(text.trim())) else { return newest.unwrap_or(0) };
    // While the disk fails nothing else is known.
    let Some(newest) = newest else { return number };
    let there = store.sealed(number).ok().flatten();
    let is_other = number > newest || sum.zip(there).is_some_and(|(sum, there)| there.sha256 != sum);
    if !is_other {
        return number;
    }
    tracing::warn!(
        "the journal is not the one whose entries were told up to number {number} ({}); what comes after its entry {newest} is told",
        file.display()
    );
    newest
}

/// Reads what was noted: a number, and the entry's sum; releases before noted no sum.
fn noted(text: &str) -> Option<(u64, Option<String>)> {
    let sealed = Sealed::parse(text).map(|sealed| (sealed.sequence, Some(sealed.sha256)));
    sealed.or_else(|| Some((text.parse().ok()?, None)))
}

/// Puts a message into a queue; says whether the disk let it.
fn put(outbox: &Outbox, receiver: &str, letter: Letter) -> bool {
    match outbox.put(&[receiver], &[letter]) {
        Ok(dropped) => {
            if dropped > 0 {
                tracing::warn!(receiver, "{dropped} notifications were dropped, the oldest of more than {MOST} that it has not taken");
            }
            true
        }
        Err(error) => {
            tracing::warn!("a notification waits: {error}");
            false
        }
    }
}

#[cfg(test)]
#[path = "notifier_tests.rs"]
mod tests;
