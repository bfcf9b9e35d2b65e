//! The seed's demo service, carts, with its endpoints, delays and failures.
