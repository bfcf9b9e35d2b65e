//! Catalogue 2.9 in one automatic run: a version on trial commits every fault of the list, one after the other, behind a proxy
//! whose other traffic must not notice.
//!
//! `cargo test --test conformance fault_list -- --no-capture` prints what became of each. What of 2.9 is no fault on a socket is
//! in the README beside this folder.

mod bodies;
mod endpoints;
mod fault;
mod heads;
mod stage;
mod steady;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use fault::{Culprit, Fault, always};
use stage::Stage;

use crate::support::upstream::GOOD;

/// Lets a stage judge a fault; what is wrong is said under its name, a panic like anything else.
fn judge(stage: &mut Stage, fault: &Fault) -> Result<String, String> {
    let name = format!("{} {}", fault.line, fault.what);
    let judged = catch_unwind(AssertUnwindSafe(|| stage.judge(fault)));
    let judged = judged.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(vec![text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()])
    });
    judged.map_err(|wrong| format!("{name}: {}", wrong.join("; ")))
}

/// Lets a stage judge faults, and then that a version that is well is well there; returns the rows of the table, what is wrong,
/// and how many requests of other traffic were sent and failed.
fn judge_all(faults: fn() -> Vec<Fault>) -> (Vec<String>, Vec<String>, [u64; 2]) {
    let mut stage = Stage::new(crate::oracle::telling());
    let (mut rows, mut wrong) = (Vec::new(), Vec::new());
    for fault in faults() {
        match judge(&mut stage, &fault) {
            Ok(row) => rows.push(row),
            Err(why) => wrong.push(why),
        }
    }
    let healthy = Fault::new("-", "nothing wrong, after all the others", Culprit::of(always(GOOD))).each(fault::GOOD_ANSWER);
    wrong.extend(judge(&mut stage, &healthy).err());
    (rows, wrong, [stage.sent, stage.harmed])
}

#[test]
fn every_fault_of_a_version_is_told_and_charged_as_listed_and_harms_no_other_traffic() {
    let families = [endpoints::faults, heads::faults, bodies::faults];
    let (mut rows, mut wrong, mut sent, mut harmed) = (Vec::new(), Vec::new(), 0, 0);
    std::thread::scope(|scope| {
        let stages: Vec<_> = families.into_iter().map(|faults| scope.spawn(move || judge_all(faults))).collect();
        for stage in stages {
            let judged = stage.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            rows.extend(judged.0);
            wrong.extend(judged.1);
            (sent, harmed) = (sent + judged.2[0], harmed + judged.2[1]);
        }
    });
    rows.sort_by_key(|row| row.split(' ').next().map(str::to_owned));
    println!("{}", stage::HEADING);
    rows.iter().for_each(|row| println!("{row}"));
    println!("{} faults; {sent} requests of other traffic, of which {harmed} failed", rows.len());
    assert!(wrong.is_empty(), "{} faults went wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(harmed, 0);
    let listed: BTreeSet<String> = rows.iter().filter_map(|row| row.split(' ').next().map(str::to_owned)).collect();
    let all: BTreeSet<String> = (1..=35).filter(|line| *line != 26).map(|line| format!("F-{line:02}")).collect();
    assert_eq!(listed, all, "every line that is a fault on a socket is committed");
}

#[test]
fn the_run_finds_a_fault_that_reaches_other_traffic_once() {
    let struck = std::sync::atomic::AtomicBool::new(false);
    let stable = crate::support::upstream::Upstream::start(move |peer| {
        while let Some(request) = peer.request() {
            // One POST of all requests is left without an answer; nothing may repeat it.
            if request.line[0] == "POST" && !struck.swap(true, std::sync::atomic::Ordering::AcqRel) {
                return;
            }
            let text = format!("{} {}", request.line[0], request.line[1]);
            if !peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len()).as_bytes()) {
                return;
            }
        }
    });
    let mut stage = Stage::new(stable);
    let fault = || Fault::new("F-00", "none", Culprit::of(always(GOOD))).each(fault::GOOD_ANSWER);
    let why = judge(&mut stage, &fault()).unwrap_err();
    assert!(why.contains("F-00 none") && why.contains("POST") && why.contains("502") && why.contains("failed"), "{why}");
    assert_eq!(stage.harmed, 1);
    // What a version is said to do and does not, and what is said to be charged and is not, is found too.
    assert!(judge(&mut stage, &fault().each(fault::Want::Own(502))).unwrap_err().contains("200"));
    assert!(judge(&mut stage, &fault().charged(1)).unwrap_err().contains("charged"));
    assert_eq!(judge(&mut stage, &fault()).err(), None);
}
