//! Reads a thread group: how many users, how often, how fast.

use std::time::Duration;

use crate::formats::jmx::element::{Context, Properties, short};
use crate::formats::jmx::plan::{Group, Loops, OnError};

const THREADS: u64 = 10_000;
const LOOPS: u64 = 1_000_000_000;
/// A week, in seconds.
const SECONDS: u64 = 604_800;

/// The words for what a user does after an error.
const ON_ERROR: [(&str, OnError); 5] = [
    ("continue", OnError::Continue),
    ("startnextloop", OnError::StartNextLoop),
    ("stopthread", OnError::StopThread),
    ("stoptest", OnError::StopTest),
    ("stoptestnow", OnError::StopTestNow),
];

/// Reads a group, its requests left out.
pub fn read(context: &Context<'_>, mut properties: Properties<'_, '_>, name: String) -> Option<Group> {
    let threads = required(&mut properties, "ThreadGroup.num_threads", THREADS);
    let ramp = properties.whole("ThreadGroup.ramp_time", 0..=SECONDS).unwrap_or_default();
    let scheduler = properties.flag("ThreadGroup.scheduler", false);
    let delay = properties.whole("ThreadGroup.delay", 0..=SECONDS).filter(|_| scheduler).unwrap_or_default();
    let duration = properties.whole("ThreadGroup.duration", 0..=SECONDS).filter(|length| scheduler && *length > 0);
    if !properties.flag("ThreadGroup.same_user_on_next_iteration", true) {
        let message = "a new user on each iteration is not supported";
        properties.error(
            "ThreadGroup.same_user_on_next_iteration",
            message,
            "set it to true; a cookie manager can forget its cookies with each loop",
        );
    }
    let on_error = on_error(&mut properties);
    let loops = loops(context, &mut properties);
    // Times of the calendar are those of the day on which the plan was written.
    properties.inert(&["ThreadGroup.start_time", "ThreadGroup.end_time", "ThreadGroup.delayedStart"]);
    properties.close();
    Some(Group {
        name,
        threads: u32::try_from(threads?).ok()?,
        loops: loops?,
        ramp: Duration::from_secs(ramp),
        delay: Duration::from_secs(delay),
        duration: duration.map(Duration::from_secs),
        on_error: on_error?,
        samplers: Vec::new(),
    })
}

fn required(properties: &mut Properties<'_, '_>, name: &'static str, most: u64) -> Option<u64> {
    let text = properties.text(name)?;
    if text.trim().is_empty() {
        properties.error(name, format!("{name} is missing"), "write a whole number, or ${__P(VUCount,1)}");
        return None;
    }
    properties.whole(name, 1..=most)
}

fn on_error(properties: &mut Properties<'_, '_>) -> Option<OnError> {
    let text = properties.text("ThreadGroup.on_sample_error")?;
    let word = if text.trim().is_empty() { "continue" } else { text.trim() };
    let found = ON_ERROR.iter().find(|(known, _)| *known == word);
    if found.is_none() {
        let known = ON_ERROR.map(|(known, _)| known).join(", ");
        properties.error("ThreadGroup.on_sample_error", format!("on_sample_error is {:?}", short(word)), format!("write one of {known}"));
    }
    found.map(|(_, on_error)| *on_error)
}

fn loops(context: &Context<'_>, properties: &mut Properties<'_, '_>) -> Option<Loops> {
    const CONTROLLER: &str = "ThreadGroup.main_controller";
    let Some(node) = properties.get(CONTROLLER) else {
        properties.error(CONTROLLER, "the loop controller is missing", "write how often each user goes through the requests");
        return None;
    };
    if node.attribute("elementType").is_some_and(|kind| kind != "LoopController") {
        properties.error(CONTROLLER, "the main controller is no LoopController", "write a LoopController");
        return None;
    }
    let mut controller = Properties::open(context, node, properties.path.clone());
    // JMeter sets this for its own use; -1 loops are what makes it go on forever.
    controller.inert(&["LoopController.continue_forever"]);
    let text = controller.text("LoopController.loops");
    let loops = match text.as_deref().map(str::trim) {
        None => None,
        Some("-1") => Some(Loops::Forever),
        Some(_) => required(&mut controller, "LoopController.loops", LOOPS).map(Loops::Times),
    };
    controller.close();
    loops
}
