//! The engine's thread: one life after another, between which a process that succeeds this one may have the state.

use std::rc::Rc;
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;

use crate::delivery::engine::{Engine, Parts, TICK};
use crate::delivery::message::{Asked, Problem};
use crate::delivery::opened::Opened;
use crate::delivery::pulse::Pulse;
use crate::delivery::spot::Key;
use crate::delivery::token::Token;
use crate::delivery::wanted::Wanted;
use crate::domain::delivery::Event;
use crate::seam::clock::Clock;

/// Who is told how far the engine has come.
pub struct Told {
    /// Everything that was live is up again.
    pub up: Sender<()>,
    /// The state is let go of.
    pub released: Sender<()>,
}

impl Engine {
    /// Starts the engine on a thread of its own, which does what is wanted of it.
    ///
    /// # Errors
    ///
    /// Fails when what was kept cannot be read, or a file that the settings name.
    pub fn start(
        parts: Parts,
        (asked, pulse): (mpsc::Receiver<Asked>, Pulse),
        wanted: watch::Receiver<Wanted>,
        told: Told,
    ) -> Result<JoinHandle<()>, String> {
        let opened = Opened::open(&parts.state, &parts.settings.registries)?;
        let token = parts.settings.token_file.as_deref().map(Token::open).transpose()?;
        let run = move || {
            let _end = pulse.guard();
            match Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => lives(&runtime, (&parts, opened, token.map(Rc::new)), (asked, &pulse), wanted, &told),
                Err(error) => tracing::error!(%error, "the delivery cannot begin"),
            }
        };
        std::thread::Builder::new().name("delivery".to_owned()).spawn(run).map_err(|error| error.to_string())
    }

    /// Lives until it is to end or to let go, and says whether it was to let go.
    async fn live(
        mut self,
        (asked, checked): (&mut mpsc::Receiver<Asked>, mpsc::UnboundedReceiver<Asked>),
        happened: mpsc::UnboundedReceiver<(Key, Event)>,
        (wanted, told): (&mut watch::Receiver<Wanted>, &Told),
    ) -> bool {
        let mut early = wanted.clone();
        let parts = |wanted: &Wanted| matches!(wanted, Wanted::Release | Wanted::End);
        let is_up = tokio::select! {
            () = self.restore() => true,
            _ = early.wait_for(parts) => false,
        };
        if is_up {
            let _ = told.up.send(());
            let begins = wanted.wait_for(|wanted| *wanted != Wanted::Restore).await.map(|wanted| *wanted);
            if begins.is_ok_and(|begins| begins == Wanted::Deliver) {
                self.take_up();
            }
        }
        self.run((asked, checked), happened, wanted).await
    }

    /// Ends, or leaves everything as it is.
    pub(super) async fn part(&self, released: bool) {
        if released { self.yard.let_go().await } else { self.close().await }
    }
}

/// Lives, lets go, and lives again where the state comes back.
fn lives(
    runtime: &Runtime,
    (parts, opened, token): (&Parts, Opened, Option<Rc<Token>>),
    (mut asked, pulse): (mpsc::Receiver<Asked>, &Pulse),
    mut wanted: watch::Receiver<Wanted>,
    told: &Told,
) {
    let mut opened = Ok(opened);
    loop {
        let released = LocalSet::new().block_on(runtime, async {
            let ((events, happened), (again, checked)) = (mpsc::unbounded_channel(), mpsc::unbounded_channel());
            tokio::task::spawn_local(beat(pulse.clone(), parts.clock));
            let begun = opened.and_then(|opened| Engine::new(parts.clone(), opened, token.clone(), (events, again)));
            match begun {
                Ok(engine) => engine.live((&mut asked, checked), happened, (&mut wanted, told)).await,
                Err(why) => {
                    tracing::error!("the delivery cannot begin: {why}");
                    false
                }
            }
        });
        // Its tasks have ended with their set, and nothing has a file of the state open any more.
        if !released {
            return;
        }
        let _ = told.released.send(());
        if !runtime.block_on(is_taken_back(&mut asked, &mut wanted)) {
            return;
        }
        pulse.take_up(parts.clock.now());
        opened = Opened::open(&parts.state, &parts.settings.registries);
    }
}

/// Waits, without the state, until it comes back; says whether it does.
async fn is_taken_back(asked: &mut mpsc::Receiver<Asked>, wanted: &mut watch::Receiver<Wanted>) -> bool {
    loop {
        match *wanted.borrow_and_update() {
            Wanted::Restore | Wanted::Deliver => return true,
            Wanted::End => return false,
            Wanted::Freeze | Wanted::Release => {}
        }
        tokio::select! {
            changed = wanted.changed() => if changed.is_err() { return false },
            Some(Asked { answer, .. }) = asked.recv() => {
                let why = "a new process takes over from this one; try again in a moment".to_owned();
                drop(answer.send(Err(Problem::Conflict(why))));
            }
        }
    }
}

/// Shows that the thread comes round, for as long as it does.
async fn beat(pulse: Pulse, clock: Clock) {
    let mut tick = tokio::time::interval(TICK);
    loop {
        tick.tick().await;
        pulse.beat(clock.now());
    }
}
