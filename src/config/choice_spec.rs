//! What of a service's requests is not left to the draw, as written: forced versions, users that stay, mirrors.

use crate::formats::yaml::fields::Fields;
use crate::formats::yaml::place::{At, Place, Report};
use crate::formats::yaml::tree::Node;

/// Everything that is not left to the draw.
#[derive(Debug, Default)]
pub(super) struct ChoiceSpec {
    pub(super) force: Option<ForceSpec>,
    pub(super) sticky: Option<StickySpec>,
    pub(super) mirror: Option<MirrorSpec>,
    pub(super) idempotency_key: Option<At<String>>,
}

/// Who may force a version.
#[derive(Debug)]
pub(super) struct ForceSpec {
    pub(super) header: Option<At<String>>,
    pub(super) cookie: Option<At<String>>,
    pub(super) keys: KeysSpec,
}

/// How users stay.
#[derive(Debug)]
pub(super) struct StickySpec {
    pub(super) place: Place,
    pub(super) cookie: Option<At<String>>,
    pub(super) key: Option<At<String>>,
    pub(super) max_age: Option<At<String>>,
    pub(super) keys: KeysSpec,
}

/// What is mirrored.
#[derive(Debug)]
pub(super) struct MirrorSpec {
    pub(super) to: Option<At<String>>,
    pub(super) share: Option<At<String>>,
    pub(super) methods: Option<At<Vec<At<String>>>>,
    pub(super) most: Option<At<String>>,
    pub(super) deadline: Option<At<String>>,
    pub(super) bytes: Option<At<String>>,
}

/// The keys that sign.
#[derive(Debug)]
pub(super) struct KeysSpec {
    pub(super) place: Place,
    pub(super) keys: Vec<KeySpec>,
}

/// A key and the file with its secret.
#[derive(Debug)]
pub(super) struct KeySpec {
    pub(super) id: Option<At<String>>,
    pub(super) file: Option<At<String>>,
}

impl ChoiceSpec {
    /// Reads the keys of a service that concern it.
    pub(super) fn read(fields: &mut Fields<'_>, report: &Report<'_>) -> Self {
        Self {
            force: fields.get("force").and_then(|(node, path)| ForceSpec::read(node, path, report)),
            sticky: fields.get("sticky").and_then(|(node, path)| StickySpec::read(node, path, report)),
            mirror: fields.get("mirror").and_then(|(node, path)| MirrorSpec::read(node, path, report)),
            idempotency_key: fields.text("idempotency_key"),
        }
    }

    /// Iterates over the names of the files with keys.
    pub(super) fn key_files(&self) -> impl Iterator<Item = &At<String>> {
        let (force, sticky) = (self.force.as_ref().map(|force| &force.keys), self.sticky.as_ref().map(|sticky| &sticky.keys));
        force.into_iter().chain(sticky).flat_map(|keys| &keys.keys).filter_map(|key| key.file.as_ref())
    }
}

impl ForceSpec {
    fn read(node: &Node, path: String, report: &Report<'_>) -> Option<Self> {
        let mut fields = Fields::open(node, path, report)?;
        let spec = Self { header: fields.text("header"), cookie: fields.text("cookie"), keys: KeysSpec::read(&mut fields, report) };
        fields.close();
        Some(spec)
    }
}

impl StickySpec {
    fn read(node: &Node, path: String, report: &Report<'_>) -> Option<Self> {
        let mut fields = Fields::open(node, path, report)?;
        let spec = Self {
            place: fields.place().clone(),
            cookie: fields.text("cookie"),
            key: fields.text("key"),
            max_age: fields.text("max_age"),
            keys: KeysSpec::read(&mut fields, report),
        };
        fields.close();
        Some(spec)
    }
}

impl MirrorSpec {
    fn read(node: &Node, path: String, report: &Report<'_>) -> Option<Self> {
        let mut fields = Fields::open(node, path, report)?;
        let spec = Self {
            to: fields.text("to"),
            share: fields.text("share"),
            methods: fields.one_or_more("methods"),
            most: fields.text("most"),
            deadline: fields.text("deadline"),
            bytes: fields.text("bytes"),
        };
        fields.require("to", "write canary, or the name of one of the 'others'");
        fields.close();
        Some(spec)
    }
}

impl KeysSpec {
    fn read(fields: &mut Fields<'_>, report: &Report<'_>) -> Self {
        let written = fields.list("keys");
        fields.require("keys", "write - {id: key-1, file: key-1.secret}");
        let place = written.as_ref().map_or_else(|| fields.place().clone(), |list| list.place.clone());
        let items = written.map_or_else(Vec::new, |list| list.value);
        Self { place, keys: items.into_iter().filter_map(|(node, path)| KeySpec::read(node, path, report)).collect() }
    }
}

impl KeySpec {
    fn read(node: &Node, path: String, report: &Report<'_>) -> Option<Self> {
        let mut fields = Fields::open(node, path, report)?;
        let spec = Self { id: fields.text("id"), file: fields.text("file") };
        fields.require("id", "give the key a name, such as key-1");
        fields.require("file", "name a file with at least 32 random bytes: head -c 32 /dev/urandom > key-1.secret");
        fields.close();
        Some(spec)
    }
}
