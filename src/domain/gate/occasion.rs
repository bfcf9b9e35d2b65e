//! What an evaluation is about, and how its names and its length take the place of the placeholders in a query.
//!
//! Strictly a placeholder is a whole word, one without a value is an error before anything is asked, and a value cannot
//! change the query it is put into. keptn replaced text by text; [`Occasion::as_keptn_04`] and [`Occasion::as_keptn_05`] do.

use std::collections::BTreeMap;

/// What an evaluation is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Occasion {
    /// The project.
    pub project: Option<String>,
    /// The stage.
    pub stage: Option<String>,
    /// The service.
    pub service: Option<String>,
    /// The deployment, such as `canary`.
    pub deployment: Option<String>,
    /// The test strategy, such as `performance`.
    pub test_strategy: Option<String>,
    /// The `shkeptncontext` of the run.
    pub context: Option<String>,
    /// Labels of the run.
    pub labels: BTreeMap<String, String>,
    /// The length of the window in seconds, rounded up; at least 1.
    pub seconds: u64,
}

/// Whose placeholders a text has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// A perfspec of keptn 0.2 to 0.4: `$ENVIRONMENT` is `{project}-{stage}`.
    Perfspec,
    /// The pair of keptn 0.5: `$ENVIRONMENT` is `{stage}`.
    Pair,
    /// An `sli.yaml` for Prometheus.
    Prometheus,
    /// An `sli.yaml` for Dynatrace.
    Dynatrace,
}

/// Why a placeholder cannot be replaced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// There is no such placeholder.
    #[error("nothing replaces the placeholder ${0}")]
    Unknown(String),
    /// Nothing is known that it stands for.
    #[error("the placeholder ${0} has no value")]
    Missing(String),
    /// What it stands for would change the query.
    #[error("the value {value:?} of the placeholder ${word} would change the query")]
    Odd {
        /// The placeholder.
        word: String,
        /// Its value.
        value: String,
    },
}

impl Unresolved {
    /// Says how to mend it, one sentence without a full stop.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Unknown(_) => "write a placeholder the format knows, as a whole word".to_owned(),
            Self::Missing(word) => match word.as_str() {
                "ENVIRONMENT" => "give --project and --stage".to_owned(),
                "PROJECT" | "STAGE" | "SERVICE" | "DEPLOYMENT" => format!("give --{}", word.to_ascii_lowercase()),
                _ => word.strip_prefix("LABEL.").map_or_else(
                    || "leave it out of the query; nothing says what it stands for here".to_owned(),
                    |label| format!("give --label {label}=…"),
                ),
            },
            Self::Odd { .. } => "use letters, digits and _ - . : / @ + only".to_owned(),
        }
    }
}

