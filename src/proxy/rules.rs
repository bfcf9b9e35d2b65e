//! What the data plane works by: the settings and what is derived from them, replaced as a whole while connections are open.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::proxy::sanitise::Policy;
use crate::proxy::settings::Settings;

/// Where the settings in force are found. The composition root writes it, workers look at it on their ticks.
pub type SettingsSlot = Arc<ArcSwap<Settings>>;

/// What a connection works by from its first byte to its end.
pub struct Rules {
    /// The settings.
    pub settings: Arc<Settings>,
    /// What the sanitiser needs of them.
    pub policy: Policy,
}

impl Rules {
    /// Derives what is derived from the settings.
    #[must_use]
    pub fn new(settings: Arc<Settings>) -> Self {
        Self { policy: Policy::new(settings.strict, &settings.pseudonym), settings }
    }
}
