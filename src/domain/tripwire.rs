//! The table n_max: roll back iff the k-th breach is request number n <= n_max[k].
