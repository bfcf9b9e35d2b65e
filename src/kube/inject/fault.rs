//! What is wrong with, or worth knowing about, a pod: where, what, and how to mend it.

/// One fault or remark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The path in the object, such as `spec.template.spec.containers[0].name`.
    pub path: String,
    /// What there is to say, one sentence without a full stop.
    pub message: String,
    /// How to mend it, one sentence without a full stop.
    pub hint: String,
}

impl Fault {
    /// Makes one.
    pub fn new(path: impl Into<String>, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into(), hint: hint.into() }
    }
}

/// Returns the path of a key below a path.
#[must_use]
pub fn child(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Shows a text of somebody else's, cut short.
#[must_use]
pub fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(80).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("{short:?}")
}

/// Returns the known word that was probably meant.
#[must_use]
pub fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    // Comparing takes as long as both are long; no word of ours is that long.
    if word.len() > 100 {
        return None;
    }
    let likeness = |key: &str| strsim::normalized_damerau_levenshtein(&word.to_lowercase(), key);
    let best = known.iter().copied().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(best) >= 0.6).then_some(best)
}
