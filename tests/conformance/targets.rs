//! U-01 to U-19: target forms and Host.
