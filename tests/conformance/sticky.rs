//! G-16, H-07: users that stay where they were, monotone in the weight, and nobody on the canary after a rollback.

use std::time::Duration;

use portcullis::domain::outcome::Role;
use portcullis::seam::choice::{By, Choice, Sticky};
use portcullis::seam::token;

use crate::split::{Split, count, keys, name, trip};

fn by(by: By) -> Choice {
    Choice { sticky: Some(Sticky { by, keys: keys() }), ..Choice::default() }
}

fn own() -> Choice {
    by(By::OwnCookie { name: "stay".to_owned(), age: Duration::from_secs(3600) })
}

/// Asks without a cookie; returns who answered and the cookie that was set.
fn first(split: &Split) -> (String, String) {
    let answer = split.get("");
    let set = answer.one("set-cookie").to_owned();
    let (cookie, attributes) = set.split_once("; ").unwrap();
    assert_eq!(attributes, "Path=/; Max-Age=3600; HttpOnly; SameSite=Lax");
    (String::from_utf8(answer.body).unwrap(), cookie.to_owned())
}

#[test]
fn nobody_leaves_the_canary_while_its_share_grows_and_nobody_is_on_it_after_a_rollback() {
    let mut split = Split::new(own());
    split.shift(1, Some(1_000));
    let mut users: Vec<(String, String)> = (0..100).map(|_| first(&split)).collect();
    let on_canary = |users: &[(String, String)]| users.iter().filter(|(who, _)| who == "v2").count();
    assert!(on_canary(&users).abs_diff(10) <= 2, "the draw of first requests is exact: {} of 100", on_canary(&users));
    for weight in [2_500, 5_000, 9_000, 10_000] {
        split.shift(1, Some(weight));
        let before = on_canary(&users);
        for (who, cookie) in &mut users {
            let answer = split.get(&format!("Cookie: other=1; {cookie}\r\n"));
            assert!(answer.all("set-cookie").is_empty(), "a cookie that is worth something is not set again");
            let now = String::from_utf8(answer.body).unwrap();
            assert!(who == "v1" || now == "v2", "{cookie} left the canary at {weight}");
            *who = now;
        }
        // Within six standard deviations of the share.
        let (expected, now) = (usize::from(weight) / 100, on_canary(&users));
        assert!(now >= before && now.abs_diff(expected) <= 30, "{now} of 100 at {weight}");
    }
    assert_eq!(on_canary(&users), 100);
    split.shift(1, None);
    assert!(users.iter().all(|(_, cookie)| split.who(&format!("Cookie: {cookie}\r\n")) == "v1"), "after a rollback");
    // In the next rollout what was kept in this one is worth nothing.
    split.shift(2, Some(0));
    let answer = split.get(&format!("Cookie: {}\r\n", users[0].1));
    assert_eq!((answer.body.as_slice(), answer.all("set-cookie").len()), (&b"v1"[..], 1));
    assert!(split.fields().iter().all(|(name, value)| name != "cookie" || value == "other=1"), "our cookie is not passed on");
    assert_eq!(count(&split.proxy.counters.choices.sticky_forged), 0);
}

#[test]
fn a_trip_and_an_expired_epoch_take_every_user_back() {
    let mut split = Split::new(own());
    let trial = split.shift(1, Some(10_000));
    let (who, cookie) = first(&split);
    assert_eq!(who, "v2");
    let ask = |split: &Split| split.who(&format!("Cookie: {cookie}\r\n"));
    assert_eq!(ask(&split), "v2");
    trip(&trial);
    assert_eq!(ask(&split), "v1");
    split.publish(1, Some(10_000), portcullis::domain::time::Timestamp::ZERO);
    assert_eq!(ask(&split), "v1");
}

#[test]
fn h07_a_cookie_that_was_not_signed_here_is_none() {
    let mut split = Split::new(own());
    split.shift(3, Some(1));
    let (keys, carts) = (keys(), name("carts"));
    let good = token::keep(&keys, &carts, 3, 0);
    assert_eq!(split.who(&format!("Cookie: stay={good}\r\n")), "v2");
    let foreign = token::keep(&keys, &name("other"), 3, 0);
    let another = good.replace("~0~", "~1~");
    let forged = [another.as_str(), foreign.as_str(), "", "s1", "x~y~z~a~b", &good[..good.len() - 1]];
    for (cookie, number) in forged.iter().zip(1..) {
        let answer = split.get(&format!("Cookie: stay={cookie}\r\n"));
        assert_eq!((answer.status(), answer.all("set-cookie").len()), (200, 1), "{cookie}: a new draw");
        assert_eq!(count(&split.proxy.counters.choices.sticky_forged), number, "{cookie}");
    }
    // A stolen place in an earlier rollout leads nowhere, and is nobody's fault.
    let old = token::keep(&keys, &carts, 2, 0);
    assert_eq!(split.get(&format!("Cookie: stay={old}\r\n")).all("set-cookie").len(), 1);
    assert_eq!(count(&split.proxy.counters.choices.sticky_forged), forged.len() as u64);
}

#[test]
fn a_key_gives_its_user_a_place_without_a_cookie() {
    for (by_what, field) in
        [(By::Header(http::HeaderName::from_static("x-user")), "X-User: "), (By::Cookie("session".to_owned()), "Cookie: a=1; session=")]
    {
        let mut split = Split::new(by(by_what));
        let users: Vec<String> = (0..60).map(|user| format!("{field}{user}\r\n")).collect();
        let mut on_canary = vec![false; users.len()];
        for weight in [1_000, 4_000, 8_000] {
            split.shift(1, Some(weight));
            for (user, was) in users.iter().zip(&mut on_canary) {
                let answer = split.get(user);
                assert!(answer.all("set-cookie").is_empty());
                let is = answer.body == b"v2";
                assert!(is || !*was, "{user:?} left the canary at {weight}");
                assert_eq!(split.who(user) == "v2", is, "{user:?} stays");
                *was = is;
            }
        }
        let share = on_canary.iter().filter(|is| **is).count();
        assert!(share.abs_diff(48) <= 18, "{share} of 60 at 80 %");
        split.shift(2, Some(8_000));
        let again: Vec<bool> = users.iter().map(|user| split.who(user) == "v2").collect();
        assert_ne!(again, on_canary, "the next rollout begins with other users");
    }
    let mut split = Split::new(by(By::Client));
    split.shift(1, Some(5_000));
    let first = split.who("");
    assert!((0..20).all(|_| split.who("") == first), "one client, one version");
}

#[test]
fn without_a_rollout_no_cookie_is_set_and_sticky_requests_are_evidence_like_others() {
    let mut split = Split::new(own());
    assert!(split.get("").all("set-cookie").is_empty());
    let trial = split.shift(1, Some(10_000));
    let (_, cookie) = first(&split);
    split.who(&format!("Cookie: {cookie}\r\n"));
    assert_eq!(trial.started(), 2);
    assert_eq!(split.proxy.canary_ended(2).decided, 2);
    assert_eq!(split.proxy.window(Role::Stable).decided, 1);
}
