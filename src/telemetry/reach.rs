//! The series about the versions' endpoints: who can be reached, and what was done about it.

use crate::control::endpoints::ReachStatus;
use crate::control::status::ServiceStatus;
use crate::domain::outcome::Role;
use crate::domain::way_back::Room;
use crate::telemetry::metrics as m;
use crate::telemetry::sheet::Sheet;

/// The states of an endpoint, as they are shown.
const STATES: [&str; 4] = ["in", "out", "failing", "unready"];

/// Writes those of one service; of each version all or none.
pub fn write(sheet: &mut Sheet, service: &ServiceStatus) {
    let name = service.name.as_str();
    let stable = service.endpoints.iter().find(|reach| reach.role == Role::Stable);
    if let Some(stable) = stable
        && sheet.reserve(1)
    {
        sheet.value(&m::STABLE_UNAVAILABLE, &[name], f64::from(u8::from(!stable.standing.is_usable())));
    }
    if let Some(way_back) = &service.way_back
        && sheet.reserve(Room::ALL.len() + 1)
    {
        for room in Room::ALL {
            sheet.value(&m::WAY_BACK_ROOM, &[name, room.as_str()], f64::from(u8::from(room == way_back.forecast.room)));
        }
        if let Some(most) = way_back.most_in_flight {
            sheet.value(&m::WAY_BACK_LIMIT, &[name], f64::from(most));
        }
    }
    for reach in &service.endpoints {
        version(sheet, name, reach);
    }
}

fn version(sheet: &mut Sheet, service: &str, reach: &ReachStatus) {
    let (version, role) = (reach.version.as_str(), reach.role.as_str());
    let labels = [service, version, role];
    let figures = [
        (&m::UNREACHABLE, u64::from(!reach.standing.is_usable())),
        (&m::RESCUES, reach.rescues),
        (&m::VETOES, reach.vetoes),
        (&m::LIMITED, reach.limited),
        (&m::WAY_BACK_SHED, reach.shed),
        (&m::EJECTIONS, reach.ejections),
    ];
    if !sheet.reserve(figures.len() + STATES.len() + reach.retries.len() + 1 + usize::from(!reach.watches.is_empty())) {
        return;
    }
    if !reach.watches.is_empty() {
        let stale = reach.watches.iter().any(|watch| watch.state != "current");
        sheet.value(&m::DISCOVERY_STALE, &labels, f64::from(u8::from(stale)));
    }
    for (definition, value) in figures {
        sheet.value(definition, &labels, value as f64);
    }
    for state in STATES {
        let count = reach.endpoints.iter().filter(|endpoint| endpoint.state == state).count();
        sheet.value(&m::ENDPOINTS, &[service, version, role, state], count as f64);
    }
    for (reason, count) in &reach.retries {
        sheet.value(&m::RETRIES, &[service, version, role, reason], *count as f64);
    }
    sheet.value(&m::RETRIES, &[service, version, role, "unaffordable"], reach.unaffordable as f64);
}
