//! Folds outcomes in by the order in which requests started, which makes the tests valid for any delays.