impl Occasion {
    /// Replaces the placeholders of a text strictly; `filters` are those of an `slo.yaml`.
    ///
    /// # Errors
    ///
    /// Fails at the first placeholder that is unknown, has no value, or one that would change the query.
    pub fn resolve(&self, text: &str, dialect: Dialect, filters: &[(String, String)]) -> Result<String, Unresolved> {
        let mut resolved = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            resolved.push_str(before);
            let word = self.word(after, dialect);
            rest = after;
            if !word.starts_with(|c: char| c.is_ascii_alphabetic()) {
                resolved.push('$');
                continue;
            }
            rest = after.get(word.len()..).unwrap_or_default();
            match dialect {
                Dialect::Perfspec | Dialect::Pair => {
                    resolved.push_str(&self.of_perfspec(word, rest, dialect)?);
                    // The pair of keptn 0.5 read `$DURATIONm` and `$DURATIONs` as `$DURATION`.
                    rest = if word == "DURATION" { rest.strip_prefix(['m', 's']).unwrap_or(rest) } else { rest };
                }
                Dialect::Prometheus | Dialect::Dynatrace => resolved.push_str(&self.of_sli(word, dialect, filters)?),
            }
        }
        resolved.push_str(rest);
        Ok(resolved)
    }

    /// Returns the word a text begins with: capitals in a perfspec, where `$DURATION_MINUTESm` has a unit behind it.
    fn word<'t>(&self, text: &'t str, dialect: Dialect) -> &'t str {
        let leading = |text: &'t str, part: fn(char) -> bool| {
            let end = text.find(|c| !part(c)).unwrap_or(text.len());
            text.get(..end).unwrap_or_default()
        };
        if matches!(dialect, Dialect::Perfspec | Dialect::Pair) {
            return leading(text, |c| c.is_ascii_uppercase() || c == '_');
        }
        let word = leading(text, is_word);
        let Some(key) = text.get(word.len()..).and_then(|rest| rest.strip_prefix('.')).filter(|_| word == "LABEL" || word == "ENV") else {
            return word;
        };
        // The key of a label may hold anything; of several that fit the longest is meant.
        let fits = |known: &&String| key.strip_prefix(known.as_str()).is_some_and(|rest| !rest.starts_with(is_word));
        let known = self.labels.keys().filter(fits).map(String::len).max().filter(|_| word == "LABEL");
        let length = word.len() + 1 + known.unwrap_or_else(|| leading(key, is_word).len());
        text.get(..length).unwrap_or(word)
    }

    fn of_perfspec(&self, word: &str, rest: &str, dialect: Dialect) -> Result<String, Unresolved> {
        let follows = |rest: &str| rest.starts_with(|c: char| c.is_ascii_alphanumeric());
        match word {
            "ENVIRONMENT" if !follows(rest) => {
                let stage = named(word, self.stage.as_ref())?;
                if dialect == Dialect::Pair {
                    return Ok(stage);
                }
                Ok(format!("{}-{stage}", named(word, self.project.as_ref())?))
            }
            "DURATION_MINUTES" => Ok(self.seconds.div_ceil(60).max(1).to_string()),
            "DURATION" if !follows(rest.strip_prefix(['m', 's']).unwrap_or(rest)) => Ok(format!("{}s", self.seconds.max(1))),
            _ => Err(Unresolved::Unknown(format!("{word}{}", rest.chars().take_while(char::is_ascii_alphanumeric).collect::<String>()))),
        }
    }

    fn of_sli(&self, word: &str, dialect: Dialect, filters: &[(String, String)]) -> Result<String, Unresolved> {
        if let Some((_, value)) = filters.iter().find(|(key, _)| key == word || key.to_uppercase() == word) {
            return Ok(value.trim_matches(['\'', '"']).to_owned());
        }
        if let Some(label) = word.strip_prefix("LABEL.") {
            return named(word, self.labels.get(label));
        }
        let value = match (word, dialect) {
            ("PROJECT", _) => &self.project,
            ("STAGE", _) => &self.stage,
            ("SERVICE", _) => &self.service,
            ("DEPLOYMENT", _) => &self.deployment,
            ("DURATION_SECONDS", Dialect::Prometheus) => return Ok(format!("{}s", self.seconds.max(1))),
            ("TESTSTRATEGY", Dialect::Dynatrace) => &self.test_strategy,
            ("CONTEXT", Dialect::Dynatrace) => &self.context,
            // The event that asked and the environment of the program are nobody's business at the source.
            _ => return Err(Unresolved::Unknown(word.to_owned())),
        };
        named(word, value.as_ref())
    }

    /// Replaces the placeholders of a perfspec as keptn 0.4 did, over its whole text.
    #[must_use]
    pub fn as_keptn_04(&self, text: &str) -> String {
        let text = text.replace("$ENVIRONMENT", &format!("{}-{}", known(self.project.as_ref()), known(self.stage.as_ref())));
        let minutes = if self.seconds == 0 { 3 } else { self.seconds.div_ceil(60) };
        text.replace("$DURATION_MINUTES", &minutes.to_string())
    }

    /// Replaces the placeholders of the pair as keptn 0.5 did, over the whole text.
    #[must_use]
    pub fn as_keptn_05(&self, text: &str) -> String {
        let text = text.replace("$DURATIONm", "$DURATION").replace("$DURATIONs", "$DURATION");
        let seconds = if self.seconds == 0 { 10 } else { self.seconds };
        text.replace("$ENVIRONMENT", known(self.stage.as_ref())).replace("$DURATION", &format!("{seconds}s"))
    }
}

const fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn known(value: Option<&String>) -> &str {
    value.map_or("", String::as_str)
}

