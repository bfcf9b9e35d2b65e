//! What a successor that fails leaves behind.
#![cfg(test)]

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;

use super::*;
use crate::control::command::{Command as Asked, CommandError, Order, Request};
use crate::control::controller::{Controller, Inputs};
use crate::control::setup::{Origin, ServiceSetup};
use crate::domain::gate::{Gate, Inconclusive, Policy};
use crate::domain::rollout::{Entry, Phase, Plan, Schedule};
use crate::domain::version::Version;
use crate::seam::clock::Clock;
use crate::seam::report;
use crate::seam::routes::Routes;
use crate::store::{Store, Stored};

fn version(name: &str) -> Version {
    Version::new(name.parse().unwrap(), vec![([127, 0, 0, 1], 9).into()])
}

fn setup(name: &str, canary: Option<Version>) -> ServiceSetup {
    ServiceSetup {
        origin: Origin::default(),
        name: name.parse().unwrap(),
        rules: Vec::new(),
        choice: None,
        stable: version("v1"),
        canary,
        schedule: Schedule::Steps(Plan::ramp("10%".parse().unwrap(), 3, Duration::from_secs(60)).unwrap()),
        gates: vec![Gate::written("p95 < 1s".parse().unwrap())],
        policy: Policy::default(),
        grader: None,
        mutual: crate::domain::upkeep::Rules::default(),
        way_back: crate::domain::way_back::WayBack::default(),
        webhooks: Arc::default(),
        webhook_failure: Inconclusive::Hold,
    }
}

type Answered = Result<Accepted, CommandError>;

fn start(service: &str) -> Asked {
    Asked::Start { service: service.parse().unwrap(), canary: Box::new(version("v2")), retry: false, actor: "ann".to_owned() }
}

/// Passes on what is asked of the controller. Before the first end of a rollout by the hand-over somebody asks for a start, and that has
/// been answered, or stands in line behind the end, before the end is passed on. Returns what was answered.
fn relay(asks: Commands, requests: Receiver<Request>) -> (Receiver<Request>, JoinHandle<Option<Answered>>) {
    let (forward, relayed) = channel();
    let ends = |request: &Request| matches!(&request.order, Order::Command(Asked::Abort { actor, .. }) if actor == restore::HAND_OVER);
    let relaying = std::thread::spawn(move || {
        let (mut asks, mut asked) = (Some(asks), None);
        while let Ok(request) = requests.recv() {
            let mut line = vec![request];
            if let Some(asks) = asks.take_if(|_| line.iter().any(ends)) {
                let asking = std::thread::spawn(move || asks.run(start("orders")));
                while !asking.is_finished() && line.len() < 2 {
                    line.extend(requests.recv_timeout(Duration::from_millis(5)));
                }
                asked = Some(asking);
            }
            line.into_iter().for_each(|request| forward.send(request).unwrap());
        }
        asked.map(|asking| asking.join().unwrap())
    });
    (relayed, relaying)
}

#[test]
fn a_successor_that_fails_with_the_state_leaves_word_of_the_rollouts_it_cost() {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<ServiceStore> = Arc::new(Store::open(&folder.path().join("state")).unwrap().store);
    let (clock, board) = (Clock::start(), Board::default());
    let (reports, inbox) = report::channel();
    let (commands, requests) = Commands::channel(reports.clone());
    let (requests, relaying) = relay(commands.clone(), requests);
    let inputs = Inputs { workers: 0, reports: inbox, requests, inquiries: channel().0, bequests: Vec::new() };
    let setups = vec![setup("carts", Some(version("v2"))), setup("orders", None)];
    let controller = Controller::start(setups, Arc::clone(&store), clock, Routes::default(), board.clone(), inputs);
    let controller = std::thread::spawn(move || controller.run());

    let (one, other) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
    let mut successor = Successor { child: Command::new("true").spawn().unwrap(), line: Line(one) };
    let asks = commands.clone();
    let played = std::thread::spawn(move || {
        let line = Line(other);
        line.receive().unwrap();
        line.say("configured", &[]).unwrap();
        assert_eq!(line.hear().unwrap().0, "state");
        // It ends with the state, and says nothing of it; meanwhile somebody asks the one before.
        asks.run(start("orders"))
    });
    let nothing = Sockets { listen: Vec::new(), admin: Vec::new() };
    let why = successor.take_over(&nothing, &store, (&commands, &board), None).unwrap_err();
    assert_eq!(why, "the successor could not go on; it has said why; the rollout of carts was ended before that: start it again");
    assert_eq!(played.join().unwrap(), Err(CommandError::Succeeded));

    successor.end();
    store.reclaim().unwrap();
    commands.close(false);
    let journal: Vec<(u64, Stored<Entry>)> = store.journal(10).unwrap();
    let last = journal.iter().rev().find_map(|(_, stored)| match stored {
        Stored::Known(entry) => Some((entry.service.to_string(), entry.actor.as_str(), entry.phase)),
        Stored::Unknown { .. } => None,
    });
    assert_eq!(last, Some(("carts".to_owned(), restore::HAND_OVER, Phase::Aborted)));
    assert!(matches!(commands.run(start("carts")), Ok(Accepted::Done(_))), "this process goes on");
    drop((reports, commands));
    controller.join().unwrap();
    let meanwhile = relaying.join().unwrap().expect("an end of a rollout came by");
    assert_eq!(meanwhile, Err(CommandError::Succeeded), "what begins while rollouts are ended would be interrupted without a word");
}
