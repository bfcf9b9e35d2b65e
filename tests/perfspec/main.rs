//! Holds the seed's gate files to their reference: every published case in both modes, every decided row, bad input.

#[cfg(test)]
mod cases;
#[cfg(test)]
mod command;
#[cfg(test)]
mod gate_rows;
#[cfg(test)]
mod live;
#[cfg(test)]
mod robust;
#[cfg(test)]
mod support;
#[cfg(test)]
mod value_rows;
