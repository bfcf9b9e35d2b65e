//! Decides which version a request goes to: a randomised low-discrepancy draw that is exact at small numbers.
