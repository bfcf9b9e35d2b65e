//! One case: what a client sends, what it waits for in between, and how that may end.

use super::ends::Ends;

/// What is waited for in the middle of a case.
#[derive(Clone, Copy, Debug)]
pub enum Awaited {
    /// The acknowledgement of SETTINGS.
    Acknowledged,
    /// DATA.
    Data,
    /// The end of the answer.
    AnswerEnds,
}

/// One step of a case.
#[derive(Clone, Debug)]
pub enum Step {
    /// These bytes are sent at once.
    Send(Vec<u8>),
    /// Nothing is sent before this has come.
    Await(Awaited),
}

/// One case.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name: group, section, number.
    pub id: String,
    /// What it is about.
    pub title: String,
    /// How it may end.
    pub ends: Ends,
    /// Whether it stands for a recommendation, and counts in strict mode alone.
    pub strict: bool,
    /// Whether the prefaces are exchanged before the first step.
    pub greets: bool,
    /// What happens.
    pub steps: Vec<Step>,
}

/// A case that sends bytes after the prefaces.
pub fn case(title: impl Into<String>, ends: Ends, bytes: impl Into<Vec<u8>>) -> Case {
    Case { id: String::new(), title: title.into(), ends, strict: false, greets: true, steps: vec![Step::Send(bytes.into())] }
}

impl Case {
    /// Waits for something and then sends more.
    pub fn then(mut self, awaited: Awaited, bytes: impl Into<Vec<u8>>) -> Self {
        self.steps.extend([Step::Await(awaited), Step::Send(bytes.into())]);
        self
    }

    /// Sends the bytes as the first of the connection.
    pub fn bare(mut self) -> Self {
        self.greets = false;
        self
    }

    /// Counts in strict mode alone.
    pub fn strict(mut self) -> Self {
        self.strict = true;
        self
    }
}

/// Numbers the cases of a section.
pub fn section(name: &str, cases: impl IntoIterator<Item = Case>) -> Vec<Case> {
    cases.into_iter().enumerate().map(|(index, case)| Case { id: format!("{name}/{}", index + 1), ..case }).collect()
}
