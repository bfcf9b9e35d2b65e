//! How much of what is cheap a client may send.

/// What a client sent too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flood {
    /// PING (CVE-2019-9512).
    Ping,
    /// SETTINGS (CVE-2019-9515).
    Settings,
    /// DATA without data (CVE-2019-9518).
    EmptyData,
    /// PRIORITY (CVE-2019-9513).
    Priority,
    /// WINDOW_UPDATE of a few bytes (CVE-2019-9511).
    Window,
    /// RST_STREAM (CVE-2023-44487).
    Reset,
    /// CONTINUATION within one header block (CVE-2024-27316).
    Continuation,
    /// Frames of unknown kinds.
    Unknown,
    /// Heads with more fields than a request may have: each is refused, but until then it takes the memory of its fields, which may
    /// be a hundred times what was sent (CVE-2026-49975).
    Fields,
}

impl Flood {
    /// Every kind, in the order of its index.
    pub const ALL: [Self; 9] = [
        Self::Ping,
        Self::Settings,
        Self::EmptyData,
        Self::Priority,
        Self::Window,
        Self::Reset,
        Self::Continuation,
        Self::Unknown,
        Self::Fields,
    ];

    /// Returns the position in [`Flood::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Returns the label used in metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Settings => "settings",
            Self::EmptyData => "empty_data",
            Self::Priority => "priority",
            Self::Window => "window_update",
            Self::Reset => "rst_stream",
            Self::Continuation => "continuation",
            Self::Unknown => "unknown",
            Self::Fields => "fields",
        }
    }

    /// How many of them a connection may have sent at its start; two seconds give back a tenth.
    #[must_use]
    pub const fn burst(self) -> u32 {
        match self {
            Self::Settings | Self::EmptyData | Self::Unknown => 100,
            Self::Priority | Self::Reset => 200,
            Self::Ping | Self::Window => 1000,
            Self::Continuation => 20,
            Self::Fields => 10,
        }
    }
}

/// What a connection has sent of each cheap kind.
#[derive(Debug)]
pub struct Budget {
    /// How often each kind was sent beyond what was given back.
    spent: [u32; Flood::ALL.len()],
    /// In which of the patrol's rounds something was last given back.
    refilled: u32,
}

impl Budget {
    /// Begins with everything to spend, in this round of the patrol.
    pub const fn new(round: u32) -> Self {
        Self { spent: [0; Flood::ALL.len()], refilled: round }
    }

    /// A request or a piece of a body pays for what usually goes with it.
    pub fn earn(&mut self) {
        for flood in [Flood::Ping, Flood::Priority, Flood::Window, Flood::Reset, Flood::Unknown] {
            self.spare(flood, 2);
        }
    }

    pub fn spend(&mut self, flood: Flood) -> Result<(), Flood> {
        let Some(spent) = self.spent.get_mut(flood.index()) else { return Ok(()) };
        *spent += 1;
        if *spent > flood.burst() { Err(flood) } else { Ok(()) }
    }

    pub fn spare(&mut self, flood: Flood, count: u32) {
        if let Some(spent) = self.spent.get_mut(flood.index()) {
            *spent = spent.saturating_sub(count);
        }
    }

    /// Gives back what time gives back: a twentieth of each budget per second, in whole seconds.
    pub fn refill(&mut self, round: u32) {
        let seconds = round.wrapping_sub(self.refilled) / 10;
        if seconds > 0 {
            self.refilled = round;
            for flood in Flood::ALL {
                if flood != Flood::Continuation {
                    self.spare(flood, seconds.saturating_mul(flood.burst().div_ceil(20)));
                }
            }
        }
    }
}
