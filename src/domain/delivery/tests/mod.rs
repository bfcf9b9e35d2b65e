//! The delivery machine in virtual time: the golden trace, kills at every effect, chance, and who waits for whom.
#![cfg(test)]

mod chance;
mod course_of_runs;
mod golden;
mod ramps;
mod shipyards;
mod waiting;
mod walks;
mod world;
