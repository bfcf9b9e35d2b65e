//! The orders that wait for the controller: what takes a share away goes first, and no start that was asked for before slips in after.

use std::collections::VecDeque;

use crate::control::command::{Command, CommandError, Order, Request};
use crate::domain::gate::Verdict;
use crate::domain::version::Name;

/// Orders that wait to be carried out, each with the way back for its answer.
#[derive(Default)]
pub(super) struct Queue(VecDeque<Request>);

impl Queue {
    /// Says whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes in an order. Whoever aborts the rollout of a service means also one that is about to begin: it is refused.
    pub(super) fn add(&mut self, request: Request) {
        if let Some(Command::Abort { service, actor, .. } | Command::Recede { service, actor, .. }) = command(&request.order) {
            self.0.retain(|waiting| {
                let stays = !starts(&waiting.order, service);
                if !stays {
                    let why = format!("{actor} aborted the rollout of {service} meanwhile; look at it again and decide anew");
                    // Whoever no longer waits has lost the answer, not the start: there is none.
                    let _ = waiting.answer.try_send(Err(CommandError::Conflict(why)));
                }
                stays
            });
        }
        self.0.push_back(request);
    }

    /// Returns what is to be carried out next: the oldest order that takes a share away, else the oldest. A new configuration is not
    /// overtaken, because it may begin what is to be aborted.
    pub(super) fn next(&mut self) -> Option<Request> {
        let lowers = |request: &Request| command(&request.order).is_some_and(lowers);
        let anew = |request: &&Request| matches!(request.order, Order::Reconfigure { .. });
        self.0.remove(self.0.iter().take_while(|request| !anew(request)).position(lowers).unwrap_or(0))
    }
}

/// Returns an operator's command.
const fn command(order: &Order) -> Option<&Command> {
    match order {
        Order::Command(command) | Order::Conditional(command, _) => Some(command),
        Order::Consulted { .. } | Order::Reconfigure { .. } => None,
    }
}

/// Says whether a command takes a share away, or leaves everything as it is.
const fn lowers(command: &Command) -> bool {
    match command {
        Command::Abort { .. } | Command::Recede { .. } | Command::Deny { .. } => true,
        Command::Rule { verdict, .. } => matches!(verdict, Verdict::Fail | Verdict::Inconclusive),
        _ => false,
    }
}

/// Says whether an order begins a rollout of this service.
fn starts(order: &Order, of: &Name) -> bool {
    matches!(command(order), Some(Command::Start { service, .. } | Command::Retry { service, .. }) if service == of)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, sync_channel};

    use super::*;
    use crate::control::command::Accepted;
    use crate::control::setup::Origin;
    use crate::domain::version::Version;

    type Reply = Receiver<Result<Accepted, CommandError>>;

    fn said() -> (String, String) {
        ("ann".to_owned(), "so it is".to_owned())
    }

    fn start(service: &str) -> Command {
        let canary = Box::new(Version::new("v2".parse().unwrap(), vec![([127, 0, 0, 1], 80).into()]));
        Command::Start { service: service.parse().unwrap(), canary, retry: false, actor: "ann".to_owned() }
    }

    fn promote(service: &str) -> Command {
        let (actor, reason) = said();
        Command::Promote { service: service.parse().unwrap(), actor, reason }
    }

    fn abort(service: &str) -> Command {
        let (actor, reason) = said();
        Command::Abort { service: service.parse().unwrap(), actor, reason }
    }

    fn deny(service: &str) -> Command {
        let (actor, reason) = said();
        Command::Deny { service: service.parse().unwrap(), actor, reason }
    }

    /// Fills a queue, and returns it with what each of those who ask would hear.
    fn queue(orders: Vec<Order>) -> (Queue, Vec<Reply>) {
        let mut queue = Queue::default();
        let replies = orders.into_iter().map(|order| {
            let (answer, reply) = sync_channel(1);
            queue.add(Request { order, answer });
            reply
        });
        let replies = replies.collect();
        (queue, replies)
    }

    /// Empties a queue and says what came out, in this order.
    fn order(mut queue: Queue) -> Vec<String> {
        let words = std::iter::from_fn(|| queue.next()).map(|request| match request.order {
            Order::Command(command) | Order::Conditional(command, _) => {
                let what = format!("{command:?}");
                format!("{} {}", what.split(' ').next().unwrap_or_default().to_lowercase(), command.service())
            }
            Order::Consulted { service, .. } => format!("consulted {service}"),
            Order::Reconfigure { .. } => "reconfigure".to_owned(),
        });
        words.collect()
    }

    #[test]
    fn what_takes_a_share_away_goes_before_everything_else() {
        let tags = vec!["3.7".to_owned()];
        let (queue, replies) = queue(vec![
            Order::Command(promote("a")),
            Order::Command(start("b")),
            Order::Command(deny("c")),
            Order::Command(promote("d")),
            Order::Conditional(abort("e"), tags),
            Order::Command(abort("a")),
        ]);
        assert_eq!(order(queue), ["deny c", "abort e", "abort a", "promote a", "start b", "promote d"]);
        assert!(replies.iter().all(|reply| reply.try_recv().is_err()), "nobody is answered before");
    }

    #[test]
    fn a_new_configuration_is_carried_out_before_what_takes_away_what_it_begins() {
        let anew = Order::Reconfigure { origin: Origin::default(), services: Vec::new(), actor: "reload".to_owned() };
        let orders = vec![Order::Command(promote("b")), anew, Order::Command(start("b")), Order::Command(abort("a"))];
        assert_eq!(order(queue(orders).0), ["promote b", "reconfigure", "abort a", "start b"]);
    }

    #[test]
    fn a_start_that_stood_before_an_abort_of_its_service_is_refused_and_one_after_it_is_not() {
        let retry = Command::Retry { service: "a".parse().unwrap(), actor: "ann".to_owned() };
        let (queue, replies) = queue(vec![
            Order::Command(start("a")),
            Order::Conditional(retry, Vec::new()),
            Order::Command(start("b")),
            Order::Command(abort("a")),
            Order::Command(start("a")),
        ]);
        assert_eq!(order(queue), ["abort a", "start b", "start a"]);
        for refused in &replies[..2] {
            assert!(matches!(refused.try_recv(), Ok(Err(CommandError::Conflict(why))) if why.contains("aborted")));
        }
        assert!(replies[2..].iter().all(|reply| reply.try_recv().is_err()));
    }
}
