//! The story itself, act by act: 0.8.1 serves, 0.8.2 fails, 0.8.3 succeeds.
//!
//! Each act ends when its condition holds or its deadline passes; nothing waits for time alone. What is measured goes
//! into the report at once, so that a story that breaks off still tells how far it came.

use std::time::{Duration, Instant};

use crate::cli::demo::admin::Rollout;
use crate::cli::demo::progress::Progress;
use crate::cli::demo::report::{Mode, Pages, Report};
use crate::cli::demo::scene::{Books, Counts, ORDINARY_USERS, Scene, TEST_USERS};
use crate::cli::demo::trouble::Trouble;
use crate::domain::rollout::Phase;

/// How often the info page is asked for at each point of the story.
const PAGES: u64 = 50;
/// How many answers the clients must have got from 0.8.1 before 0.8.2 arrives, and again before and after 0.8.3.
const ENOUGH: u64 = 500;
/// How long a client may take to be answered when the load ends, and a process to end.
const GRACE: Duration = Duration::from_secs(8);

/// Plays the story and reports what happened.
///
/// # Errors
///
/// It could not go on; what was measured until then stands in the report.
pub async fn play(mode: Mode, think: Duration, report: &mut Report, progress: &Progress) -> Result<(), Trouble> {
    let mut scene = Scene::open(progress).await?;
    let told = acts(mode, think, &mut scene, report).await;
    report.take_counts(scene.counts());
    told?;
    scene.close(GRACE).await
}

async fn acts(mode: Mode, think: Duration, scene: &mut Scene<'_>, report: &mut Report) -> Result<(), Trouble> {
    report.info_page_at_first = pages(scene, "v1").await;
    scene.begin_load(think)?;
    scene.event(&format!("{TEST_USERS} test users POST items, {ORDINARY_USERS} ordinary users look around"));
    answers(scene, "the load runs").await?;
    the_faulty_version(mode, scene, report).await?;
    answers(scene, "the load runs on 0.8.1 again").await?;
    the_mended_version(scene, report).await?;
    answers(scene, "the load runs on 0.8.3").await?;
    scene.end_load(GRACE).await;
    scene.event("the load has ended");
    Ok(())
}

/// 0.8.2 arrives, gets its share, trips, and gets nothing more.
async fn the_faulty_version(mode: Mode, scene: &mut Scene<'_>, report: &mut Report) -> Result<(), Trouble> {
    const TAG: &str = "0.8.2";
    let before = scene.counts();
    let address = scene.start_carts(TAG, mode == Mode::Hang).await?;
    let begun = Instant::now();
    scene.admin().start(TAG, address).await?;
    let rollout = ended(scene, TAG, Phase::RolledBack, Duration::from_secs(20)).await?;
    report.rollback_s = Some(begun.elapsed().as_secs_f64());
    report.take_rollback(&rollout);
    scene.event(&format!("{TAG} is {}", report.verdict.as_deref().unwrap_or("rolled back")));

    let at_rollback = arrived(scene, TAG, rollout.canary_requests).await?;
    report.info_page_after_rollback = pages(scene, "v1").await;
    let mut wait = scene.wait("every client of 0.8.2 is answered", Duration::from_secs(12));
    let after = loop {
        let moment = scene.next(&mut wait).await?;
        let books = scene.books(TAG).await?;
        note_harm(report, mode, before, moment.counts, books);
        let answered = match mode {
            Mode::Slow => report.requests_harmed.min(books.posts_answered),
            Mode::Hang => report.requests_lost_to_hang,
        };
        if answered >= books.posts {
            break moment.counts;
        }
    };
    // Many requests later: had any gone to 0.8.2, its own books would have it.
    let mut wait = scene.wait("many more requests are answered", Duration::from_secs(15));
    while scene.next(&mut wait).await?.counts.answered < after.answered + ENOUGH {}
    let moment = scene.next(&mut wait).await?;
    let books = scene.books(TAG).await?;
    note_harm(report, mode, before, moment.counts, books);
    // The proxy's books of the trip are complete now that every request has ended.
    if let Some(rollout) = &moment.status.rollout {
        report.take_rollback(rollout);
    }
    report.canary_requests_arrived = Some(books.arrived());
    report.canary_requests_arrived_after_trip = Some(books.arrived().saturating_sub(at_rollback));
    report.canary_posts_answered = Some(books.posts_answered);
    scene.event(&format!(
        "by its own books {TAG} got {} requests in all, {} of them after the trip",
        books.arrived(),
        books.arrived().saturating_sub(at_rollback)
    ));
    scene.end_carts(TAG, GRACE).await
}

