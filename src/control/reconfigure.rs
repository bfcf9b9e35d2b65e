//! Puts a new set of services in the place of the present one: what is unchanged goes on, and what has changed begins as it would
//! after a restart.

use crate::control::command::Wanted;
use crate::control::restore::{self, Known, Start};
use crate::control::service::Service;
use crate::control::setup::{Origin, ServiceSetup};
use crate::control::shell::Shell;
use crate::domain::rollout::Event;
use crate::domain::time::Timestamp;
use crate::domain::version::{Name, Version};

/// Ends every rollout that is not to go on as it is: its service is gone, or judged otherwise from now on.
///
/// # Errors
///
/// Names the service whose rollout could not be ended durably; nothing but such ends has happened then.
pub fn end(services: &mut [Service], wanted: &[Wanted], actor: &str, now: Timestamp, shell: &mut dyn Shell) -> Result<(), Name> {
    let stays = |service: &Service| wanted.iter().any(|w| w.setup.name == service.setup().name && !w.anew);
    for service in services.iter_mut().filter(|service| !stays(service)) {
        service.forget_waiting();
        if service.progressing().is_some() {
            let reason = "the configuration of its service has changed".to_owned();
            service.drive(Event::Abort { actor: actor.to_owned(), reason }, now, shell);
        }
    }
    services.iter().find(|service| !stays(service) && service.is_unsaved()).map_or(Ok(()), |service| Err(service.setup().name.clone()))
}

/// A service and the version whose rollout begins.
pub type Begun = (Service, Option<Version>);

/// Makes the new set. `restored` reads what was durable of a service that is new here.
pub fn replace(old: Vec<Service>, wanted: Vec<Wanted>, shell: &mut dyn Shell, mut restored: impl FnMut(&Name) -> Known) -> Vec<Begun> {
    let mut old: Vec<Option<Service>> = old.into_iter().map(Some).collect();
    let mut take = |name: &Name| old.iter_mut().find(|s| s.as_ref().is_some_and(|s| s.setup().name == *name)).and_then(Option::take);
    let mut all = Vec::new();
    for Wanted { setup, anew } in wanted {
        all.push(match take(&setup.name) {
            Some(mut service) if !anew => {
                service.accept(setup);
                (service, None)
            }
            Some(before) => {
                let known = Known::State(Box::new(before.state().clone()));
                let (setup, start) = begin(setup, known, shell);
                (Service::after(before, setup, start.state), start.begin)
            }
            None => {
                let known = restored(&setup.name);
                let (setup, start) = begin(setup, known, shell);
                (Service::new(setup, start.state), start.begin)
            }
        });
    }
    all
}

/// Decides how a service begins, and writes and tells what that has decided.
pub fn begin(setup: ServiceSetup, known: Known, shell: &mut dyn Shell) -> (ServiceSetup, Start) {
    let known = match known {
        // A delivery names the owner itself, also after a promotion: what it says holds, whatever was promoted since it last said so.
        Known::State(mut state) if setup.origin == Origin::Delivery && state.owner.name != setup.stable.name => {
            state.configured = state.owner.name.clone();
            Known::State(state)
        }
        other => other,
    };
    let start = restore::start(&setup.name, &setup.stable, setup.canary.as_ref(), known);
    if let Some(entry) = &start.write
        && let Err(why) = shell.persist(&setup.name, &start.state, &[entry.clone().into()])
    {
        shell.notify(&setup.name, format!("what this start decided could not be written ({why})"), true);
    }
    if let Some(notice) = &start.notice {
        shell.notify(&setup.name, notice.clone(), true);
    }
    (setup, start)
}

#[cfg(test)]
#[path = "reconfigure_tests.rs"]
mod tests;
