//! What an operator wants that waits for others: written down before they answer, so that whatever becomes of the process, the journal
//! tells that it was asked for, and by whom.

use crate::control::service::Service;
use crate::control::shell::Shell;
use crate::domain::rollout::{Rollout, ServiceState};

impl Service {
    /// Returns the operator's wish that waits for others, as it is kept.
    pub(super) fn wish(&self) -> Option<String> {
        self.rollout().and_then(Rollout::wish).map(|(_, wish)| wish)
    }

    /// Writes that an operator's wish waits for others, where one does. It changes nothing by itself: where it cannot be written that is
    /// told, and others are asked all the same.
    pub fn note_wish(&mut self, shell: &mut dyn Shell) {
        let Some((rollout, (actor, wish))) = self.rollout().and_then(|rollout| Some((rollout, rollout.wish()?))) else { return };
        let entry = self.remark(rollout.record(), actor, format!("{wish}; others are asked first"));
        let state = ServiceState { asked: Some(wish.clone()), ..self.state.clone() };
        match shell.persist(&self.setup.name, &state, &[entry.into()]) {
            Ok(()) => self.state = state,
            Err(why) => shell.notify(&self.setup.name, format!("that {wish} could not be written ({why})"), true),
        }
    }
}
