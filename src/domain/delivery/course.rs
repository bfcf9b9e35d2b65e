//! Which phases a run goes through in a stage, in which order, by the stage's strategy and the project's mode.

use crate::domain::delivery::record::Phase;
use crate::domain::delivery::shipyard::{Gate, Mode, Stage, Strategy, TestStrategy};

/// What a course depends on beside the stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Situation {
    /// Whether delivery is strict.
    pub mode: Mode,
    /// Whether the stage has no live deployment, so that there is nothing to protect and nothing to go back to.
    pub first: bool,
    /// Whether no stage follows.
    pub last: bool,
}

/// Returns the phases of a run in their order, approval and return aside.
#[must_use]
pub fn phases(stage: &Stage, situation: Situation) -> Vec<Phase> {
    match situation.mode {
        Mode::Strict => strict(stage, situation),
        Mode::Keptn => keptn(stage),
    }
}

fn strict(stage: &Stage, Situation { first, last, .. }: Situation) -> Vec<Phase> {
    let tested = stage.test.is_some();
    let judged = stage.gate == Gate::File;
    let mut phases = vec![Phase::Deploying, Phase::Checking];
    if first || stage.strategy == Strategy::Direct {
        phases.push(Phase::Switching);
        phases.extend(tested.then_some(Phase::Testing));
        // Nothing tests the first version of the last stage and nothing is there to compare it with: it is live unjudged.
        phases.extend((judged && (tested || !(first && last))).then_some(Phase::Evaluating));
        return phases;
    }
    phases.extend(tested.then_some(Phase::Testing));
    phases.extend((tested && judged).then_some(Phase::Evaluating));
    let ramp = matches!(stage.strategy, Strategy::Canary(_)) || (judged && !tested);
    phases.push(if ramp { Phase::Shifting } else { Phase::Switching });
    phases
}

/// Release 0.4: everything to the new version first; functional tests are not evaluated, stages without tests end there.
fn keptn(stage: &Stage) -> Vec<Phase> {
    let mut phases = vec![Phase::Deploying, Phase::Switching, Phase::Checking];
    phases.extend(stage.test.is_some().then_some(Phase::Testing));
    let evaluated = stage.gate == Gate::File && stage.test.as_ref().is_some_and(|test| *test != TestStrategy::Functional);
    phases.extend(evaluated.then_some(Phase::Evaluating));
    phases
}

/// Returns the phase after this one; `None` at the end. What is already judged is neither tested nor judged again.
#[must_use]
pub fn after(phase: Phase, judged: bool, stage: &Stage, situation: Situation) -> Option<Phase> {
    let phases = phases(stage, situation);
    let rest = phases.iter().position(|found| *found == phase).map_or(0, |at| at + 1);
    let done = |phase: &Phase| judged && matches!(phase, Phase::Testing | Phase::Evaluating);
    phases.into_iter().skip(rest).find(|phase| !done(phase))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::delivery::shipyard::default_schedule;

    fn course(strategy: Strategy, test: bool, gate: Gate, first: bool, last: bool, mode: Mode) -> String {
        let mut stage = Stage::new("dev".parse().unwrap(), strategy);
        (stage.test, stage.gate) = (test.then_some(TestStrategy::Performance), gate);
        let phases = phases(&stage, Situation { mode, first, last });
        phases.iter().map(|phase| phase.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn each_strategy_has_its_course() {
        use Strategy::{BlueGreen, Direct};
        let canary = || Strategy::Canary(default_schedule());
        let strict = |strategy, test, gate, first| course(strategy, test, gate, first, false, Mode::Strict);
        assert_eq!(strict(Direct, true, Gate::File, false), "deploying checking switching testing evaluating");
        assert_eq!(strict(Direct, true, Gate::None, false), "deploying checking switching testing");
        assert_eq!(strict(BlueGreen, true, Gate::File, false), "deploying checking testing evaluating switching");
        assert_eq!(strict(BlueGreen, true, Gate::None, false), "deploying checking testing switching");
        assert_eq!(strict(BlueGreen, false, Gate::File, false), "deploying checking shifting");
        assert_eq!(strict(BlueGreen, false, Gate::None, false), "deploying checking switching");
        assert_eq!(strict(canary(), true, Gate::File, false), "deploying checking testing evaluating shifting");
        assert_eq!(strict(canary(), false, Gate::File, false), "deploying checking shifting");
        assert_eq!(strict(BlueGreen, true, Gate::File, true), "deploying checking switching testing evaluating");
        assert_eq!(strict(BlueGreen, false, Gate::File, true), "deploying checking switching evaluating");
        assert_eq!(course(BlueGreen, false, Gate::File, true, true, Mode::Strict), "deploying checking switching");
        assert_eq!(course(BlueGreen, true, Gate::File, false, false, Mode::Keptn), "deploying switching checking testing evaluating");
        assert_eq!(course(BlueGreen, false, Gate::File, false, true, Mode::Keptn), "deploying switching checking");
    }
}