/// 0.8.3 arrives, walks the ramp and owns the traffic.
async fn the_mended_version(scene: &mut Scene<'_>, report: &mut Report) -> Result<(), Trouble> {
    const TAG: &str = "0.8.3";
    let address = scene.start_carts(TAG, false).await?;
    let begun = Instant::now();
    scene.admin().start(TAG, address).await?;
    let rollout = ended(scene, TAG, Phase::Promoted, Duration::from_secs(40)).await?;
    report.promotion_s = Some(begun.elapsed().as_secs_f64());
    report.take_promotion(&rollout);
    scene.event(&rollout.reason);
    report.info_page_after_promotion = pages(scene, "v3").await;
    Ok(())
}

/// Waits until the rollout of `tag` has ended for good.
async fn ended(scene: &mut Scene<'_>, tag: &str, phase: Phase, limit: Duration) -> Result<Rollout, Trouble> {
    let what = match phase {
        Phase::Promoted => format!("{tag} is promoted"),
        _ => format!("{tag} is rolled back"),
    };
    let mut wait = scene.wait(&what, limit);
    loop {
        let status = scene.next(&mut wait).await?.status;
        let Some(rollout) = status.rollout.filter(|r| r.canary.name.as_str() == tag && r.phase.is_terminal()) else { continue };
        if rollout.phase != phase {
            return Err(Trouble::OtherEnd { version: tag.to_owned(), phase: rollout.phase.as_str(), reason: rollout.reason });
        }
        if rollout.durable && (phase != Phase::Promoted || status.owner.name.as_str() == tag) {
            return Ok(rollout);
        }
    }
}

/// Waits until as many requests as the proxy says have arrived at `tag`, some may still be on their way, and returns
/// how many have by its own books. When they do not all arrive it returns what has, and leaves the judgement to the report.
async fn arrived(scene: &mut Scene<'_>, tag: &str, began: u64) -> Result<u64, Trouble> {
    let deadline = Instant::now() + Duration::from_secs(1);
    let mut wait = scene.wait("the last requests have arrived", Duration::from_secs(5));
    loop {
        let arrived = scene.books(tag).await?.arrived();
        if arrived >= began || Instant::now() >= deadline {
            return Ok(arrived);
        }
        scene.next(&mut wait).await?;
    }
}

/// Waits until the clients have got many more answers.
async fn answers(scene: &mut Scene<'_>, what: &str) -> Result<(), Trouble> {
    let begun = scene.counts().answered;
    let mut wait = scene.wait(what, Duration::from_secs(15));
    while scene.next(&mut wait).await?.counts.answered < begun + ENOUGH {}
    Ok(())
}

async fn pages(scene: &mut Scene<'_>, version: &str) -> Pages {
    Pages { asked: PAGES, as_expected: scene.info_pages(PAGES, version).await }
}

/// Notes what the clients have suffered since 0.8.2 arrived. It is the doing of 0.8.2 for no more requests than it got
/// POSTs, by its own books; beyond that the machine was busy. Lost to the hang is what the proxy gave up waiting for,
/// and no more than 0.8.2 itself says it has never answered.
fn note_harm(report: &mut Report, mode: Mode, before: Counts, now: Counts, books: Books) {
    let since = now.tally.since(before.tally);
    let suffered = since.slow + since.quick_errors + now.unanswered.saturating_sub(before.unanswered);
    report.requests_harmed = suffered.min(books.posts);
    report.requests_slow_otherwise = suffered - report.requests_harmed;
    if mode == Mode::Hang {
        report.requests_lost_to_hang = since.timed_out.min(books.posts.saturating_sub(books.posts_answered));
    }
}
