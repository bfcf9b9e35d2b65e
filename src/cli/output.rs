//! How the answer of a reading command is written: as a table for people, or as JSON for programs.

/// A way to write an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs: the proxy's own words.
    Json,
}

/// How the answer is written.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct Output {
    /// How the answer is written.
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = Format::Table)]
    pub output: Format,
    /// The same as --output json.
    #[arg(long, conflicts_with = "output")]
    pub json: bool,
}

impl Output {
    /// Whether programs are to read it.
    #[must_use]
    pub const fn is_json(self) -> bool {
        self.json || matches!(self.output, Format::Json)
    }
}
