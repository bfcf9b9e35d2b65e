//! What is signed for clients to bring back: a token that forces a version, and a cookie that keeps a user's position.
//!
//! `v1~KEY~EXPIRY~ROLLOUT~VERSION~TAG` forces a version until EXPIRY (seconds since 1970); `s1~KEY~ROLLOUT~POSITION~TAG` keeps a
//! position. Names have no `~`, and every byte of both may stand in a header and a cookie (RFC 6265 section 4.1.1). The service is
//! part of what is signed, so neither can be carried over to another one.

use crate::domain::version::Name;
use crate::seam::keys::Keys;

const FORCE: &str = "force v1";
const STICKY: &str = "sticky v1";
const POSITION: &str = "position v1";

/// The longest token that is read; the longest valid one has some 200 bytes.
const LONGEST: usize = 256;

/// How many positions there are: one for each basis point of a weight.
pub const POSITIONS: u16 = 10_000;

/// Makes a token that forces a version of a service in a rollout until `expiry`.
#[must_use]
pub fn force(keys: &Keys, service: &Name, rollout: u64, version: &Name, expiry: u64) -> String {
    let text = format!("v1~{}~{expiry}~{rollout}~{version}", keys.id());
    let tag = keys.sign(FORCE, service, &text);
    format!("{text}~{tag}")
}

/// Reads the version that a token forces, `None` unless it was signed for this service and rollout and has not expired.
#[must_use]
pub fn forced<'t>(keys: &Keys, service: &Name, rollout: u64, now: u64, token: &'t str) -> Option<&'t str> {
    let (text, tag) = split(token)?;
    let mut parts = text.split('~');
    let (kind, id, expiry, of, version) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let whole = kind == "v1" && parts.next().is_none();
    let signed = whole && keys.verify(id, FORCE, service, text, tag);
    (signed && expiry.parse::<u64>().ok()? > now && of.parse() == Ok(rollout)).then_some(version)
}

/// Makes the value of a cookie that keeps a position in a rollout of a service.
#[must_use]
pub fn keep(keys: &Keys, service: &Name, rollout: u64, position: u16) -> String {
    let text = format!("s1~{}~{rollout}~{position}", keys.id());
    let tag = keys.sign(STICKY, service, &text);
    format!("{text}~{tag}")
}

/// What a cookie is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It keeps this position, below [`POSITIONS`].
    Position(u16),
    /// It was signed for another rollout, which is over.
    Over,
    /// It was not signed here.
    Forged,
}

/// Reads the position that a cookie keeps.
#[must_use]
pub fn kept(keys: &Keys, service: &Name, rollout: u64, cookie: &str) -> Kept {
    let read = || {
        let (text, tag) = split(cookie)?;
        let mut parts = text.split('~');
        let (kind, id, of, position) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let whole = kind == "s1" && parts.next().is_none();
        let signed = whole && keys.verify(id, STICKY, service, text, tag);
        let position = position.parse().ok().filter(|position| *position < POSITIONS)?;
        signed.then_some(if of.parse() == Ok(rollout) { Kept::Position(position) } else { Kept::Over })
    };
    read().unwrap_or(Kept::Forged)
}

/// Returns the position of whoever has this key, below [`POSITIONS`]: always the same within a rollout, and another one in the
/// next, so that it is not always the same users who try what is new.
#[must_use]
pub fn position(keys: &Keys, service: &Name, rollout: u64, key: &[u8]) -> u16 {
    let value = [rollout.to_string().as_bytes(), b"\n", key].concat();
    // Below 10 000; the bias of the remainder is below one in 10^15.
    u16::try_from(keys.hash(POSITION, service, &value) % u64::from(POSITIONS)).unwrap_or_default()
}

fn split(signed: &str) -> Option<(&str, &str)> {
    if signed.len() > LONGEST { None } else { signed.rsplit_once('~') }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn keys(byte: u8) -> Keys {
        Keys::new([(name("k"), [byte; 32])]).unwrap()
    }

    #[test]
    fn a_token_forces_its_version_in_its_service_and_rollout_until_it_expires() {
        let (keys, carts) = (keys(1), name("carts"));
        let token = force(&keys, &carts, 3, &name("0.8.2"), 1_000);
        assert_eq!(forced(&keys, &carts, 3, 999, &token), Some("0.8.2"));
        assert_eq!(forced(&keys, &carts, 3, 1_000, &token), None, "expired");
        assert_eq!(forced(&keys, &carts, 4, 999, &token), None, "of another rollout");
        assert_eq!(forced(&keys, &name("other"), 3, 999, &token), None, "of another service");
        assert_eq!(forced(&self::keys(2), &carts, 3, 999, &token), None, "of another key");
        assert_eq!(forced(&keys, &carts, 3, 999, &keep(&keys, &carts, 3, 1)), None, "a cookie is no token");
        for at in 0..token.len() {
            let mut forged = token.clone().into_bytes();
            forged[at] ^= 1;
            assert_eq!(forced(&keys, &carts, 3, 999, std::str::from_utf8(&forged).unwrap()), None, "byte {at}");
            assert_eq!(forced(&keys, &carts, 3, 999, &token[..at]), None, "cut at {at}");
        }
        assert_eq!(forced(&keys, &carts, 3, 999, &format!("{token}{}", "A".repeat(300))), None);
    }

    #[test]
    fn a_cookie_keeps_its_position_in_its_service_and_rollout() {
        let (keys, carts) = (keys(1), name("carts"));
        let cookie = keep(&keys, &carts, 3, 9_999);
        assert_eq!(kept(&keys, &carts, 3, &cookie), Kept::Position(9_999));
        assert_eq!(kept(&keys, &carts, 4, &cookie), Kept::Over);
        assert_eq!(kept(&keys, &name("other"), 3, &cookie), Kept::Forged);
        assert_eq!(kept(&keys, &carts, 3, &cookie.replace("9999", "0")), Kept::Forged);
        assert_eq!(kept(&keys, &carts, 3, &keep(&keys, &carts, 3, 10_000)), Kept::Forged);
        assert_eq!(kept(&keys, &carts, 3, ""), Kept::Forged);
    }

    #[test]
    fn positions_are_even_and_new_in_each_rollout() {
        let (keys, carts) = (keys(1), name("carts"));
        let of = |rollout, user: u32| position(&keys, &carts, rollout, &user.to_le_bytes());
        let below = |rollout, weight| (0..20_000).filter(|user| of(rollout, *user) < weight).count();
        // Five standard deviations of a binomial with n = 20 000.
        assert!(below(1, 1_000).abs_diff(2_000) < 213, "{}", below(1, 1_000));
        assert!(below(1, 5_000).abs_diff(10_000) < 354, "{}", below(1, 5_000));
        let both = (0..20_000).filter(|user| of(1, *user) < 1_000 && of(2, *user) < 1_000).count();
        assert!(both.abs_diff(200) < 71, "{both} of 200 users are first twice");
        assert_eq!(of(1, 7), of(1, 7));
    }
}
