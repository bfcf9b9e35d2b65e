//! Hot restart: a new process of the same program takes over the listening sockets and the state, and no connection is refused.
//!
//! The running process starts its successor with one end of a socket as standard input, and sends it copies of its listening
//! sockets. The successor reads the configuration and says `configured`; the running process lets go of the state folder and says
//! `state`; the successor starts and says `serving`; only then does the running process drain. It stops answering operators first,
//! and says `alone`. Whatever goes wrong before that, the
//! successor is ended and the running process goes on, with everything but the rollouts it had to end. In between the running process
//! serves by the table it has, raises nothing, and gives the canary nothing more once a trip says so.
//!
//! A rollout ends with the process that judges it, and whoever started it starts it again: it is ended while that can be written, just
//! before the state goes to a successor that has read its configuration. Should that fail after all, the message that this process goes
//! on names the rollouts that were ended for nothing. No order is taken any more when they are ended, so that none begins in between. Artifacts that are being delivered go on: the
//! delivery lets go of its state first and leaves everything that is live as it is. The successor takes that over, shows it before it
//! accepts a connection, and once it is alone goes on with what was on trial as after a restart: a deployment, a test or the rollout
//! of a stage begins again. Where a stable version is kept from holding more than it can take, the successor is told the bound with the
//! state and goes on with it.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags,
    SocketType, recvmsg, sendmsg, socketpair,
};
use rustix::process::{Pid, Signal, kill_process};

use crate::app::delivery::{Grip, UP_WITHIN};
use crate::app::listeners::{Heirloom, Inherited, Sockets};
use crate::control::bequest::Bequest;
use crate::control::command::{Accepted, Commands};
use crate::control::controller::ServiceStore;
use crate::control::restore;
use crate::control::status::{Board, ServiceStatus, Snapshot};
use crate::domain::address::Address;
use crate::domain::rollout::Phase;
use crate::domain::version::Name;
use crate::proxy::listening::Bound;

/// Says to a process that its standard input is its predecessor.
const SUCCESSION: &str = "PORTCULLIS_SUCCESSION";
/// How long each side waits for a word of the other.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the successor may take to serve: it waits for what is live to be up, and a little more.
const SERVES_WITHIN: Duration = UP_WITHIN.saturating_add(PATIENCE);
/// Stands before the address of a Unix socket whose file is the successor's to remove.
const WITH_FILE: &str = "file ";
/// How many sockets go with one message; the kernel takes 253.
const MOST: usize = 128;

/// Says whether this process takes over from one that runs.
#[must_use]
pub fn is_successor() -> bool {
    std::env::var_os(SUCCESSION).is_some()
}

/// What a successor is started from.
#[derive(Clone, Debug)]
pub(super) struct Program {
    path: PathBuf,
    arguments: Vec<std::ffi::OsString>,
}

impl Program {
    /// Returns this program, by the path it was started from: what lies there then is what is started.
    pub(super) fn this() -> io::Result<Self> {
        Ok(Self { path: std::env::current_exe()?, arguments: std::env::args_os().skip(1).collect() })
    }
}

/// Starts a successor and gives it everything. Once this has returned well, the successor serves and owns the state.
///
/// # Errors
///
/// Returns why there is no successor; then this process has the state again.
pub(super) fn hand_over(
    program: &Program,
    sockets: &Sockets,
    store: &ServiceStore,
    (commands, board): (&Commands, &Board),
    grip: Option<&Grip>,
) -> Result<Successor, String> {
    let (own, other) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).map_err(|error| error.to_string())?;
    let mut command = Command::new(&program.path);
    command.args(&program.arguments).env(SUCCESSION, "1").stdin(Stdio::from(other));
    // What the supervisor meant for this process alone: its sockets, and by whom it awaits the watchdog (sd_watchdog_enabled(3)).
    command.env_remove("LISTEN_FDS").env_remove("LISTEN_PID").env_remove("WATCHDOG_PID");
    let child = command.spawn().map_err(|error| format!("{} cannot be started: {error}", program.path.display()))?;
    // The command holds the other end too, and would hide that the successor has ended.
    drop(command);
    let mut successor = Successor { child, line: Line(own) };
    if let Err(why) = successor.take_over(sockets, store, (commands, board), grip) {
        successor.end();
        if let Err(error) = store.reclaim() {
            tracing::error!("{error}");
        }
        commands.close(false);
        if let Some(grip) = grip {
            grip.take_back();
        }
        return Err(why);
    }
    Ok(successor)
}

