//! A pattern of paths: a prefix `/carts`, an exact path `=/health`, or a template `/carts/{id}/items`.

use std::fmt;
use std::str::FromStr;

/// The most segments of a pattern.
const MOST_SEGMENTS: usize = 32;

/// One segment of a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Segment {
    /// This text.
    Fixed(Box<str>),
    /// Anything but nothing.
    Any,
}

/// How a pattern goes on behind its segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// Anything may follow.
    Prefix,
    /// Nothing follows, and no segment is left open.
    Exact,
    /// Nothing follows.
    Whole,
    /// One segment or more follow, which may be empty.
    Rest,
}

/// A pattern of paths, matched segment by segment and byte for byte.
///
/// - `/carts` is a prefix: it matches `/carts`, `/carts/` and `/carts/1`, but not `/cartsx`; `/` matches everything.
/// - `=/health` matches this path alone.
/// - `/carts/{id}/items` is a template: each name in braces stands for one segment that is not empty. A last `{rest...}` stands
///   for one segment or more.
///
/// Its text has letters, digits and `-._~!$&'()*+,=:@` only, so that no escape hides in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PathPattern {
    pub(super) kind: Kind,
    pub(super) segments: Box<[Segment]>,
}

/// How special a pattern is; the greater one decides. Of two different patterns that match one path, one is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    /// Exact before template before prefix.
    class: u8,
    /// How many segments are fixed.
    fixed: u8,
    /// How many segments there are.
    segments: u8,
    /// Whether it has no open rest.
    closed: bool,
    /// A bit for each fixed segment, the first one highest.
    places: u32,
}

/// The reason why a text is no [`PathPattern`]; says how to mend it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidPath(pub String);

impl PathPattern {
    /// Returns the pattern that every path matches.
    #[must_use]
    pub fn everything() -> Self {
        Self { kind: Kind::Prefix, segments: Box::default() }
    }

    /// Says whether every path matches.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.kind == Kind::Prefix && self.segments.is_empty()
    }

    pub(super) fn rank(&self) -> Rank {
        let places = self.segments.iter().zip(0_u32..).fold(0, |places, (segment, at)| match segment {
            Segment::Fixed(_) => places | 1 << (31 - at.min(31)),
            Segment::Any => places,
        });
        let class = match self.kind {
            Kind::Prefix => 0,
            Kind::Whole | Kind::Rest => 1,
            Kind::Exact => 2,
        };
        let fixed = self.segments.iter().filter(|segment| matches!(segment, Segment::Fixed(_))).count();
        // At most 32 of them.
        let small = |count: usize| u8::try_from(count).unwrap_or(u8::MAX);
        Rank { class, fixed: small(fixed), segments: small(self.segments.len()), closed: self.kind != Kind::Rest, places }
    }

    /// Reads the segments behind the first `/`; says whether an open rest comes last.
    fn segments(path: &str, template: bool) -> Result<(Vec<Segment>, bool), InvalidPath> {
        let (mut segments, mut names) = (Vec::new(), Vec::new());
        let mut parts = path.split('/').peekable();
        while let Some(part) = parts.next() {
            let name = part.strip_prefix('{').and_then(|part| part.strip_suffix('}')).filter(|_| template);
            let Some(name) = name else {
                segments.push(Segment::Fixed(fixed(part)?.into()));
                continue;
            };
            let (name, rest) = name.strip_suffix("...").map_or((name, false), |name| (name, true));
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') || names.contains(&name) {
                return wrong("write a name of its own in each pair of braces, such as /carts/{id}/items/{item}");
            }
            names.push(name);
            match (rest, parts.peek()) {
                (true, Some(_)) => return wrong("let the open rest come last, such as /files/{rest...}"),
                (true, None) => return Ok((segments, true)),
                (false, _) => segments.push(Segment::Any),
            }
        }
        Ok((segments, false))
    }
}

fn wrong<T>(hint: impl Into<String>) -> Result<T, InvalidPath> {
    Err(InvalidPath(hint.into()))
}

