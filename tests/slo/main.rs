//! Holds slo.yaml, sli.yaml, the pair of keptn 0.5 and Analysis definitions to their reference: every published case, every
//! decided row, bad input, and the command.

#[cfg(test)]
mod analysis_cases;
#[cfg(test)]
mod command;
#[cfg(test)]
mod gate_rows;
#[cfg(test)]
mod lighthouse_cases;
#[cfg(test)]
mod provider_cases;
#[cfg(test)]
mod releases;
#[cfg(test)]
mod robust;
#[cfg(test)]
mod sequence;
#[cfg(test)]
mod support;
#[cfg(test)]
mod value_rows;