/// Returns the value of a placeholder, once it is sure that it stays a name within a query.
fn named(word: &str, value: Option<&String>) -> Result<String, Unresolved> {
    let value = value.filter(|value| !value.is_empty()).ok_or_else(|| Unresolved::Missing(word.to_owned()))?;
    if value.chars().all(|c| c.is_alphanumeric() || "_-.:/@+".contains(c)) {
        Ok(value.clone())
    } else {
        Err(Unresolved::Odd { word: word.to_owned(), value: value.chars().take(80).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carts() -> Occasion {
        Occasion {
            project: Some("sockshop".to_owned()),
            stage: Some("staging".to_owned()),
            service: Some("carts".to_owned()),
            deployment: Some("canary".to_owned()),
            labels: [("build", "7"), ("build-id", "8")].map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            seconds: 125,
            ..Occasion::default()
        }
    }

    fn strictly(text: &str, dialect: Dialect) -> Result<String, Unresolved> {
        carts().resolve(text, dialect, &[("handler".to_owned(), "'Items'".to_owned())])
    }

    #[test]
    fn placeholders_of_each_format_are_replaced() {
        for (dialect, text, resolved) in [
            (Dialect::Perfspec, "rate(x{job='carts-$ENVIRONMENT'}[$DURATION_MINUTESm])", "rate(x{job='carts-sockshop-staging'}[3m])"),
            (Dialect::Perfspec, "[$DURATION] [$DURATIONm] [$DURATIONs] $", "[125s] [125s] [125s] $"),
            (Dialect::Pair, "carts-sockshop-$ENVIRONMENT'}[$DURATION]", "carts-sockshop-staging'}[125s]"),
            (Dialect::Prometheus, "$SERVICE-$PROJECT-$STAGE-$DEPLOYMENT[$DURATION_SECONDS]", "carts-sockshop-staging-canary[125s]"),
            (Dialect::Prometheus, "$HANDLER $handler =~\"x$\" $1 $LABEL.build-id $LABEL.build.", "Items Items =~\"x$\" $1 8 7."),
            (Dialect::Dynatrace, "tag(keptn_service:$SERVICE),tag(a:$LABEL.build)", "tag(keptn_service:carts),tag(a:7)"),
        ] {
            assert_eq!(strictly(text, dialect).as_deref(), Ok(resolved), "{text}");
        }
    }

    #[test]
    fn g28_and_g29_what_is_unknown_or_part_of_a_longer_word_is_an_error() {
        for (dialect, text, word) in [
            (Dialect::Perfspec, "$SERVICE", "SERVICE"),
            (Dialect::Perfspec, "$ENVIRONMENTx", "ENVIRONMENTx"),
            (Dialect::Perfspec, "$ENVIRONMENT_ID", "ENVIRONMENT_ID"),
            (Dialect::Perfspec, "$DURATIONmin", "DURATIONmin"),
            (Dialect::Prometheus, "$SERVICEX", "SERVICEX"),
            (Dialect::Prometheus, "$DURATION_SECONDSs", "DURATION_SECONDSs"),
            (Dialect::Prometheus, "$TESTSTRATEGY", "TESTSTRATEGY"),
            (Dialect::Dynatrace, "$DURATION_SECONDS", "DURATION_SECONDS"),
            (Dialect::Dynatrace, "$ENV.HOME", "ENV.HOME"),
        ] {
            assert_eq!(strictly(text, dialect), Err(Unresolved::Unknown(word.to_owned())), "{text}");
        }
        for (dialect, text, hint) in
            [(Dialect::Dynatrace, "$CONTEXT", "leave it out"), (Dialect::Prometheus, "$LABEL.owner", "--label owner=…")]
        {
            assert!(strictly(text, dialect).unwrap_err().hint().contains(hint), "{text}");
        }
        let nothing = Occasion::default().resolve("$ENVIRONMENT", Dialect::Perfspec, &[]).unwrap_err();
        assert_eq!(
            (nothing.to_string(), nothing.hint()),
            ("the placeholder $ENVIRONMENT has no value".into(), "give --project and --stage".into())
        );
    }

    #[test]
    fn a_name_cannot_change_the_query_it_is_put_into() {
        for odd in ["x'} or vector(0) #", "a)", "a,b", "a b", "a\"", "a\\", "a\n", "a$PROJECT"] {
            let occasion = Occasion { service: Some(odd.to_owned()), ..carts() };
            for dialect in [Dialect::Prometheus, Dialect::Dynatrace] {
                assert!(matches!(occasion.resolve("$SERVICE", dialect, &[]), Err(Unresolved::Odd { .. })), "{odd}");
            }
        }
    }

    #[test]
    fn keptn_replaced_text_by_text() {
        assert_eq!(carts().as_keptn_04("$ENVIRONMENTX $DURATION_MINUTESm $DURATION"), "sockshop-stagingX 3m $DURATION");
        assert_eq!(carts().as_keptn_05("$ENVIRONMENT $DURATIONm $DURATION_MINUTES"), "staging 125s 125s_MINUTES");
        let unknown = Occasion { seconds: 0, ..carts() };
        assert_eq!((unknown.as_keptn_04("$DURATION_MINUTES"), unknown.as_keptn_05("$DURATION")), ("3".into(), "10s".into()));
    }
}