/// Ends every rollout while it can be written down: the process that judges one is the only one that knows its evidence. That of a
/// stage begins again with the successor; the services of the others are returned.
fn end_rollouts(commands: &Commands, board: &Board, grip: Option<&Grip>) -> Vec<Name> {
    let mut ended = Vec::new();
    for service in &board.snapshot().services {
        let begins_again = grip.is_some_and(|grip| grip.is_stage(&service.name));
        // Somebody or a clock has ended it, and nobody is to start it again.
        let is_over = service.rollout.as_ref().is_some_and(|rollout| rollout.phase == Phase::Receding);
        let (name, actor) = (service.name.clone(), restore::HAND_OVER.to_owned());
        let reason = match (begins_again, is_over) {
            (true, _) => restore::BEGINS_AGAIN,
            (false, true) => "a new process takes over",
            (false, false) => "a new process takes over; start the rollout again there",
        };
        match commands.end(name.clone(), actor, reason.to_owned()) {
            Ok(Accepted::Done(_)) if !begins_again && !is_over => ended.push(name),
            Ok(_) => {}
            Err(error) => tracing::warn!(service = %name, %error, "a rollout could not be ended before the hand-over"),
        }
    }
    ended
}

/// Returns the bounds on stable versions that are in force.
fn bequests(snapshot: &Snapshot) -> Vec<Bequest> {
    let bound = |service: &Arc<ServiceStatus>| {
        let way_back = service.way_back.as_ref()?;
        let left = Duration::try_from_secs_f64(way_back.left_seconds?).ok()?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
        let asked = way_back.forecast.asked.round() as u32;
        Some(Bequest { service: service.name.clone(), version: service.owner.name.clone(), most: way_back.most_in_flight?, left, asked })
    };
    snapshot.services.iter().filter_map(bound).collect()
}

/// Says which rollouts were ended although nobody took over.
fn ended_for_nothing(services: &[Name]) -> String {
    let names: Vec<&str> = services.iter().map(Name::as_str).collect();
    match &names[..] {
        [] => String::new(),
        [name] => format!("; the rollout of {name} was ended before that: start it again"),
        _ => format!("; the rollouts of {} were ended before that: start them again", names.join(", ")),
    }
}

/// The process that succeeds this one.
#[derive(Debug)]
pub(super) struct Successor {
    child: Child,
    line: Line,
}

impl Successor {
    fn take_over(
        &mut self,
        sockets: &Sockets,
        store: &ServiceStore,
        (commands, board): (&Commands, &Board),
        grip: Option<&Grip>,
    ) -> Result<(), String> {
        self.line.give(sockets).map_err(|error| format!("the sockets could not be handed over: {error}"))?;
        self.expect("configured", "did not start; it has said why", PATIENCE)?;
        if let Some(grip) = grip {
            // Before rollouts are ended, which would be failures to it.
            grip.let_go()?;
        }
        // First, or what begins in between would be interrupted without a word.
        commands.close(true);
        let ended = end_rollouts(commands, board, grip);
        store.release();
        // Ending a rollout has brought everything back, perhaps to a version that is too small for it.
        let bequests = bequests(&board.snapshot());
        let told = bequests.iter().try_for_each(|bequest| self.line.say(&bequest.to_string(), &[]));
        let told = told.and_then(|()| self.line.say("state", &[])).map_err(|error| error.to_string());
        let served = told.and_then(|()| self.expect("serving", "could not go on; it has said why", SERVES_WITHIN));
        served.map_err(|why| why + &ended_for_nothing(&ended))
    }

    fn expect(&mut self, word: &str, otherwise: &str, patience: Duration) -> Result<(), String> {
        match self.line.hear_within(patience) {
            Ok((said, _)) if said == word => Ok(()),
            Ok((said, _)) if said.is_empty() => Err(format!("the successor {otherwise}")),
            Ok((said, _)) => Err(format!("the successor said {said:?} instead of {word:?}")),
            Err(error) => Err(format!("the successor did not say {word:?} in time: {error}")),
        }
    }

    /// Says that from now on nobody but the successor answers operators.
    pub(super) fn is_alone(&self) {
        if let Err(error) = self.line.say("alone", &[]) {
            tracing::warn!(%error, "the successor could not be told that it is alone");
        }
    }

    /// Lets it end as this process is to end, after the requests it has.
    pub(super) fn stop(&self) {
        if let Err(error) = kill_process(Pid::from_child(&self.child), Signal::TERM) {
            tracing::warn!(%error, "the successor could not be told to stop");
        }
    }

    /// Ends it, however far it came.
    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The process before this one, which waits for it to serve.
pub(super) struct Predecessor {
    line: Line,
}

impl Predecessor {
    /// Returns the process that has started this one to succeed it, with the sockets it hands over; `None` where there is none.
    ///
    /// # Errors
    ///
    /// Fails when it is gone or says something else.
    pub(super) fn meet() -> io::Result<Option<(Self, Inherited)>> {
        if !is_successor() {
            return Ok(None);
        }
        let line = Line(io::stdin().as_fd().try_clone_to_owned()?);
        let inherited = line.receive()?;
        Ok(Some((Self { line }, inherited)))
    }

    /// Says that the configuration is good, and returns when the state is free, with what the other one has left.
    ///
    /// # Errors
    ///
    /// Fails when the predecessor has changed its mind.
    pub(super) fn await_state(&self) -> io::Result<Vec<Bequest>> {
        self.line.say("configured", &[])?;
        let mut bequests = Vec::new();
        loop {
            match self.line.hear()? {
                (word, _) if word == "state" => return Ok(bequests),
                (word, _) if word.is_empty() => return Err(io::Error::other("the process to succeed has called it off")),
                (word, _) => bequests.push(word.parse().map_err(io::Error::other)?),
            }
        }
    }

