//! Counts the instructions of the hot path, piece by piece, and of one whole request: `benches/guard/run` holds them to their limits.
//!
//! Each bench does the same a thousand times, so that what happens now and then has its share, and after a first round that nobody
//! counts: what is held is the cost of the thousands that follow.

// The data plane and what it stands on, exactly as they are compiled into the proxy. Without the rest of the crate, and without a
// library between, a build takes a third of the time.
#[allow(dead_code, unused_imports, reason = "what no bench passes")]
#[path = "../../../src/domain/mod.rs"]
mod domain;
#[allow(dead_code, unused_imports, reason = "what no bench passes")]
mod formats;
#[allow(dead_code, unused_imports, reason = "what no bench passes")]
#[path = "../../../src/proxy/mod.rs"]
mod proxy;
#[allow(dead_code, unused_imports, reason = "what no bench passes")]
#[path = "../../../src/seam/mod.rs"]
mod seam;

mod pick;
mod record;
mod request;
mod route;
mod sanitise;
#[expect(dead_code, reason = "each bench uses a part of the support")]
#[path = "../../support/mod.rs"]
mod support;
mod trip;

// The support is written for benches that have the library.
extern crate self as portcullis;

use gungraun::main;
use pick::picks;
use record::records;
use request::requests;
use route::routes;
use sanitise::cleaned;
use trip::trips;

/// How often each bench does what it counts; `benches/guard/run` divides by it.
const TIMES: usize = 1_000;

main!(library_benchmark_groups = [records, picks, trips, cleaned, routes, requests]);
