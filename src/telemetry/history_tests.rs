//! Claims about what charts are drawn from.
#![cfg(test)]

use super::*;
use crate::domain::observation::Observation;
use crate::domain::outcome::Outcome;
use crate::domain::version::Version;

const KEY: (&str, &str) = ("carts", "0.8.1");

fn service() -> ServiceStatus {
    ServiceStatus {
        name: KEY.0.parse().unwrap(),
        owner: Version::at(KEY.1.parse().unwrap(), [([127, 0, 0, 1], 1).into()]),
        rollout: None,
        waits: None,
        rejected: Vec::new(),
        endpoints: Vec::new(),
        way_back: None,
    }
}

fn answered(board: &Board, us: u64, count: u64, outcome: Outcome) {
    let mut seen = Observation::new(Role::Stable);
    for _ in 0..count {
        seen.decided += 1;
        seen.count(outcome);
    }
    seen.response_time.cells.push((us, count));
    board.totals().add(&(KEY.0.to_owned(), KEY.1.to_owned(), Role::Stable), 0, 1, &seen);
}

#[test]
fn each_second_adds_what_was_counted_in_it() {
    let (board, mut history, services) = (Board::default(), History::default(), [Arc::new(service())]);
    answered(&board, 7_000, 500, Outcome::Answered(200));
    history.sample(1_000, &services, &board);
    assert_eq!(history.newest(&services[0].name).unwrap().stable, None, "what was before is no news");
    answered(&board, 1_000, 90, Outcome::Answered(200));
    answered(&board, 2_000, 10, Outcome::Answered(503));
    history.sample(2_000, &services, &board);
    let figures = history.newest(&services[0].name).unwrap().stable.clone().unwrap();
    assert_eq!((figures.requests, figures.errors), (100, 10));
    assert_eq!((figures.p50_us.unwrap()[1], figures.p95_us.unwrap()[1]), (1_000, 2_000));
    assert_eq!(history.spectra(&services[0].name).unwrap().stable.requests, 100);
    history.sample(3_000, &[], &board);
    assert!(history.newest(&services[0].name).is_none(), "a service that is gone has no history");
}

#[test]
fn hours_are_kept_in_bounded_space_oldest_first() {
    let (board, mut history, services) = (Board::default(), History::default(), [Arc::new(service())]);
    let seconds = FINE as u64 + EVERY * (COARSE as u64 + 10);
    for second in 0..seconds {
        history.sample(second * 1_000, &services, &board);
    }
    let chart = history.chart(&services[0].name);
    let times: Vec<u64> = chart.points.iter().map(|point| point.at_ms).collect();
    assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "oldest first, nothing twice");
    assert!(times.len() <= FINE + COARSE && times.len() > COARSE, "{}", times.len());
    assert_eq!(times.last(), Some(&((seconds - 1) * 1_000)));
    let first_fine = times.len() - FINE;
    assert_eq!(times[first_fine + 1] - times[first_fine], 1_000);
    assert_eq!(times[1] - times[0], 1_000 * EVERY);
}
