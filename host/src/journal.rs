//! The hash-chained record.
