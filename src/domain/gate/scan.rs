//! Walks the text of a gate from left to right and says what is wrong with it, where, and how to mend it.
//!
//! It knows characters, words and figures; what they mean is the business of [`crate::domain::gate::language`].

/// The longest text of a gate, in characters.
const LONGEST: usize = 200;
/// How much of a text is repeated in an error, in characters.
const SHOWN: usize = 80;
/// How alike two words must be, from 0 to 1, for one to be offered in place of the other.
const ALIKE: f64 = 0.5;

/// Characters that look like those of a gate and are not.
const LOOK_ALIKES: [(&str, &str); 16] = [
    ("＜‹〈˂", "<"),
    ("≤⩽≦", "<="),
    ("＞›〉˃", ">"),
    ("≥⩾≧", ">="),
    ("％﹪٪", "%"),
    ("×✕∗⋅·＊", "*"),
    ("＋", "+"),
    ("−–—‐‑﹣－", "-"),
    ("＝", "="),
    ("（", "("),
    ("）", ")"),
    ("，、٫", ","),
    ("．。", "."),
    ("рρｐ", "p"),
    ("еｅ", "e"),
    ("ѕｓ", "s"),
];

/// The reason why a text is not a gate, with the place in it and the way out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}, at column {column}; {hint}", self.message())]
pub struct InvalidCriterion {
    text: String,
    column: usize,
    reason: String,
    hint: String,
}

impl InvalidCriterion {
    /// Returns what is wrong, naming the text, one sentence without a full stop.
    #[must_use]
    pub fn message(&self) -> String {
        format!("{:?} is not a gate: {}", self.text, self.reason)
    }

    /// Returns where in the text, counted from 1 in characters.
    #[must_use]
    pub const fn column(&self) -> usize {
        self.column
    }

    /// Returns how to mend it, one sentence without a full stop.
    #[must_use]
    pub fn hint(&self) -> &str {
        &self.hint
    }
}

/// A place in the text of a gate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scanner<'t> {
    text: &'t str,
    rest: &'t str,
}

impl<'t> Scanner<'t> {
    /// Begins at the start of a text.
    ///
    /// # Errors
    ///
    /// Fails when the text is empty, too long, or has a character that no gate has.
    pub(super) fn new(text: &'t str, examples: &str) -> Result<Self, InvalidCriterion> {
        let scanner = Self { text, rest: text };
        let length = text.chars().take(LONGEST + 1).count();
        if length > LONGEST {
            let reason = format!("it is longer than {LONGEST} characters");
            return Err(scanner.wrong(LONGEST + 1, reason, format!("write one gate; {examples}")));
        }
        for (index, c) in text.chars().enumerate() {
            if !(c.is_ascii_graphic() || c.is_ascii_whitespace() || matches!(c, 'µ' | 'μ')) {
                return Err(scanner.strange(index + 1, c));
            }
        }
        if text.trim().is_empty() {
            return Err(scanner.wrong(1, "it is empty", examples));
        }
        Ok(scanner)
    }

    fn strange(&self, column: usize, c: char) -> InvalidCriterion {
        let code = u32::from(c);
        let hint = match LOOK_ALIKES.iter().find(|(strange, _)| strange.contains(c)) {
            Some((_, plain)) => format!("write a plain '{plain}' in its place"),
            None if c == '∞' => "write a limit that a bad version can exceed".to_owned(),
            None if c.is_whitespace() => "write a plain blank in its place".to_owned(),
            None => match c.to_digit(10).or_else(|| full_width_digit(c)) {
                Some(digit) => format!("write a plain '{digit}' in its place"),
                None => "a gate has plain letters, digits and signs only".to_owned(),
            },
        };
        let shown = if c.is_control() { String::new() } else { format!("'{c}' ") };
        self.wrong(column, format!("the character {shown}(U+{code:04X}) does not belong in it"), hint)
    }

    /// Makes an error at a column.
    pub(super) fn wrong(&self, column: usize, reason: impl Into<String>, hint: impl Into<String>) -> InvalidCriterion {
        InvalidCriterion { text: shown(self.text), column, reason: reason.into(), hint: hint.into() }
    }

    /// Steps over blanks and returns the column of what follows.
    pub(super) fn column(&mut self) -> usize {
        self.rest = self.rest.trim_start();
        self.text.chars().count() - self.rest.chars().count() + 1
    }

    /// Returns everything that follows.
    pub(super) fn rest(&self) -> &'t str {
        self.rest.trim()
    }

    /// Returns everything before.
    pub(super) fn before(&self) -> &'t str {
        self.text.strip_suffix(self.rest).unwrap_or_default().trim()
    }

    /// Returns the next character that is no blank.
    pub(super) fn peek(&self) -> Option<char> {
        self.rest.trim_start().chars().next()
    }

    /// Steps over a character if it is the next one.
    pub(super) fn eat(&mut self, wanted: char) -> bool {
        let after = self.rest.trim_start().strip_prefix(wanted);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    /// Takes the characters that follow, without blanks before them, as long as they are of a kind.
    pub(super) fn take(&mut self, is_part: impl Fn(char) -> bool) -> &'t str {
        let from = self.rest.trim_start();
        let end = from.find(|c| !is_part(c)).unwrap_or(from.len());
        let (taken, rest) = from.split_at(end);
        self.rest = rest;
        taken
    }

    /// Takes a word: everything up to a blank, a bracket, a comma or a sign of comparison or arithmetic.
    pub(super) fn word(&mut self) -> &'t str {
        self.take(|c| !c.is_whitespace() && !"()<>=!~*+,".contains(c))
    }

    /// Reports anything that follows the end of the gate.
    ///
    /// # Errors
    ///
    /// Fails when something does.
    pub(super) fn end(mut self) -> Result<(), InvalidCriterion> {
        let column = self.column();
        let rest = self.rest();
        if rest.is_empty() {
            return Ok(());
        }
        let joined = ["and", "&&", ",", ";", "or", "||"].iter().any(|word| rest.to_ascii_lowercase().starts_with(word));
        let hint = if joined {
            "write each gate as an item of its own; all of them must hold".to_owned()
        } else {
            format!("leave it out: write '{}'", self.before())
        };
        Err(self.wrong(column, format!("'{}' follows where the gate should end", shown(rest)), hint))
    }
}

/// Returns the beginning of a text for an error message.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

/// Returns the known word that was probably meant.
pub(super) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let word: String = word.chars().take(SHOWN).collect::<String>().to_ascii_lowercase();
    let likeness = |known: &str| strsim::normalized_damerau_levenshtein(&word, known);
    let best = known.iter().copied().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(best) >= ALIKE).then_some(best)
}

fn full_width_digit(c: char) -> Option<u32> {
    u32::from(c).checked_sub(0xFF10).filter(|digit| *digit <= 9)
}
