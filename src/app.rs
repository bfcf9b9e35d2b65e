//! The composition root: builds everything and knows everybody.
