//! What the elements around a request add to it: headers, cookies, pauses and the header for Dynatrace.

use std::time::Duration;

use http::{HeaderName, HeaderValue, header};
use roxmltree::Node;

use crate::formats::jmx::dynatrace;
use crate::formats::jmx::element::{Context, Properties, short};
use crate::formats::jmx::plan::{Cookies, DynatraceTest};

/// The longest pause, in milliseconds: an hour.
const LONGEST_PAUSE: u64 = 3_600_000;

/// How the delay of the published timers begins; a `$` is missing before it.
const SLIP: &str = "{__P(";

/// Headers that belong to the connection and the framing of a message.
const OURS: [HeaderName; 5] = [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION, header::UPGRADE, header::TE];

/// The most headers of one manager.
const MOST_HEADERS: usize = 100;

/// What holds for all requests at and below a level.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// The headers, inner ones in place of outer ones of the same name.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// How cookies are kept.
    pub cookies: Option<Cookies>,
    /// The pauses together.
    pub pause: Duration,
    /// What the script says.
    pub dynatrace: Option<DynatraceTest>,
}

impl Scope {
    /// Adds what an element says; returns `false` for one that says nothing of this kind.
    pub fn add(&mut self, context: &Context<'_>, node: Node<'_, '_>, path: String) -> bool {
        let properties = Properties::open(context, node, path);
        match node.tag_name().name() {
            "HeaderManager" => self.add_headers(context, properties),
            "CookieManager" => self.add_cookies(properties),
            "ConstantTimer" => self.add_pause(context, properties),
            "BeanShellPreProcessor" => self.dynatrace = dynatrace::read(context, properties).or(self.dynatrace.take()),
            _ => return false,
        }
        true
    }

    fn add_headers(&mut self, context: &Context<'_>, mut properties: Properties<'_, '_>) {
        let mut added: Vec<(HeaderName, HeaderValue)> = Vec::new();
        let entries = properties.collection("HeaderManager.headers");
        if entries.len() > MOST_HEADERS {
            properties.error("HeaderManager.headers", format!("there are more than {MOST_HEADERS} headers"), "leave some out");
        }
        for entry in entries.into_iter().take(MOST_HEADERS) {
            let mut header = Properties::open(context, entry, properties.path.clone());
            let (name, value) = (header.text("Header.name"), header.text("Header.value"));
            header.inert(&["Argument.metadata"]);
            if let (Some(name), Some(value)) = (name, value) {
                match (name.trim().parse::<HeaderName>(), HeaderValue::from_str(value.trim())) {
                    (Ok(name), Ok(_)) if OURS.contains(&name) => {
                        header.error(
                            "Header.name",
                            format!("the header {name} cannot be set"),
                            "leave it out: it is set as the request needs it",
                        );
                    }
                    (Ok(name), Ok(value)) => added.push((name, value)),
                    (Err(_), _) => {
                        header.error("Header.name", format!("{:?} is no name of a header", short(&name)), "write a name such as Accept")
                    }
                    (_, Err(_)) => header.error(
                        "Header.value",
                        format!("the value of {} cannot stand in a header", short(&name)),
                        "write it in one line",
                    ),
                }
            }
            header.close();
        }
        properties.close();
        self.headers.retain(|(outer, _)| added.iter().all(|(inner, _)| inner != outer));
        self.headers.extend(added);
    }

    fn add_cookies(&mut self, mut properties: Properties<'_, '_>) {
        if !properties.collection("CookieManager.cookies").is_empty() {
            properties.error("CookieManager.cookies", "cookies of the plan's own are not supported", "send them as a header named Cookie");
        }
        let clear_each_iteration = properties.flag("CookieManager.clearEachIteration", false);
        // Under the thread group's control they are cleared for a new user, and users here stay the same.
        let controlled = properties.flag("CookieManager.controlledByThreadGroup", false);
        properties.inert(&["CookieManager.policy", "CookieManager.implementation"]);
        properties.close();
        self.cookies = Some(Cookies { clear_each_iteration: clear_each_iteration && !controlled });
    }

    fn add_pause(&mut self, context: &Context<'_>, mut properties: Properties<'_, '_>) {
        const DELAY: &str = "ConstantTimer.delay";
        let path = properties.path_of(DELAY);
        match properties.written(DELAY) {
            Some((node, text)) if text.trim().starts_with(SLIP) => {
                let meant = format!("${}", text.trim());
                let Some(meant) = context.resolve(node, &path, &meant) else { return };
                if context.honour_think_time {
                    match meant.trim().parse::<u64>().ok().filter(|pause| *pause <= LONGEST_PAUSE) {
                        Some(pause) => self.pause += Duration::from_millis(pause),
                        None => properties.error(DELAY, format!("the delay is {:?}", short(&meant)), "write milliseconds, an hour at most"),
                    }
                } else {
                    let message = format!("the delay {:?} is no function call, so JMeter waits 0 ms, and so does this", short(text.trim()));
                    let hint = "write a $ in front of it, or ask for the think time that its author meant with honour_think_time";
                    context.note(node, &path, message, hint);
                }
            }
            _ => self.pause += Duration::from_millis(properties.whole(DELAY, 0..=LONGEST_PAUSE).unwrap_or_default()),
        }
        properties.close();
    }
}
