//! The way back of one service: watches what its owner can take, and bounds what it holds while everything comes back to it.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::control::bequest::Bequest;
use crate::control::shell::Shell;
use crate::domain::observation::Observation;
use crate::domain::outcome::Role;
use crate::domain::time::{self, Timestamp};
use crate::domain::version::{Name, Version};
use crate::domain::way_back::{Capacity, End, Forecast, Prospect, Room, Shedding, Tape, WayBack};
use crate::domain::weight::Weight;
use crate::seam::valve::Valve;

/// How long a stretch lasts at least: while the owner is only watched, and while what it holds is bounded.
const STRETCHES: [Duration; 2] = [Duration::from_secs(1), Duration::from_millis(500)];

/// What is shown of the way back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WayBackStatus {
    /// What is done: `at_once`, `shed` or `ramp`.
    pub policy: String,
    /// Whether the owner can take everything: as things stand while a canary has a share, else when it got everything back last.
    #[serde(flatten)]
    pub forecast: Forecast,
    /// How many requests the owner may hold now; absent where that is not bounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most_in_flight: Option<u32>,
    /// How much longer that is bounded at most, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_seconds: Option<f64>,
    /// How many requests were refused on the last way back.
    pub shed: u64,
    /// The same as a sentence.
    pub sentence: String,
}

impl WayBackStatus {
    /// Says whether people should read of it unasked: the owner could not take everything, or something is done about that.
    #[must_use]
    pub fn is_worth_telling(&self) -> bool {
        self.forecast.room == Room::Short || self.policy != WayBack::AtOnce.as_str()
    }
}

/// A way back that has begun.
struct Begun {
    forecast: Forecast,
    bounded: Option<Bounded>,
    refused: u64,
}

/// What bounds the owner.
struct Bounded {
    shedding: Shedding,
    valve: Arc<Valve>,
    /// Refusals that the shedding knows of, and those of the stretches so far.
    known: u64,
    in_stretches: u64,
}

/// The way back of one service.
#[derive(Default)]
pub(super) struct Way {
    tape: Tape,
    capacity: Capacity,
    /// How many of the owner's endpoints are usable.
    endpoints: u32,
    /// Whether that has changed in the stretch that is gathered, which then says nothing of either number.
    is_mixed: bool,
    begun: Option<Begun>,
    /// Whether a canary's share goes back in steps.
    recedes: bool,
    /// Whether the owner answered as usual in the last stretch since the shares changed; `None` before there was one.
    is_well: Option<bool>,
    /// What people have not been told yet, and whether somebody should look.
    untold: Vec<(String, bool)>,
}

impl Way {
    /// Takes in what a worker saw.
    pub(super) fn observe(&mut self, observations: &[Observation]) {
        observations.iter().filter(|seen| seen.role == Role::Stable).for_each(|seen| self.tape.add(seen));
    }

    /// Returns what a decision should know of the way back: what its sentence adds when everything goes back now, and whether the
    /// owner bears a canary with no more than `share`. That it does must be seen while a share goes back in steps; before, nothing
    /// must speak against it.
    pub(super) fn prospect(&self, rule: WayBack, owner: &Version, asked: f64, share: Weight) -> Prospect {
        let forecast = self.capacity.forecast(asked, self.endpoints);
        let next = self.capacity.forecast(asked * share.complement().ratio(), self.endpoints);
        let is_well = self.is_well.unwrap_or(!self.recedes);
        let sentence = (forecast.room == Room::Short).then(|| match rule {
            WayBack::AtOnce | WayBack::Ramp(_) => format!("{} {forecast}", owner.name),
            WayBack::Shed(terms) => {
                let lasts = time::human(terms.lasts);
                format!("{} {forecast}; what is beyond that is refused for {lasts} at most", owner.name)
            }
        });
        Prospect { sentence, within: rule.recedes_within(), bears: is_well && next.room != Room::Short }
    }

