//! Whether what became of an input is as expected; pure.

use super::data::{Expect, Forwarded, Repaired, Request};
use super::lane::Happened;
use crate::support::message::Message;

/// A status by which a proxy refuses a request for what its client did.
const fn is_refusal(status: u16) -> bool {
    matches!(status, 400..=499 | 501 | 505)
}

/// Returns what deviates; nothing when all is as expected.
pub fn judge(case: &Request, strict: bool, happened: &Happened) -> Vec<String> {
    let finals = happened.finals();
    let whole = happened.whole().len();
    let mut wrong: Vec<String> = happened.next.iter().cloned().collect();
    wrong.extend(happened.answers.iter().flat_map(|a| &a.violations).map(|v| format!("the client got a {v}")));
    let refused = finals.last().map_or(happened.closed, |status| is_refusal(*status));
    let silent = finals.is_empty() && !happened.closed;
    if silent {
        // Waiting is right until the body's timer, which is far shorter than this test's patience.
        wrong.push("no answer and no end".to_owned());
        return wrong;
    }
    if finals.contains(&408) && !case.may_wait {
        wrong.push("the body's timer ended what should have ended by itself".to_owned());
    }
    if case.expect == Expect::R {
        if let Some(repaired) = case.default.filter(|_| !strict && finals.first() == Some(&200)) {
            wrong.extend(forwarded(case, happened));
            if finals.len() > 1 {
                wrong.push("there is a second answer".to_owned());
            }
            if repaired == Repaired::Closes && !happened.closed {
                wrong.push("the connection stays open after two framings".to_owned());
            }
            return wrong;
        }
        if !refused {
            wrong.push(format!("answered {finals:?}"));
        } else if !happened.closed && !case.may_stay_open {
            wrong.push("refused, but the connection stays open".to_owned());
        }
        if whole > 0 {
            wrong.push(format!("{whole} complete requests reached the upstream"));
        }
        return wrong;
    }
    if case.expect == Expect::E && refused && finals.len() <= 1 {
        if whole > 0 {
            wrong.push("refused, but a complete request reached the upstream".to_owned());
        }
        return wrong;
    }
    let good = if case.forwarded.then_refused {
        finals == [200, 400] && happened.closed
    } else {
        !finals.is_empty() && finals.iter().all(|status| (200..300).contains(status))
    };
    if !good {
        wrong.push(format!("answered {finals:?}"));
    }
    wrong.extend(forwarded(case, happened));
    wrong
}

/// What is wrong with what reached the upstream of an input that was accepted.
fn forwarded(case: &Request, happened: &Happened) -> Vec<String> {
    let whole = happened.whole();
    let mut wrong: Vec<String> = happened.seen.iter().flat_map(|m| &m.violations).map(|v| format!("the upstream got a {v}")).collect();
    let counts = if case.forwarded.count.is_empty() { vec![case.forwarded.targets.len().max(1)] } else { case.forwarded.count.clone() };
    if !counts.contains(&whole.len()) || happened.seen.len() != whole.len() {
        wrong.push(format!("{} of {} requests upstream are complete, {counts:?} are wanted", whole.len(), happened.seen.len()));
    }
    if let Some(first) = whole.first() {
        wrong.extend(looks(&case.forwarded, first, &whole));
    }
    wrong
}

fn looks(wanted: &Forwarded, first: &Message, whole: &[&Message]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut check = |good: bool, what: String| {
        if !good {
            wrong.push(what);
        }
    };
    if let Some(method) = &wanted.method {
        check(first.line[0] == *method, format!("the method upstream is {}", first.line[0]));
    }
    if !wanted.targets.is_empty() {
        let targets: Vec<&str> = whole.iter().map(|m| m.target()).collect();
        check(targets == wanted.targets, format!("the targets upstream are {targets:?}"));
    }
    for (name, values) in &wanted.fields {
        check(first.all(name) == *values, format!("{name} upstream is {:?}", first.all(name)));
    }
    for name in &wanted.gone {
        check(whole.iter().all(|m| m.all(name).is_empty()), format!("{name} reached the upstream"));
    }
    for (name, forged) in &wanted.forged {
        let values = first.all(name);
        check(!values.is_empty(), format!("our own {name} is missing"));
        check(!values.iter().any(|value| value.contains(forged)), format!("the client's {name} reached the upstream"));
    }
    if let Some(body) = &wanted.body {
        check(first.body == body.0, format!("the body upstream is {:?}", String::from_utf8_lossy(&first.body)));
    }
    wrong
}

/// Shows what became of an input as `statuses/upstream`: so many complete requests there, `p` for one that was begun and never
/// completed, `-` for nothing. `!` marks an input that must be refused and of which something arrived.
pub fn cell(case: &Request, happened: &Happened) -> String {
    let statuses: Vec<String> = happened.finals().iter().map(u16::to_string).collect();
    let shown = match (statuses.is_empty(), happened.closed) {
        (false, _) => statuses.join("+"),
        (true, true) => "close".to_owned(),
        (true, false) => "hang".to_owned(),
    };
    let arrived = match (happened.whole().len(), happened.seen.is_empty()) {
        (0, true) => "-".to_owned(),
        (0, false) => "p".to_owned(),
        (count, _) => count.to_string(),
    };
    let mark = if case.expect == Expect::R && arrived != "-" { "!" } else { "" };
    format!("{shown}/{arrived}{mark}")
}
