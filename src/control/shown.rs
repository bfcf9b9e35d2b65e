//! Which services are shown anew when: those where something was decided at once, the figures of the others in turn.

use std::sync::Arc;

use crate::control::endpoints;
use crate::control::service::Service;
use crate::control::status::ServiceStatus;
use crate::domain::time::Timestamp;
use crate::seam::endpoints::Endpoints;

/// So many services are shown anew in every tick; what is shown of one takes about 10 µs.
const LEAST: usize = 10;

/// All have had their turn after so many ticks.
const TURNS: usize = 5;

/// Whose turn it is.
#[derive(Default)]
struct Turns {
    next: usize,
}

impl Turns {
    /// Says whose turn it is among so many: [`LEAST`] at least, and each has had one after [`TURNS`] ticks.
    fn take(&mut self, services: usize) -> impl Fn(usize) -> bool + use<> {
        let (first, count) = (self.next.checked_rem(services).unwrap_or_default(), services.div_ceil(TURNS).max(LEAST));
        self.next = first + count;
        move |index| (index + services - first) % services < count
    }
}

/// What is shown of the services, in their order.
#[derive(Default)]
pub struct Shown {
    services: Vec<Arc<ServiceStatus>>,
    turns: Turns,
}

impl Shown {
    /// Returns what was shown last.
    pub fn services(&self) -> &[Arc<ServiceStatus>] {
        &self.services
    }

    /// Shows every service anew.
    pub fn all(&mut self, services: &[Service], now: Timestamp, endpoints: &Endpoints) {
        self.services = services.iter().map(|service| Arc::new(status(service, now, endpoints))).collect();
    }

    /// Shows those anew that do not stand where they are shown, and the next ones in turn.
    pub fn next_turn(&mut self, services: &[Service], now: Timestamp, endpoints: &Endpoints) {
        if services.len() != self.services.len() {
            return self.all(services, now, endpoints);
        }
        let is_its_turn = self.turns.take(services.len());
        for (index, (service, shown)) in services.iter().zip(&mut self.services).enumerate() {
            if is_its_turn(index) || !service.stands_as(shown) {
                *shown = Arc::new(status(service, now, endpoints));
            }
        }
    }
}

fn status(service: &Service, now: Timestamp, endpoints: &Endpoints) -> ServiceStatus {
    ServiceStatus { endpoints: endpoints::shown(endpoints, service.versions().chain(service.told_beside())), ..service.status(now) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_many_services_has_its_turn_within_half_a_second() {
        for (services, in_a_tick) in [(0, 0), (1, 1), (10, 10), (11, 10), (50, 10), (51, 11), (1_003, 201)] {
            let mut turns = Turns { next: 7 };
            let mut seen = vec![0; services];
            for _ in 0..TURNS {
                let is_its_turn = turns.take(services);
                let due: Vec<usize> = (0..services).filter(|index| is_its_turn(*index)).collect();
                assert_eq!(due.len(), in_a_tick, "{services}");
                due.into_iter().for_each(|index| seen[index] += 1);
            }
            assert!(seen.iter().all(|times| *times >= 1), "{services}: {seen:?}");
        }
    }

    #[test]
    fn turns_go_on_when_there_are_fewer_services() {
        let mut turns = Turns { next: 40 };
        let is_its_turn = turns.take(12);
        assert_eq!((0..12).filter(|index| is_its_turn(*index)).count(), LEAST);
        assert!(turns.next < 12 + LEAST);
    }
}