/// Checks the text of a fixed segment.
fn fixed(part: &str) -> Result<&str, InvalidPath> {
    if part == "." || part == ".." {
        return wrong("leave out '.' and '..'; write the path they lead to");
    }
    if part.contains(['{', '}']) {
        return wrong("let a pair of braces be a whole segment, such as /carts/{id}");
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@".contains(&byte);
    match part.bytes().all(plain) {
        true => Ok(part),
        false => wrong("write letters, digits and -._~!$&'()*+,=:@ only; what needs an escape is matched by {name}"),
    }
}

impl FromStr for PathPattern {
    type Err = InvalidPath;

    fn from_str(text: &str) -> Result<Self, InvalidPath> {
        let (exact, path) = text.strip_prefix('=').map_or((false, text), |path| (true, path));
        let Some(path) = path.strip_prefix('/') else {
            return wrong(format!("begin with a '/': /{}", path.trim_start_matches('/')));
        };
        if !exact && path.is_empty() {
            return Ok(Self::everything());
        }
        let (segments, rest) = Self::segments(path, !exact)?;
        let template = rest || segments.contains(&Segment::Any);
        let kind = match (exact, rest, template) {
            (true, _, _) => Kind::Exact,
            (_, true, _) => Kind::Rest,
            (_, _, true) => Kind::Whole,
            _ => Kind::Prefix,
        };
        let is_empty = |segment: &Segment| matches!(segment, Segment::Fixed(text) if text.is_empty());
        let last = segments.len().saturating_sub(1);
        if segments.iter().take(last).any(is_empty) {
            return wrong("leave out the second of two slashes");
        }
        if kind != Kind::Exact && segments.last().is_some_and(is_empty) {
            return wrong(format!("leave out the last slash: {}", text.trim_end_matches('/')));
        }
        if segments.len() > MOST_SEGMENTS {
            return wrong(format!("write at most {MOST_SEGMENTS} segments"));
        }
        Ok(Self { kind, segments: segments.into() })
    }
}

impl fmt::Display for PathPattern {
    /// Writes the pattern with numbers for names.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind == Kind::Exact {
            f.write_str("=")?;
        }
        for (at, segment) in self.segments.iter().enumerate() {
            match segment {
                Segment::Fixed(text) => write!(f, "/{text}")?,
                Segment::Any => write!(f, "/{{{at}}}")?,
            }
        }
        match self.kind {
            Kind::Rest => f.write_str("/{rest...}"),
            _ if self.segments.is_empty() => f.write_str("/"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_read_and_written() {
        for text in ["/", "/carts", "=/health", "=/", "=/a/", "/carts/{1}/items", "/files/{rest...}", "/{0}/x/{rest...}", "/.well-known/x"]
        {
            assert_eq!(text.parse::<PathPattern>().unwrap().to_string(), text);
        }
        assert_eq!("/a/{x}".parse::<PathPattern>(), "/a/{y}".parse(), "names are for people");
        assert!("/".parse::<PathPattern>().unwrap().is_everything());
    }

    #[test]
    fn what_is_no_pattern_says_how_to_mend_it() {
        let long = "/a".repeat(33);
        for (text, hint) in [
            ("carts", "/carts"),
            ("", "begin with"),
            ("=", "begin with"),
            ("/carts/", "/carts"),
            ("/a//b", "two slashes"),
            ("/a/../b", "'..'"),
            ("/a%2fb", "escape"),
            ("/a;b", "escape"),
            ("/ä", "escape"),
            ("/a b", "escape"),
            ("/a?b", "escape"),
            ("/x{id}", "whole segment"),
            ("=/{id}", "whole segment"),
            ("/{}", "name of its own"),
            ("/{a}/{a}", "name of its own"),
            ("/{rest...}/x", "come last"),
            (long.as_str(), "32 segments"),
        ] {
            let error = text.parse::<PathPattern>().unwrap_err().to_string();
            assert!(error.contains(hint), "{text}: {error}");
        }
    }
}