    /// Says that this process serves, and returns when the other one answers operators no more.
    pub(super) fn serving(&self) {
        let told = self.line.say("serving", &[]).and_then(|()| self.line.hear());
        if let Err(error) = told {
            tracing::warn!(%error, "the process before this one did not confirm that it is succeeded");
        }
    }
}

/// One end of the socket between the two.
#[derive(Debug)]
struct Line(OwnedFd);

impl Line {
    fn say(&self, word: &str, sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !sockets.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(sockets)) {
            return Err(io::Error::other("too many sockets at once"));
        }
        sendmsg(&self.0, &[IoSlice::new(word.as_bytes())], &mut ancillary, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Returns the next word; nothing when the other side has ended.
    fn hear(&self) -> io::Result<(String, Vec<OwnedFd>)> {
        self.hear_within(PATIENCE)
    }

    fn hear_within(&self, patience: Duration) -> io::Result<(String, Vec<OwnedFd>)> {
        set_socket_timeout(&self.0, Timeout::Recv, Some(patience))?;
        let mut text = [0; 256];
        let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(&self.0, &mut [IoSliceMut::new(&mut text)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
        let sockets = ancillary.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(sockets) => Some(sockets),
            _ => None,
        });
        let sockets = sockets.flatten().collect();
        let word = text.get(..received.bytes).unwrap_or_default();
        Ok((String::from_utf8_lossy(word).into_owned(), sockets))
    }

    /// Sends all listening sockets.
    fn give(&self, sockets: &Sockets) -> io::Result<()> {
        for group in sockets.listen.iter().chain(&sockets.admin) {
            let word = format!("{}{}", if group.file.is_some() { WITH_FILE } else { "" }, group.asked);
            for some in group.sockets.chunks(MOST) {
                self.say(&word, &some.iter().map(AsFd::as_fd).collect::<Vec<_>>())?;
            }
        }
        self.say("all", &[])
    }

    /// Receives what [`Line::give`] sends.
    fn receive(&self) -> io::Result<Inherited> {
        let (mut inherited, begun) = (Inherited::default(), Instant::now());
        while begun.elapsed() < PATIENCE {
            let (word, sockets) = self.hear()?;
            if word == "all" {
                return Ok(inherited);
            }
            let (with_file, address) = word.strip_prefix(WITH_FILE).map_or((false, &*word), |address| (true, address));
            let asked: Address =
                address.parse().map_err(|_| io::Error::other(format!("standard input is no process to succeed: {word:?}")))?;
            for socket in sockets {
                let socket = Bound::of(&asked, socket);
                inherited.sockets.push(Heirloom { asked: asked.clone(), socket, with_file });
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;
    use crate::app::listeners::Group;
    use crate::app::socket_file::SocketFile;

    #[test]
    fn sockets_arrive_as_they_were_sent_and_accept() {
        let (one, other) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        let bind = || TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.sock");
        let (asked, at_path) = (Address::Ip(([127, 0, 0, 1], 0).into()), Address::Socket(path.clone()));
        let unix = Bound::Unix(UnixListener::bind(&path).unwrap());
        let sent = Sockets {
            listen: vec![
                Group { asked: asked.clone(), sockets: vec![Bound::Tcp(bind()), Bound::Tcp(bind())], file: None },
                Group { asked: at_path.clone(), sockets: vec![unix], file: SocketFile::at(&path) },
            ],
            admin: vec![Group { asked: Address::Ip(([127, 0, 0, 2], 9).into()), sockets: vec![Bound::Tcp(bind())], file: None }],
        };
        let address = sent.addresses()[0].ip().unwrap();
        Line(one).give(&sent).unwrap();
        drop(sent);
        let received = Line(other).receive().unwrap();
        let names: Vec<(Address, bool)> = received.sockets.iter().map(|one| (one.asked.clone(), one.with_file)).collect();
        let admin = Address::Ip(([127, 0, 0, 2], 9).into());
        assert_eq!(names, [(asked.clone(), false), (asked, false), (at_path, true), (admin, false)]);
        let client = std::net::TcpStream::connect(address).expect("the socket is open, although its first owner has closed it");
        let Bound::Tcp(socket) = &received.sockets[0].socket else { panic!("it is TCP") };
        assert_eq!(socket.accept().unwrap().1, client.local_addr().unwrap());
        let _client = UnixStream::connect(&path).expect("this one is open, too");
        let Bound::Unix(socket) = &received.sockets[2].socket else { panic!("it is a Unix socket") };
        assert!(socket.accept().is_ok());
    }

    #[test]
    fn the_end_of_the_other_side_is_heard() {
        let (one, other) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        drop(one);
        assert_eq!(Line(other).hear().unwrap().0, "");
    }
}

#[cfg(test)]
#[path = "handover_tests.rs"]
mod failure;