    /// The shares change with what is published next: what was seen before says nothing of how the owner bears it.
    pub(super) fn shares_change(&mut self, recedes: bool) {
        (self.recedes, self.is_well) = (recedes, None);
        if recedes {
            (self.tape, self.is_mixed) = (Tape::default(), false);
        }
    }

    /// Everything goes back to the owner with what is published next.
    pub(super) fn begin(&mut self, rule: WayBack, owner: &Arc<Version>, asked: f64, now: Timestamp, shell: &mut dyn Shell) {
        self.end(owner, shell);
        self.endpoints = shell.usable(owner);
        let forecast = self.capacity.forecast(asked, self.endpoints);
        let shedding = match rule {
            WayBack::AtOnce | WayBack::Ramp(_) => None,
            WayBack::Shed(terms) => Shedding::begin(terms, &self.capacity, forecast.endpoints, now),
        };
        let bounded = shedding.map(|shedding| {
            let valve = Arc::new(Valve::new(shell.workers(), shedding.most(), shedding.ends()));
            shell.narrow(owner, Some(Arc::clone(&valve)));
            Bounded { shedding, valve, known: 0, in_stretches: 0 }
        });
        (self.tape, self.is_mixed) = (Tape::default(), false);
        let is_short = forecast.room == Room::Short;
        if is_short || matches!(rule, WayBack::Shed(_)) {
            let (name, most) = (&owner.name, bounded.as_ref().map(|bounded| bounded.shedding.most()));
            let done = match (rule, most) {
                (WayBack::AtOnce | WayBack::Ramp(_), _) => "it gets everything at once".to_owned(),
                (WayBack::Shed(_), None) => "so nothing is refused".to_owned(),
                (WayBack::Shed(terms), Some(most)) => {
                    format!("it holds {most} requests at most for {}, and others are refused", time::human(terms.lasts))
                }
            };
            self.untold.push((format!("everything goes back to {name}, which {forecast}; {done}"), is_short));
        }
        self.begun = Some(Begun { forecast, bounded, refused: 0 });
    }

    /// Goes on bounding the owner as the process before this one did, where that is still wanted.
    pub(super) fn inherit(&mut self, rule: WayBack, bequest: &Bequest, owner: &Arc<Version>, now: Timestamp, shell: &mut dyn Shell) {
        let WayBack::Shed(terms) = rule else { return };
        if owner.name != bequest.version {
            // The new configuration names another one, of which that says nothing.
            return;
        }
        self.endpoints = shell.usable(owner);
        let forecast = self.capacity.forecast(f64::from(bequest.asked), self.endpoints);
        let left = bequest.left.min(terms.lasts);
        let shedding = Shedding::inherited(bequest.most, left, now);
        let valve = Arc::new(Valve::new(shell.workers(), shedding.most(), shedding.ends()));
        shell.narrow(owner, Some(Arc::clone(&valve)));
        let bounded = Some(Bounded { shedding, valve, known: 0, in_stretches: 0 });
        let (name, most, left) = (&owner.name, bequest.most, time::human(left));
        self.untold.push((format!("{name} holds {most} requests at most for another {left}, as before the new process took over"), false));
        self.begun = Some(Begun { forecast, bounded, refused: 0 });
    }

    /// Stops bounding the owner.
    pub(super) fn end(&mut self, owner: &Arc<Version>, shell: &mut dyn Shell) {
        if let Some(begun) = &mut self.begun
            && let Some(bounded) = begun.bounded.take()
        {
            begun.refused = bounded.valve.refused();
            shell.narrow(owner, None);
        }
    }

    /// Forgets everything: another version owns the traffic.
    pub(super) fn forget(&mut self, owner: &Arc<Version>, shell: &mut dyn Shell) {
        self.end(owner, shell);
        *self = Self::default();
    }

