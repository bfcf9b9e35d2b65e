//! Begins a rollout that an operator asks for.

use crate::control::command::{Accepted, CommandError};
use crate::control::service::Service;
use crate::control::shell::Shell;
use crate::domain::time::Timestamp;
use crate::domain::version::{Name, Version};

/// Says that there is nothing to ask something of.
pub(super) fn nothing_progresses(name: &Name, what: &str) -> CommandError {
    CommandError::Conflict(format!("no rollout of {name} is progressing, so there is nothing to {what}"))
}

/// Begins a rollout, where nothing stands in its way.
pub(super) fn begin(
    service: &mut Service,
    canary: Version,
    retry: bool,
    actor: &str,
    now: Timestamp,
    shell: &mut dyn Shell,
) -> Result<Accepted, CommandError> {
    let name = service.setup().name.clone();
    // Whoever asks names a version and where it listens; it is spoken to as the configured one is.
    let canary = Version { transport: service.setup().stable.transport.clone(), ..canary };
    if let Some(why) = service.refusal(&canary, retry) {
        return Err(CommandError::Conflict(why));
    }
    shell.notify(&name, format!("{actor} starts a rollout of {}", canary.name), false);
    let version = canary.name.clone();
    service.begin(canary, now, shell);
    Ok(Accepted::Done(format!("the rollout of {version} begins")))
}
