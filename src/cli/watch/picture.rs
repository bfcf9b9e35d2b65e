//! Shows the moments of a rollout: a picture that is redrawn in place on a terminal, else plain lines.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::figures::harmless;
use crate::cli::watch::lines::wrapped;

/// How often a plain line is written while nothing changes.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// What shows a rollout.
pub struct Picture {
    drawn: Option<Drawn>,
    colour: bool,
    /// When the last plain line was written, and what it told of where things stand.
    told: Option<(Instant, String)>,
}

struct Drawn {
    all: MultiProgress,
    style: ProgressStyle,
    lines: Vec<ProgressBar>,
}

impl Picture {
    /// Begins; it is redrawn where the standard output is a terminal that can move its cursor.
    pub fn begin() -> Self {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let draws = std::io::stdout().is_terminal() && set("TERM").is_some_and(|term| term != "dumb");
        let drawn = draws.then(|| Drawn {
            all: MultiProgress::with_draw_target(ProgressDrawTarget::stdout_with_hz(15)),
            // The template is a constant; the default style would still show the message.
            style: ProgressStyle::with_template("{wide_msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()),
            lines: Vec::new(),
        });
        Self { colour: draws && set("NO_COLOR").is_none(), drawn, told: None }
    }

    /// Whether colours may be used: on a terminal, unless `NO_COLOR` is set.
    pub const fn has_colour(&self) -> bool {
        self.colour
    }

    /// Returns how many characters a line has: those of the terminal, and 80 where it does not say.
    pub fn width(&self) -> usize {
        const USUAL: usize = 80;
        let size = self.drawn.as_ref().and_then(|_| rustix::termios::tcgetwinsize(std::io::stdout()).ok());
        size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0).unwrap_or(USUAL)
    }

    /// Tells what stays.
    ///
    /// # Errors
    ///
    /// The output is gone.
    pub fn say(&self, text: &str) -> std::io::Result<()> {
        let text = harmless(text);
        match &self.drawn {
            Some(drawn) => wrapped(&text, self.width(), 2).iter().try_for_each(|line| drawn.all.println(line)),
            None => writeln!(std::io::stdout().lock(), "{text}"),
        }
    }

    /// Shows a moment: `lines` on a terminal, else `line` where `stand` is another than before, or now and then.
    ///
    /// # Errors
    ///
    /// The output is gone.
    pub fn show(&mut self, lines: Vec<String>, stand: &str, line: &str) -> std::io::Result<()> {
        let Some(drawn) = &mut self.drawn else {
            let due = self.told.as_ref().is_none_or(|(at, told)| told != stand || at.elapsed() >= LINE_EVERY);
            if due {
                self.told = Some((Instant::now(), stand.to_owned()));
                return self.say(line);
            }
            return Ok(());
        };
        while drawn.lines.len() < lines.len() {
            drawn.lines.push(drawn.all.add(ProgressBar::new_spinner().with_style(drawn.style.clone())));
        }
        for (bar, text) in drawn.lines.iter().zip(lines.into_iter().chain(std::iter::repeat(String::new()))) {
            bar.set_message(text);
            bar.tick();
        }
        Ok(())
    }

    /// Leaves the last picture where it is.
    pub fn end(&self) {
        if let Some(drawn) = &self.drawn {
            drawn.lines.iter().for_each(ProgressBar::abandon);
        }
    }
}