    /// Learns, follows the owner with the bound, and tells people.
    pub(super) fn tick(&mut self, service: &Name, owner: &Arc<Version>, now: Timestamp, shell: &mut dyn Shell) {
        let endpoints = shell.usable(owner);
        self.is_mixed |= std::mem::replace(&mut self.endpoints, endpoints) != endpoints;
        match self.begun.as_mut().and_then(|begun| begun.bounded.as_mut()) {
            None => {
                if let Some(stretch) = self.tape.cut(now, STRETCHES[0], 0)
                    && !std::mem::take(&mut self.is_mixed)
                {
                    let is_well = self.capacity.is_as_usual(&stretch);
                    self.is_well = Some(is_well);
                    // What is usual is not learned from a version that is overrun.
                    if is_well || !self.recedes {
                        self.capacity.learn(&stretch, endpoints);
                    }
                }
            }
            Some(bounded) => {
                let refused = bounded.valve.refused();
                bounded.shedding.refused(refused - std::mem::replace(&mut bounded.known, refused), now);
                if let Some(stretch) = self.tape.cut(now, STRETCHES[1], refused - bounded.in_stretches) {
                    bounded.shedding.follow(&stretch, refused - bounded.in_stretches, &self.capacity);
                    bounded.in_stretches = refused;
                    bounded.valve.set_most(bounded.shedding.most());
                    // What is usual is not learned from a version that is overrun.
                    if !std::mem::take(&mut self.is_mixed) && self.capacity.is_as_usual(&stretch) {
                        self.capacity.learn(&stretch, endpoints);
                    }
                }
                if let Some(end) = bounded.shedding.end(now) {
                    self.end(owner, shell);
                    self.ended(end, &owner.name);
                }
            }
        }
        for (sentence, alarm) in self.untold.drain(..) {
            shell.notify(service, sentence, alarm);
        }
    }

    fn ended(&mut self, end: End, name: &Name) {
        let refused = self.begun.as_ref().map_or(0, |begun| begun.refused);
        self.untold.push(match end {
            End::Quiet => (format!("{name} takes everything again: {refused} requests were refused on the way back"), false),
            End::Late => {
                (format!("{name} gets everything now, although requests had to be refused until the end: {refused} of them"), true)
            }
        });
    }

    /// Says whether what is shown is there, and a bound, where they are to be; `shared` says whether a canary has a share.
    pub(super) fn stands_as(&self, shown: Option<&WayBackStatus>, shared: bool) -> bool {
        let is_bounded = self.begun.as_ref().is_some_and(|begun| begun.bounded.is_some());
        shown.is_some() == (shared || self.begun.is_some()) && shown.is_some_and(|shown| shown.most_in_flight.is_some()) == is_bounded
    }

    /// Returns what is shown; `None` where no canary has a share and nothing came back since another version owned the traffic.
    pub(super) fn status(&self, rule: WayBack, owner: &Version, asked: Option<f64>, now: Timestamp) -> Option<WayBackStatus> {
        let bounded = self.begun.as_ref().and_then(|begun| begun.bounded.as_ref());
        let forecast = match (asked, &self.begun) {
            (Some(asked), _) => self.capacity.forecast(asked, self.endpoints),
            (None, Some(begun)) => begun.forecast,
            (None, None) => return None,
        };
        let refused = self.begun.as_ref().map_or(0, |begun| begun.refused);
        let shed = bounded.map_or(refused, |bounded| bounded.valve.refused());
        let most = bounded.map(|bounded| bounded.shedding.most());
        let mut sentence = format!("{} {forecast}", owner.name);
        if let Some(most) = most {
            sentence.push_str(&format!("; it holds {most} requests at most, and {shed} were refused"));
        } else if shed > 0 {
            sentence.push_str(&format!("; {shed} requests were refused"));
        }
        Some(WayBackStatus {
            policy: rule.as_str().to_owned(),
            forecast,
            most_in_flight: most,
            left_seconds: bounded.map(|bounded| bounded.shedding.ends().since(now).as_secs_f64()),
            shed,
            sentence,
        })
    }
}

#[cfg(test)]
#[path = "way_back_tests.rs"]
mod tests;
