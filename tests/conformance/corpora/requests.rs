//! The 216 requests, by default and in strict mode, and who is charged for them.

use std::time::Duration;

use portcullis::domain::error_kinds::ErrorKinds;
use portcullis::domain::outcome::Role;
use portcullis::proxy::settings::Settings;
use portcullis::seam::table::Watch;

use super::data::{self, Expect};
use super::judge::{cell, judge};
use super::lane::{BODY_IDLE, Lane, in_lanes};
use super::table::{self, Column};
use crate::oracle::telling;
use crate::support::proxy;
use crate::support::{PATIENCE, eventually};

/// Sends all requests, fails with all that deviate, and returns their cells of the table.
fn all_as_expected(strict: bool) -> Vec<String> {
    let cases = data::requests();
    let judged = in_lanes(
        cases.len(),
        || Lane::start(strict, BODY_IDLE),
        |lane, number| {
            let case = &cases[number];
            let happened = lane.exchange(number, case);
            let wrong = judge(case, strict, &happened);
            (cell(case, &happened), (!wrong.is_empty()).then(|| format!("{} ({}): {}", case.id, case.line, wrong.join("; "))))
        },
    );
    let (cells, wrong): (Vec<String>, Vec<Option<String>>) = judged.into_iter().unzip();
    let wrong: Vec<String> = wrong.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{} of {} requests deviate:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    cells
}

/// Counts the inputs that must be refused and yet arrived complete.
fn arrived(cells: &[String]) -> usize {
    let complete = |cell: &&String| cell.ends_with('!') && !cell.ends_with("p!");
    cells.iter().filter(complete).count()
}

#[test]
fn all_requests_are_refused_forwarded_or_repaired_as_expected() {
    let cells = all_as_expected(false);
    assert_eq!(arrived(&cells), 6, "by default six inputs are repaired and pass");
    table::check(Column::Default, &cells);
}

#[test]
fn strict_mode_lets_none_of_the_148_requests_through_that_must_be_refused() {
    let cells = all_as_expected(true);
    assert_eq!(arrived(&cells), 0);
    table::check(Column::Strict, &cells);
}

#[test]
fn no_request_of_the_corpus_is_charged_to_the_version_that_would_have_got_it() {
    let cases = data::requests();
    let upstream = telling();
    let wires = [Watch::Errors(ErrorKinds::DEFAULT)];
    let quick = |s: &mut Settings| {
        s.timeouts.body_idle = Duration::from_secs(2);
        (s.timeouts.header, s.timeouts.keep_alive) = (PATIENCE * 6, PATIENCE * 6);
    };
    let proxy = proxy::to([]).with(quick).canary([upstream.address], &wires, &[0]).start();
    let address = proxy.address;
    let lane = Lane::new(address, upstream, Box::new(()));
    let mut refusals = 0;
    for (number, case) in cases.iter().enumerate() {
        let happened = lane.exchange(number, case);
        assert_eq!(judge(case, false, &happened), Vec::<String>::new(), "{}", case.id);
        // Also OPTIONS with Max-Forwards: 0, which is answered here and blamed on nobody.
        let refused = happened.whole().is_empty() || happened.finals().last().is_none_or(|status| *status >= 400);
        refusals += u64::from(refused);
    }
    // Each refusal is counted as one, or as a failure of a request that was already under way.
    eventually("every refusal is counted", || (proxy.refused() + proxy.window(Role::Canary).failed == refusals).then_some(()));
    assert!(cases.iter().filter(|c| c.expect == Expect::R).count() <= usize::try_from(refusals).unwrap() + 6, "{refusals} refusals");
    let window = proxy.window(Role::Canary);
    assert_eq!((proxy.breaches(), window.classes[4]), (vec![0], 0), "what clients do wrong is charged to no version");
    drop(lane);
}
