//! Rescue on stable: a canary request that its version failed, or that waits for an answer when its trial trips, is sent to the
//! stable version; the client gets stable's answer.
//!
//! It never hides anything: the canary's sample ends with its failure before stable's begins. What is taken back after a trip
//! ends as one whose client left: the trip's own breaches are counted already, and the others had no chance to answer. Only
//! what may be repeated is rescued, within the time of one request, and the stable version's limits hold.

use std::rc::Rc;
use std::sync::atomic::Ordering;

use crate::domain::outcome::{Failure, Role};
use crate::proxy::passage::Passage;
use crate::proxy::patrol::RequestGuard;
use crate::proxy::upstream::{self, Parcel, Pool, Reply};
use crate::proxy::worker::Worker;
use crate::seam::sample::Sample;

/// Sends a request to its version, and to stable where the version is a canary that fails it.
///
/// # Errors
///
/// Returns why there is no answer; the passage is that of the last version tried.
pub async fn send(
    worker: &Worker,
    pool: &Rc<Pool>,
    parcel: &mut Parcel,
    guard: &Rc<RequestGuard>,
    passage: &mut Passage,
) -> Result<Reply, Failure> {
    match upstream::send(pool, parcel, guard, worker.rules().settings.timeouts.connect).await {
        Err(failure) if passage.is_rescuable(failure) && parcel.may_move() => {
            // In a box, so that a request that goes well does not carry the room for it.
            Box::pin(rescue(worker, pool, failure, parcel, guard, passage)).await
        }
        sent => sent,
    }
}

async fn rescue(
    worker: &Worker,
    failed: &Pool,
    failure: Failure,
    parcel: &mut Parcel,
    guard: &Rc<RequestGuard>,
    passage: &mut Passage,
) -> Result<Reply, Failure> {
    let Some(books) = passage.books() else { return Err(failure) };
    let stable = worker.pools.of(&books.epoch().stable);
    if !stable.reach().standing().is_usable() {
        // Its answer would only be another failure, and hide the first.
        return Err(failure);
    }
    failed.reach().deeds.rescues.fetch_add(1, Ordering::Relaxed);
    guard.keep();
    passage.hand_over(failure, |now| Sample::begin(&books, worker.clock, Role::Stable, now, 0), worker.clock.now());
    // Its failure may have been the one that trips: the others are rescued at once.
    worker.deadlines.take_back();
    upstream::send(&stable, parcel, guard, worker.rules().settings.timeouts.connect).await
}
