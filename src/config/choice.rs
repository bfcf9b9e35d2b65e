//! Compiles what of a service's requests is not left to the draw; secrets come from files alone.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Method};

use crate::config::choice_spec::{ChoiceSpec, ForceSpec, KeysSpec, MirrorSpec, StickySpec};
use crate::config::{routes, values};
use crate::domain::version::{Name, Version};
use crate::domain::weight::Weight;
use crate::formats::yaml::place::{At, Place, Report};
use crate::formats::yaml::quantities;
use crate::seam::choice::{By, Choice, Flights, Force, Mirror, MirrorTo, Sticky};
use crate::seam::keys::{Keys, LEAST_KEY};

/// The field that carries a token where nothing is written.
const HEADER: &str = "x-portcullis-version";
/// The longest secret in bytes; nobody writes one by hand.
const LONGEST_KEY: u64 = 4096;
/// How long a client keeps a cookie where nothing is written.
const MAX_AGE: Duration = Duration::from_secs(24 * 3600);
/// The longest a client may keep it.
const LONGEST_AGE: Duration = Duration::from_secs(400 * 24 * 3600);
/// The share of requests that is copied where nothing is written.
const SHARE: u16 = 1_000;
/// How many copies may be in flight where nothing is written.
const MOST: u16 = 64;
/// The most copies that may ever be in flight.
const MOST_EVER: u16 = 10_000;
/// How long a copy may take where nothing is written.
const DEADLINE: Duration = Duration::from_secs(5);
/// The longest body that is copied where nothing is written.
const BYTES: usize = 64 << 10;
/// The longest body that can be copied, or kept to be sent again.
const MOST_BYTES: usize = 1 << 20;

/// Compiles it; `None` where everything is left to the draw. `base` is the folder of the file.
pub(super) fn compile(spec: &ChoiceSpec, others: &[Version], base: &Path, report: &Report<'_>) -> Option<Choice> {
    let choice = Choice {
        force: spec.force.as_ref().and_then(|force| compile_force(force, base, report)),
        sticky: spec.sticky.as_ref().and_then(|sticky| compile_sticky(sticky, base, report)),
        mirror: spec.mirror.as_ref().and_then(|mirror| compile_mirror(mirror, others, report)),
        repeat: spec.idempotency_key.as_ref().filter(|text| text.value != "off").and_then(|text| values::bytes(text, MOST_BYTES, report)),
        others: others.iter().cloned().map(Arc::new).collect::<Vec<_>>().into(),
    };
    if let (Some(Force { cookie: Some(one), .. }), Some(Sticky { by: By::OwnCookie { name, .. } | By::Cookie(name), .. })) =
        (&choice.force, &choice.sticky)
        && one == name
        && let Some(spec) = &spec.sticky
    {
        report.error(
            &spec.place,
            format!("the cookie {name:?} already carries the token of 'force'"),
            "give each cookie a name of its own",
        );
    }
    (choice != Choice::default()).then_some(choice)
}

fn compile_force(spec: &ForceSpec, base: &Path, report: &Report<'_>) -> Option<Force> {
    let header = match (&spec.header, &spec.cookie) {
        (Some(text), _) if text.value.eq_ignore_ascii_case(HEADER) => Some(HeaderName::from_static(HEADER)),
        (Some(text), _) => Some(values::field(text, &text.value, report)?),
        (None, Some(_)) => None,
        (None, None) => Some(HeaderName::from_static(HEADER)),
    };
    let cookie = match &spec.cookie {
        Some(text) => Some(cookie(text, &text.value, report)?),
        None => None,
    };
    Some(Force { header, cookie, keys: compile_keys(&spec.keys, base, report)? })
}

fn compile_sticky(spec: &StickySpec, base: &Path, report: &Report<'_>) -> Option<Sticky> {
    let keys = compile_keys(&spec.keys, base, report);
    let age = match &spec.max_age {
        Some(text) => quantities::duration(text, Duration::from_secs(60)..=LONGEST_AGE, report)?,
        None => MAX_AGE,
    };
    let by = match (&spec.cookie, &spec.key) {
        (Some(text), None) => By::OwnCookie { name: cookie(text, &text.value, report)?, age },
        (None, Some(text)) => {
            if let Some(age) = &spec.max_age {
                report.error(&age.place, "max_age is for a cookie that is set here, and a key sets none", "leave max_age out");
            }
            key(text, report)?
        }
        _ => {
            let hint = "write either 'cookie', the name of a cookie to set, or 'key': header NAME, cookie NAME or client address";
            report.error(&spec.place, "a user stays by one thing, a cookie or a key", hint);
            return None;
        }
    };
    Some(Sticky { by, keys: keys? })
}

/// Reads `header NAME`, `cookie NAME` or `client address`.
fn key(text: &At<String>, report: &Report<'_>) -> Option<By> {
    let words: Vec<&str> = text.value.split_whitespace().collect();
    match words.as_slice() {
        ["header", name] => values::field(text, name, report).map(By::Header),
        ["cookie", name] => cookie(text, name, report).map(By::Cookie),
        ["client", "address"] => Some(By::Client),
        _ => {
            let hint = "write header NAME, cookie NAME or client address";
            report.error(&text.place, format!("{:?} is not what a user is known by", text.value), hint);
            None
        }
    }
}

