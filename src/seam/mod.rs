//! Where the planes meet: the clock, the routing table, samples, recorders and the tripwire cell.