fn cookie(text: &At<String>, name: &str, report: &Report<'_>) -> Option<String> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !name.is_empty() && name.len() <= 64 && name.bytes().all(token) {
        return Some(name.to_owned());
    }
    report.error(&text.place, format!("{name:?} is not the name of a cookie"), "write at most 64 letters, digits, '-' or '_'");
    None
}

fn compile_mirror(spec: &MirrorSpec, others: &[Version], report: &Report<'_>) -> Option<Mirror> {
    let to = spec.to.as_ref()?;
    let to = match to.value.as_str() {
        "canary" => MirrorTo::Canary,
        name => match others.iter().find(|version| version.name.as_str() == name) {
            Some(version) => MirrorTo::Other(version.name.clone()),
            None => {
                let hint = "write canary, or name the version with its endpoints among 'others'";
                report.error(&to.place, format!("nothing can be mirrored to {name:?}"), hint);
                return None;
            }
        },
    };
    let share = match &spec.share {
        Some(text) => quantities::weight(text, report),
        None => Weight::from_basis_points(SHARE).ok(),
    };
    let methods: Option<Vec<Method>> = match &spec.methods {
        Some(list) => list.value.iter().map(|text| copied(text, report)).collect(),
        None => Some(vec![Method::GET, Method::HEAD]),
    };
    let most = spec.most.as_ref().map_or(Some(MOST), |text| quantities::whole(text, 1..=MOST_EVER, report));
    let deadline = match &spec.deadline {
        Some(text) => quantities::duration(text, Duration::from_millis(1)..=values::LONGEST, report),
        None => Some(DEADLINE),
    };
    let bytes = spec.bytes.as_ref().map_or(Some(BYTES), |text| values::bytes(text, MOST_BYTES, report));
    let (share, methods, most) = (share?, methods?, usize::from(most?));
    Some(Mirror { to, share, methods, most, deadline: deadline?, bytes: bytes?, flights: Flights::default() })
}

/// Reads a method whose requests are copied.
fn copied(text: &At<String>, report: &Report<'_>) -> Option<Method> {
    let method = routes::method(text, report)?;
    if !method.is_safe() {
        let message = format!("a copy of {method} does a second time what the request does");
        report.note(&text.place, message, "mirror such methods only to a version with data of its own");
    }
    Some(method)
}

/// Reads the secrets of keys and makes them usable.
pub(super) fn compile_keys(spec: &KeysSpec, base: &Path, report: &Report<'_>) -> Option<Keys> {
    if spec.keys.is_empty() {
        if !report.has_errors() {
            report.error(&spec.place, "there is no key, so nothing could be signed", "write - {id: key-1, file: key-1.secret}");
        }
        return None;
    }
    let mut secrets: Vec<(Name, Vec<u8>)> = Vec::new();
    for key in &spec.keys {
        let (id, file) = (key.id.as_ref()?, key.file.as_ref()?);
        let name = values::parsed::<Name>(id, "write for example key-1", report)?;
        if secrets.iter().any(|(known, _)| *known == name) {
            report.error(&id.place, format!("the key {name:?} occurs twice", name = name.as_str()), "give each key a name of its own");
        }
        secrets.push((name, secret(file, base, report)?));
    }
    Keys::new(secrets).ok()
}

/// Reads a secret: the content of its file without a line end behind it.
fn secret(file: &At<String>, base: &Path, report: &Report<'_>) -> Option<Vec<u8>> {
    let (path, place): (_, &Place) = (values::located(file, base), &file.place);
    let made = "make one with: head -c 32 /dev/urandom > key-1.secret; chmod 600 key-1.secret";
    let metadata = match fs::metadata(&path) {
        Ok(metadata) if metadata.is_file() && metadata.len() <= LONGEST_KEY => metadata,
        Ok(_) => {
            report.error(place, format!("{} is not a file with a key of at most {LONGEST_KEY} bytes", path.display()), made);
            return None;
        }
        Err(error) => {
            report.error(place, format!("the key {} cannot be read: {error}", path.display()), made);
            return None;
        }
    };
    if metadata.permissions().mode() & 0o077 != 0 {
        let message = format!("others than its owner may read the key {}, and whoever reads it can force versions", path.display());
        report.note(place, message, format!("chmod 600 {}", path.display()));
    }
    let mut secret =
        fs::read(&path).map_err(|error| report.error(place, format!("the key {} cannot be read: {error}", path.display()), made)).ok()?;
    // Of random bytes the last may look like a line end.
    if secret.ends_with(b"\n") && secret.len() > LEAST_KEY {
        secret.pop();
    }
    if secret.len() < LEAST_KEY {
        report.error(place, format!("the key {} has {} bytes, and a key has at least {LEAST_KEY}", path.display(), secret.len()), made);
        return None;
    }
    Some(secret)
}
